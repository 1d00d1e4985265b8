"""How much narrower an MLET embedding may be at the standard embedding's quality.

The width that counts is chosen on validation alone. Bootstrap: Efron & Tibshirani (1993), percentile intervals.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from mlet_bench.analysis.comparisons import RunGroup, StudyComparison, auc_on_test, auc_on_valid
from mlet_bench.evaluation.statistics import SeedDifference

RESAMPLES = 2000
BOOTSTRAP_SEED = 0
NOT_REACHED = 0.0
"""The ratio where no width that was tried reaches the quality."""

Gaps = Mapping[int, Sequence[Mapping[int, float]]]
"""d → for each group of that width, seed → its validation AUC minus the standard embedding's at d_ref."""
Interval = tuple[float, float]


@dataclass(frozen=True)
class Reached:
    """The smallest width that reaches the quality."""

    dim: int
    interpolated: float
    """Where the line between it and the next smaller width, over log d, crosses the quality."""
    is_smallest_tried: bool
    """No smaller width was tried, so that the ratio may be larger."""


@dataclass(frozen=True)
class SizeRatio:
    """d_ref over the smallest MLET width that reaches the validation AUC of the standard embedding of width d_ref."""

    group: RunGroup
    """The standard embedding."""
    is_headline: bool
    """At the d_ref asked for, or the standard embedding's largest d."""
    margin: float
    seeds: int
    """Seeds that the standard embedding shares with some MLET group."""
    widest: int
    """The largest MLET width that was tried; where none reaches, the ratio is below d_ref / widest."""
    reached: Reached | None
    mlet: RunGroup | None
    """The MLET group that stands for that width: the best of its k on validation."""
    ci95: Interval | None
    interpolated_ci95: Interval | None
    """Over seeds; None with one seed. 0 stands for not reached."""

    @property
    def ref_dim(self) -> int:
        return self.group.variant.dim

    @property
    def valid_auc(self) -> float | None:
        """Of the standard embedding, mean over its seeds."""
        return self.group.spread(auc_on_valid).mean

    @property
    def ratio(self) -> float | None:
        return None if self.reached is None else self.ref_dim / self.reached.dim

    @property
    def interpolated_ratio(self) -> float | None:
        return None if self.reached is None else self.ref_dim / self.reached.interpolated

    @property
    def test(self) -> SeedDifference | None:
        """Test AUC of the MLET group minus the standard embedding's."""
        return None if self.mlet is None else self.mlet.minus(self.group, auc_on_test)

    @property
    def parameters(self) -> float | None:
        """Parameters of the whole single model over those of the MLET group, after collapse."""
        single, *mlet = (group.first.result.collapse.parameters_inference for group in (self.group, self.mlet) if group)
        return single / mlet[0] if mlet else None


@dataclass(frozen=True)
class Summary:
    """The ratios of several comparisons."""

    over: str
    """A data set's name, or all."""
    comparisons: int
    reached: int
    """Of them; mean and maximum are over these alone."""
    mean: float | None
    maximum: float | None
    interpolated_mean: float | None
    interpolated_maximum: float | None
    is_bound: bool
    """Some of them reached the quality at the smallest width that was tried: the ratios may be larger."""

    @classmethod
    def of(cls, over: str, ratios: Sequence[SizeRatio]) -> "Summary":
        reached = [ratio.reached for ratio in ratios if ratio.reached is not None]
        on_grid = [ratio.ratio for ratio in ratios if ratio.ratio is not None]
        between = [ratio.interpolated_ratio for ratio in ratios if ratio.interpolated_ratio is not None]
        mean, between_mean = (fmean(values) if values else None for values in (on_grid, between))
        maximum, between_maximum = max(on_grid, default=None), max(between, default=None)
        is_bound = any(width.is_smallest_tried for width in reached)
        return cls(over, len(ratios), len(reached), mean, maximum, between_mean, between_maximum, is_bound)


def smallest_width(gap_of_dim: Mapping[int, float], margin: float) -> Reached | None:
    """The smallest width whose gap is at least -margin, and where the line over log d crosses -margin.

    >>> smallest_width({2: -0.003, 4: 0.001, 8: 0.002}, 0.0)
    Reached(dim=4, interpolated=3.363585661014858, is_smallest_tried=False)
    """
    below: tuple[int, float] | None = None
    for dim, gap in sorted(gap_of_dim.items()):
        if gap >= -margin:
            if below is None:
                return Reached(dim, float(dim), True)
            last, short = below[0], -margin - below[1]
            share = short / (short + gap + margin)
            return Reached(dim, math.exp(math.log(last) + share * math.log(dim / last)), False)
        below = dim, gap
    return None


def size_ratios(comparison: StudyComparison, margin: float, dim: int | None = None) -> list[SizeRatio]:
    """One for each width of the standard embedding, smallest first; none without both modes, or of one width.

    The headline is at `dim`, or the largest width.
    """
    groups = comparison.chosen_groups
    candidates = [group for group in groups if group.variant.is_method]
    if len({group.variant.dim for group in groups if group.variant.is_baseline or group.variant.is_method}) < 2:
        return []
    every = (_at(group, candidates, margin) for group in groups if group.variant.is_baseline)
    ratios = [ratio for ratio in every if ratio is not None]
    headline = max((ratio.ref_dim for ratio in ratios), default=None) if dim is None else dim
    return [replace(ratio, is_headline=ratio.ref_dim == headline) for ratio in ratios]


def _at(reference: RunGroup, candidates: Sequence[RunGroup], margin: float) -> SizeRatio | None:
    target = reference.values(auc_on_valid)
    gaps: dict[int, list[dict[int, float]]] = {}
    best: dict[int, tuple[float, RunGroup]] = {}
    for group in candidates:
        values, dim = group.values(auc_on_valid), group.variant.dim
        gap = {seed: values[seed] - target[seed] for seed in sorted(values.keys() & target.keys())}
        if not gap:
            continue
        gaps.setdefault(dim, []).append(gap)
        mean = sum(gap.values()) / len(gap)
        if dim not in best or mean > best[dim][0]:
            best[dim] = mean, group
    if not gaps:
        return None
    reached = smallest_width({dim: mean for dim, (mean, _) in best.items()}, margin)
    on_grid, interpolated = bootstrap(gaps, reference.variant.dim, margin)
    return SizeRatio(
        group=reference,
        is_headline=False,
        margin=margin,
        seeds=len({seed for groups in gaps.values() for gap in groups for seed in gap}),
        widest=max(best),
        reached=reached,
        mlet=None if reached is None else best[reached.dim][1],
        ci95=on_grid,
        interpolated_ci95=interpolated,
    )


def bootstrap(gaps: Gaps, ref_dim: int, margin: float) -> tuple[Interval | None, Interval | None]:
    """95 % percentile intervals of the ratio and the interpolated ratio, seeds drawn with replacement.

    The best k of every width is chosen anew in each of the resamples; the draws are the same in every call. None
    where all groups together have one seed.
    """
    seeds = sorted({seed for groups in gaps.values() for gap in groups for seed in gap})
    if len(seeds) < 2:
        return None, None
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    drawn_RS = rng.multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), size=RESAMPLES)
    dims = sorted(gaps)
    best_DR = np.array([_best_means(gaps[dim], seeds, drawn_RS) for dim in dims])
    ratios, interpolated = [], []
    for gap_D in best_DR.T:
        known = {dim: float(gap) for dim, gap in zip(dims, gap_D, strict=True) if gap > -np.inf}
        reached = smallest_width(known, margin)
        ratios.append(NOT_REACHED if reached is None else ref_dim / reached.dim)
        interpolated.append(NOT_REACHED if reached is None else ref_dim / reached.interpolated)
    return _middle(ratios), _middle(interpolated)


def _best_means(groups: Sequence[Mapping[int, float]], seeds: Sequence[int], drawn_RS: np.ndarray) -> np.ndarray:
    """For each resample the best group's mean gap; -inf where none of the seeds drawn ran any of them."""
    means = []
    for gap in groups:
        has_S = np.array([seed in gap for seed in seeds])
        value_S = np.array([gap.get(seed, 0.0) for seed in seeds])
        count_R = drawn_RS[:, has_S].sum(1)
        means.append(np.where(count_R > 0, drawn_RS @ value_S / np.maximum(count_R, 1), -np.inf))
    return np.asarray(np.max(means, axis=0))


def _middle(values: Sequence[float]) -> Interval:
    low, high = np.quantile(values, [0.025, 0.975], method="inverted_cdf")
    return float(low), float(high)
