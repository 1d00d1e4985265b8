"""Whether two runs, or two settings over seeds, differ by more than chance.

Two sources of chance, and neither speaks of the other: the test rows (paired DeLong on two runs' predictions) and
the seeds (Student's t on differences paired by seed).
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtr, stdtr, stdtrit

from mlet_bench.evaluation.metrics import Z95, Groups, Scored

Verdict = Literal["higher", "lower", "undecided"]
DECIDING_SEEDS = 5
"""Fewer decide nothing: their standard deviation is itself a guess."""


@dataclass(frozen=True)
class Placed:
    """A run's AUC and the placement value of each of its rows, in the order of the split.

    A positive's placement value is the share of negatives scored below it, a negative's the share of positives scored
    above it, equal scores counted half: V10 and V01 of DeLong, DeLong & Clarke-Pearson (1988).
    """

    auc: float
    label_B: np.ndarray
    value_B: np.ndarray

    @classmethod
    def of(cls, label_B: np.ndarray, logit_B: np.ndarray) -> "Placed":
        """ValueError unless both classes occur."""
        scored, order_B = Scored.of(label_B, logit_B)
        if not 0 < scored.label_B.sum() < len(label_B):
            raise ValueError("AUC needs rows of both classes")
        groups = Groups.of(scored)
        rows_G = np.diff(np.r_[groups.starts_G, len(label_B)])
        value_B = np.empty(len(label_B))
        value_B[order_B] = np.where(
            scored.label_B == 1, np.repeat(groups.below_G, rows_G), np.repeat(groups.above_G, rows_G)
        )
        return cls(groups.auc, label_B, value_B)


@dataclass(frozen=True)
class RowDifference:
    """AUC of one run minus AUC of another on the same rows; what cannot be told is None."""

    difference: float
    standard_error: float | None
    p: float | None

    @property
    def ci95(self) -> tuple[float, float] | None:
        if self.standard_error is None:
            return None
        return self.difference - Z95 * self.standard_error, self.difference + Z95 * self.standard_error


def paired_delong(one: Placed, other: Placed) -> RowDifference:
    """AUC of `one` minus that of `other`, its standard error and two-sided p, after DeLong et al. (1988).

    The variance is that of the mean difference of placement values, over positives and over negatives; placement
    values come from one sort a run (Sun & Xu 2014). With a single row in a class it is unknown. ValueError if the
    labels differ.

    >>> label_B = np.array([0, 0, 1, 1])
    >>> best = Placed.of(label_B, np.array([1.0, 2.0, 3.0, 4.0]))
    >>> paired_delong(best, Placed.of(label_B, np.array([1.0, 3.0, 2.0, 4.0]))).difference
    0.25
    """
    if not np.array_equal(one.label_B, other.label_B):
        raise ValueError("the two runs were evaluated on different rows")
    gap_B = one.value_B - other.value_B
    positive_B = one.label_B == 1
    difference = one.auc - other.auc
    variance = 0.0
    for gap_C in (gap_B[positive_B], gap_B[~positive_B]):
        if len(gap_C) < 2:
            return RowDifference(difference, None, None)
        variance += float(gap_C.var(ddof=1)) / len(gap_C)
    error = math.sqrt(variance)
    if error == 0:  # the same ranking, or one that differs by the same amount everywhere
        return RowDifference(difference, error, 1.0 if difference == 0 else None)
    return RowDifference(difference, error, float(2 * ndtr(-abs(difference) / error)))


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (n - 1) of `n` values; None where there are too few."""

    n: int
    mean: float | None
    sd: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """
        >>> Spread.of([1.0, 3.0]), Spread.of([2.0]).sd
        (Spread(n=2, mean=2.0, sd=1.4142135623730951), None)
        """
        mean = statistics.fmean(values) if values else None
        return cls(len(values), mean, statistics.stdev(values) if len(values) > 1 else None)

    @property
    def half(self) -> float | None:
        """Half the width of the 95 % interval of the mean."""
        return None if self.sd is None else float(stdtrit(self.n - 1, 0.975)) * self.sd / math.sqrt(self.n)


@dataclass(frozen=True)
class SeedDifference:
    """Mean and standard deviation of differences over `n` shared seeds, with Student's t on n - 1 degrees of freedom.

    All but the mean are None with one seed. t is also None where all differences are equal, and p then says whether
    they are 0.
    """

    n: int
    mean: float
    sd: float | None = None
    t: float | None = None
    p: float | None = None
    ci95: tuple[float, float] | None = None

    @property
    def standard_error(self) -> float | None:
        return None if self.sd is None else self.sd / math.sqrt(self.n)

    @property
    def half(self) -> float | None:
        """Half the width of the interval."""
        return None if self.ci95 is None else (self.ci95[1] - self.ci95[0]) / 2

    @property
    def verdict(self) -> Verdict:
        """Which way the 95 % interval lies off 0, if it does and comes from five or more seeds."""
        if self.n < DECIDING_SEEDS or self.ci95 is None or self.ci95[0] <= 0 <= self.ci95[1]:
            return "undecided"
        return "higher" if self.mean > 0 else "lower"


def paired_by_seed(one: Mapping[int, float], other: Mapping[int, float]) -> SeedDifference | None:
    """`one` minus `other` over the seeds that both have, None if they share none.

    >>> gain = paired_by_seed({1: 0.8, 2: 0.9, 3: 0.7, 4: 0.1}, {1: 0.7, 2: 0.7, 3: 0.4, 5: 0.2})
    >>> gain.n, round(gain.mean, 6), round(gain.t, 6), gain.verdict
    (3, 0.2, 3.464102, 'undecided')
    """
    gaps = [one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())]
    if not gaps:
        return None
    n, mean = len(gaps), statistics.fmean(gaps)
    if n == 1:
        return SeedDifference(n, mean)
    sd = statistics.stdev(gaps)
    error = sd / math.sqrt(n)
    if error == 0:
        return SeedDifference(n, mean, 0.0, None, 1.0 if mean == 0 else 0.0, (mean, mean))
    half = float(stdtrit(n - 1, 0.975)) * error
    p = float(2 * stdtr(n - 1, -abs(mean) / error))
    return SeedDifference(n, mean, sd, mean / error, p, (mean - half, mean + half))
