"""An MLflow run for each run: in the store of MLFLOW_TRACKING_URI, without it in MLflow's own default here.

Which MLflow run it is stands in the run's folder, so that a resumed run continues it.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlet_bench.errors import UserError
from mlet_bench.system import files

EXPERIMENT = "mlet-bench"
MOST_PARAMS, LONGEST_PARAM = 100, 6000
"""What MLflow takes at a time, and in letters."""
STATES = {"done": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


class MLflowLogger:
    PATH, IS_FOLDER = "mlflow.json", False

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # by default minutes until a server is given up
        from mlflow import MlflowClient

        self._client: Any = MlflowClient()
        self._path = folder / self.PATH
        self._run: str = self._begun() or self._begin(config)
        self._client.update_run(self._run, status="RUNNING")
        self._held: dict[str, set[int]] = {}
        """By name: the steps that MLflow holds."""
        self._step = 0

    @staticmethod
    def check() -> None:
        """ImportError if it is not installed."""
        try:
            import mlflow
        except ImportError:
            raise ImportError("the package mlflow is not installed") from None
        assert mlflow

    @classmethod
    def remove(cls, folder: Path) -> None:
        (folder / cls.PATH).unlink(missing_ok=True)

    def evaluated(self, line: Mapping[str, Any]) -> None:
        self._step = line["step"]
        self._log({name: value for name, value in line.items() if name != "step"})

    def finished(self, metrics: Mapping[str, float]) -> None:
        self._log(metrics)

    def close(self, state: str) -> None:
        self._client.set_terminated(self._run, STATES[state])

    def _log(self, numbers: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        new = [Metric(name, value, now, self._step) for name, value in numbers.items() if self._is_new(name)]
        if new:
            self._client.log_batch(self._run, metrics=new)

    def _is_new(self, name: str) -> bool:
        if name not in self._held:
            self._held[name] = {point.step for point in self._client.get_metric_history(self._run, name)}
        held = self._step in self._held[name]
        self._held[name].add(self._step)
        return not held

    def _begun(self) -> str | None:
        """The MLflow run of before, if it is still there."""
        from mlflow.exceptions import MlflowException

        if not self._path.is_file():
            return None
        try:
            run = self._client.get_run(str(files.read_json(self._path)["run_id"]))
        except (MlflowException, UserError, KeyError, TypeError):
            return None  # another store, or a damaged file: all evaluations are logged again in a new run
        return str(run.info.run_id) if run.info.lifecycle_stage == "active" else None

    def _begin(self, config: Mapping[str, Any]) -> str:
        from mlflow.entities import Param

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = self._client.get_experiment_by_name(name)
        number = self._client.create_experiment(name) if experiment is None else experiment.experiment_id
        run = str(self._client.create_run(number, run_name=str(self._path.parent)).info.run_id)
        params = [Param(key, str(value)[:LONGEST_PARAM]) for key, value in config.items()]
        for start in range(0, len(params), MOST_PARAMS):
            self._client.log_batch(run, params=params[start : start + MOST_PARAMS])
        files.write_json(self._path, {"experiment": name, "run_id": run})
        return run
