"""predictions.parquet read back for paired comparisons of two runs."""

import os
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


@dataclass
class PredictionCache:
    """Placement values of the runs that were asked for last, and what is wrong with others' files."""

    keep: int = 2
    problems: dict[Path, str] = field(default_factory=dict)
    _placed: dict[Path, Placed] = field(default_factory=dict)

    def placed(self, run: Run) -> Placed | None:
        """The placement values of a run's test rows; None where they cannot be had, and `problems` says why."""
        if run.path in self.problems:
            return None
        if (placed := self._placed.pop(run.path, None)) is None:
            try:
                placed = _read(run)
            except UserError as error:
                self.problems[run.path] = str(error)
                return None
            while len(self._placed) >= self.keep:
                self._placed.pop(next(iter(self._placed)))
        self._placed[run.path] = placed  # the last one asked for is dropped last
        return placed


def _read(run: Run) -> Placed:
    """UserError if the file is damaged or of another run."""
    try:
        RunFolder(run.path).check(PREDICTIONS)
        table = pq.read_table(run.path / PREDICTIONS, columns=["label", "logit"])
        label_R, logit_R = (np.asarray(table[name].to_numpy(), np.float64) for name in ("label", "logit"))
    except UserError as error:
        raise UserError(str(error).removeprefix(f"{run.path}{os.sep}")) from None
    except FileNotFoundError:
        raise UserError(f"{PREDICTIONS} is missing") from None
    except (OSError, ValueError, TypeError, pa.ArrowException) as error:
        raise UserError(f"{PREDICTIONS} cannot be read ({str(error).splitlines()[0][:120]})") from None
    test = run.result.metrics.test
    if len(label_R) != test.rows:
        raise UserError(f"{PREDICTIONS} has {len(label_R):,} rows, the result {test.rows:,}")
    if not np.isin(label_R, (0, 1)).all() or not np.isfinite(logit_R).all():
        raise UserError(f"{PREDICTIONS} holds labels other than 0 and 1, or logits that are no numbers")
    try:
        placed = Placed.of(label_R, logit_R)
    except ValueError as error:
        raise UserError(f"{PREDICTIONS}: {error}") from None
    if test.auc is None or abs(placed.auc - test.auc) > TOLERANCE:
        raise UserError(f"{PREDICTIONS} gives AUC {placed.auc:.6f}, the result says {test.auc}")
    return placed
