"""What the MLET paper printed (arXiv 2309.15881), with its place in it."""

from functools import cache
from pathlib import Path

from pydantic import BaseModel


class Experiment(BaseModel):
    label: str
    optimizer: str
    lr: float
    inner_std: float
    """Of an entry of W2 at the start."""
    reduction: str
    """The largest, with the widths between which it was found."""


class Curve(BaseModel):
    """A number for each width d; `inner` is k, None the standard embedding."""

    experiment: str
    metric: str = "auc"
    inner: int | None
    values: dict[int, float]


class RareGain(BaseModel):
    """Relative change of PR-AUC, MLET over single, on the most frequent and the rarest tenth of the test rows."""

    experiment: str
    dim: int
    inner: int
    frequent: float
    rare: float


class Truncated(BaseModel):
    """AUC by d: standard embeddings of width `inner` truncated to rank d, and MLET of that inner dimension."""

    experiment: str
    inner: int
    svd: dict[int, float]
    mlet: dict[int, float]


class Paper(BaseModel):
    source: str
    experiments: dict[str, Experiment]
    auc: list[Curve]
    curves: list[Curve]
    rare: list[RareGain]
    svd: list[Truncated]


@cache
def published() -> Paper:
    """All that the paper states."""
    return Paper.model_validate_json(Path(__file__).with_name("published.json").read_text(encoding="utf-8"))
