"""TensorBoard and MLflow beside metrics.jsonl: every number once, and nothing of a run changed by them."""

import json
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from mlet_bench import cli
from mlet_bench.runs import loggers
from mlet_bench.runs.loggers import LOGGERS
from mlet_bench.training import checkpoint, trainer
from tests.conftest import TINY, Ended

Command = Callable[..., Ended]
WORDS = ("train", "dataset=criteo", "dataset.raw=train.txt", *TINY, "hydra.run.dir=run", "train.epochs=2")
Points = dict[str, list[tuple[int, float]]]


def from_tensorboard(folder: Path) -> tuple[Points, dict[str, Any]]:
    """Points by name, and the hyperparameters, as TensorBoard itself reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    points = {name: [(one.step, one.value) for one in events.Scalars(name)] for name in events.Tags()["scalars"]}
    held = events.summary_metadata.get("_hparams_/session_start_info")
    hparams = HParamsPluginData.FromString(held.plugin_data.content).session_start_info.hparams if held else {}
    return points, {name: getattr(hparams[name], str(hparams[name].WhichOneof("kind"))) for name in hparams}


def from_mlflow(folder: Path) -> tuple[Points, dict[str, Any]]:
    from mlflow import MlflowClient

    client = MlflowClient()
    found = client.get_run(json.loads((folder / "mlflow.json").read_text())["run_id"]).data
    points = {name: sorted((one.step, one.value) for one in client.get_metric_history(run_of(folder), name))
              for name in found.metrics}  # fmt: skip
    return points, dict(found.params)


def run_of(folder: Path) -> str:
    return str(json.loads((folder / "mlflow.json").read_text())["run_id"])


READ = {"tensorboard": from_tensorboard, "mlflow": from_mlflow}


@pytest.fixture(params=LOGGERS)
def logger(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    pytest.importorskip(request.param, reason=f"the extra {request.param} brings it")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    return str(request.param)


def lines_of(folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]


def check_points(logger: str) -> dict[str, Any]:
    """Every number of metrics.jsonl and of the test split stands there once; returns the hyperparameters."""
    points, params = READ[logger](Path("run"))
    lines = lines_of("run")
    test = json.loads(Path("run/result.json").read_text())["metrics"]["test"]
    expected = {name: [(line["step"], line[name]) for line in lines] for name in lines[0] if name != "step"}
    last = lines[-1]["step"]
    expected |= {f"test_{name}": [(last, value)] for name, value in test.items() if isinstance(value, int | float)}
    assert points.keys() == expected.keys()
    for name, known in expected.items():
        assert [step for step, _ in points[name]] == [step for step, _ in known], name
        assert [value for _, value in points[name]] == pytest.approx([value for _, value in known], rel=1e-6), name
    return params


@pytest.mark.usefixtures("criteo_file")
def test_numbers_stand_there_once_and_the_run_is_the_same(
    command: Command, logger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(*WORDS[:-2], "hydra.run.dir=plain", WORDS[-1])
    plain = {name: (Path("plain") / name).read_bytes() for name in ("metrics.jsonl", "model.safetensors")}
    step, taken = trainer.step, []

    def interrupted(*given: Any) -> torch.Tensor:
        taken.append(1)
        if len(taken) == 9:
            signal.raise_signal(signal.SIGTERM)
        return step(*given)

    monkeypatch.setattr(trainer, "step", interrupted)
    assert command(*WORDS, f"logger={logger}").code == 143
    assert command(*WORDS, f"logger={logger}").code == cli.DONE
    params = check_points(logger)
    assert float(params["emb.dim"]) == 4
    assert params["model.name"] == "dlrm"
    assert "eval.buckets" in params
    for name, content in plain.items():
        assert (Path("run") / name).read_bytes() == content
    fingerprints = [(Path(folder) / "config.yaml").read_text().splitlines()[0] for folder in ("run", "plain")]
    assert fingerprints[0] == fingerprints[1]


@pytest.mark.usefixtures("criteo_file")
def test_a_killed_run_that_repeats_steps_logs_them_once(
    command: Command, logger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if it were killed after its evaluations were logged and before any checkpoint."""
    save = checkpoint.Checkpoints.save

    def killed(*given: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(checkpoint.Checkpoints, "save", killed)
    with pytest.raises(SystemExit):
        command(*WORDS, f"logger={logger}")
    monkeypatch.setattr(checkpoint.Checkpoints, "save", save)
    assert command(*WORDS, f"logger={logger}").code == cli.DONE
    check_points(logger)


@pytest.mark.usefixtures("criteo_file")
def test_rerun_starts_anew_and_leaves_files_of_others(command: Command, logger: str) -> None:
    assert command(*WORDS, f"logger={logger}").code == cli.DONE
    theirs = Path("run/tensorboard/notes.txt")
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("dear")
    assert command(*WORDS, "rerun=true").code == cli.DONE
    assert theirs.read_text() == "dear"
    assert [path.name for path in theirs.parent.iterdir()] == ["notes.txt"]
    assert not Path("run/mlflow.json").exists()
    assert command(*WORDS, f"logger={logger}", "rerun=true").code == cli.DONE
    check_points(logger)


@pytest.mark.usefixtures("criteo_file")
def test_mlflow_says_how_a_run_ended(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow brings it")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert command(*WORDS, "logger=mlflow").code == cli.DONE
    words = ("train.optimizer=sgd", "train.lr=1e30", "logger=mlflow")
    assert command(*WORDS[:-2], "hydra.run.dir=failed", WORDS[-1], *words).code == cli.FAILED
    client = mlflow.MlflowClient()
    states = [client.get_run(run_of(Path(folder))).info.status for folder in ("run", "failed")]
    assert states == ["FINISHED", "FAILED"]


class Broken:
    """A logger whose server is gone after the first evaluation."""

    heard: list[str] = []  # noqa: RUF012

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.heard.clear()

    @staticmethod
    def check() -> None: ...

    def evaluated(self, line: Mapping[str, Any]) -> None:
        self.heard.append("evaluated")
        raise ConnectionError("gone\nfor good")

    def finished(self, metrics: Mapping[str, float]) -> None:
        self.heard.append("finished")

    def close(self, state: str) -> None:
        self.heard.append(state)


@pytest.mark.usefixtures("criteo_file")
def test_a_logger_that_fails_is_said_and_the_run_goes_on(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(loggers.LOGGERS, "mlflow", Broken)  # type: ignore[arg-type]
    ended = command(*WORDS, "logger=mlflow")
    assert ended.code == cli.DONE
    assert ended.out.count("note: logger=mlflow failed (ConnectionError: gone); the run continues without it") == 1
    assert Broken.heard == ["evaluated"]


@pytest.mark.usefixtures("criteo_file")
def test_a_logger_that_cannot_begin_fails_the_run(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, folder: Path, config: Mapping[str, Any]) -> None:
        raise ConnectionError("refused")

    monkeypatch.setattr(Broken, "__init__", refuse)
    monkeypatch.setitem(loggers.LOGGERS, "mlflow", Broken)  # type: ignore[arg-type]
    ended = command(*WORDS, "logger=mlflow")
    assert (ended.code, ended.err.count("\n")) == (cli.FAILED, 1)
    assert "logger=mlflow: cannot begin (ConnectionError: refused)" in ended.err


@pytest.mark.usefixtures("criteo_file")
@pytest.mark.parametrize(("name", "module"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow")])
def test_a_missing_package_is_one_line_with_the_command_that_brings_it(
    command: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    ended = command("train", *WORDS[1:], f"logger={name}")
    assert (ended.code, ended.out) == (cli.MISTAKE, "")
    assert ended.err.splitlines() == [
        f"mlet-bench: logger={name}: the package {name} is not installed; pip install 'mlet-bench[{name}]' brings it"
    ]
    assert [path.name for path in workplace.iterdir()] == ["train.txt"]


@pytest.mark.usefixtures("criteo_file")
def test_metrics_can_be_followed_line_by_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever an evaluation is told, its line stands in the file as a whole."""
    evaluated, seen = trainer.Trainer._evaluate, []

    def watched(self: trainer.Trainer, loss: float) -> None:
        evaluated(self, loss)
        text = self.history.path.read_text()
        assert text.endswith("\n")
        seen.append(json.loads(text.splitlines()[-1])["step"])

    monkeypatch.setattr(trainer.Trainer, "_evaluate", watched)
    assert command(*WORDS).code == cli.DONE
    assert seen == [line["step"] for line in lines_of("run")]
