"""predictions.parquet read back for paired comparisons of two runs."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlet_bench.analysis.collect import Run
from mlet_bench.errors import UserError
from mlet_bench.evaluation.statistics import Placed
from mlet_bench.runs.run_folder import PREDICTIONS, RunFolder

TOLERANCE = 1e-9
"""By how much AUC from the predictions may differ from the one in result.json: they are the same computation."""


class UnusableError(Exception):
    """Why a run's predictions cannot be used, in a line."""


def placed_rows(run: Run) -> Placed:
    """The placement values of a run's test rows, in order. UnusableError if the file is damaged or of another run."""
    try:
        RunFolder(run.path).check(PREDICTIONS)
    except UserError as error:
        raise UnusableError(str(error).removeprefix(f"{run.path}/")) from None
    label_R, logit_R = _read(run.path / PREDICTIONS)
    if len(label_R) != run.result.metrics.test.rows:
        raise UnusableError(f"{PREDICTIONS} has {len(label_R):,} rows, the result {run.result.metrics.test.rows:,}")
    if not np.isin(label_R, (0, 1)).all() or not np.isfinite(logit_R).all():
        raise UnusableError(f"{PREDICTIONS} holds labels other than 0 and 1, or logits that are no numbers")
    try:
        placed = Placed.of(label_R, logit_R)
    except ValueError as error:
        raise UnusableError(f"{PREDICTIONS}: {error}") from None
    stored = run.result.metrics.test.auc
    if stored is None or abs(placed.auc - stored) > TOLERANCE:
        raise UnusableError(f"{PREDICTIONS} gives AUC {placed.auc:.6f}, the result says {stored}")
    return placed


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        RunFolder(path.parent).check(PREDICTIONS)
        table = pq.read_table(path, columns=["label", "logit"])
        label_R, logit_R = (np.asarray(table[name].to_numpy(), np.float64) for name in ("label", "logit"))
        return label_R, logit_R
    except FileNotFoundError:
        raise UnusableError(f"{PREDICTIONS} is missing") from None
    except UserError as error:
        raise UnusableError(str(error).replace(str(path), PREDICTIONS)) from None
    except (OSError, ValueError, TypeError, pa.ArrowException) as error:
        raise UnusableError(f"{PREDICTIONS} cannot be read ({str(error).splitlines()[0][:120]})") from None


@dataclass
class PredictionCache:
    """Placement values of the runs that were asked for last, and what was wrong with others' files."""

    keep: int = 2
    problems: dict[Path, str] = field(default_factory=dict)
    _held: dict[Path, Placed] = field(default_factory=dict)

    def of(self, run: Run) -> Placed | None:
        """None where the run's predictions cannot be used; `problems` then says why."""
        if run.path in self.problems:
            return None
        if run.path not in self._held:
            try:
                placed = placed_rows(run)
            except UnusableError as error:
                self.problems[run.path] = str(error)
                return None
            while len(self._held) >= self.keep:
                self._held.pop(next(iter(self._held)))
            self._held[run.path] = placed
        self._held[run.path] = self._held.pop(run.path)  # the last one asked for is dropped last
        return self._held[run.path]
