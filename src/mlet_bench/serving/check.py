"""A written program on the run's test rows: how far its logits are from the run's, and what it scores.

R rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mlet_bench.config import EvalConfig
from mlet_bench.data import Prepared
from mlet_bench.errors import RunFailedError
from mlet_bench.evaluation.buckets import EvalRows, evaluate
from mlet_bench.evaluation.predictions import allowed_change
from mlet_bench.serving.format import Runner

SPLIT = "test"


@dataclass(frozen=True)
class Checked:
    """Of one program."""

    rows: int
    max_abs_logit_diff: float
    allowed: float
    metrics: dict[str, Any]

    @property
    def as_json(self) -> dict[str, Any]:
        return {"split": SPLIT, "rows": self.rows, "max_abs_logit_diff": self.max_abs_logit_diff,
                "allowed": self.allowed, "metrics": self.metrics}  # fmt: skip


@torch.no_grad()
def logits(run: Runner, prepared: Prepared, batch_size: int, advanced: Callable[[int, int], None]) -> np.ndarray:
    """logit_R of the test rows, in their order; `advanced` hears how many of how many are done."""
    found, done = [], 0
    for piece in prepared.pieces(SPLIT):
        for start in range(0, len(piece), batch_size):
            rows = slice(start, start + batch_size)
            given = torch.from_numpy(piece.ids_BF[rows]), torch.from_numpy(piece.numeric_BN[rows])
            found.append(run(*given).numpy())
            done += len(found[-1])
            advanced(done, prepared.rows[SPLIT])
    return np.concatenate(found)


def checked(logit_R: np.ndarray, reference_R: np.ndarray, prepared: Prepared, config: EvalConfig, name: str) -> Checked:
    """RunFailedError if a logit is farther from its reference than rounding takes it."""
    allowed = allowed_change(float(np.abs(reference_R).max(initial=0)))
    change = float(np.abs(logit_R - reference_R).max(initial=0))
    if not change <= allowed:  # a NaN too
        raise RunFailedError(f"{name}: a logit changed by {change:.3g}, {allowed:.3g} is allowed; nothing was exported")
    rows = EvalRows.of(prepared.pieces(SPLIT, counts=True), config.buckets)
    metrics, _ = evaluate(rows, logit_R, prepared.fields, config.buckets, prepared.reserved)
    return Checked(len(logit_R), change, allowed, metrics)
