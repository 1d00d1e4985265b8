"""How much narrower an MLET embedding may be at the single table's quality.

The width that counts is chosen on validation alone. Bootstrap: Efron & Tibshirani (1993), percentile intervals.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from mlet_bench.analysis.arms import SINGLE, Arm, Cell, Comparison, auc_on_test, auc_on_valid
from mlet_bench.evaluation.statistics import SeedDifference, paired_by_seed

RESAMPLES = 2000
BOOTSTRAP_SEED = 0
NOT_REACHED = 0.0
"""The ratio where no width that was tried reaches the quality."""

Gaps = Mapping[int, Sequence[Mapping[int, float]]]
"""d → for each arm of that width, seed → its validation AUC minus the single table's at d_ref."""


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
    """d_ref over the smallest MLET width that reaches the validation AUC of the single table of width d_ref."""

    ref_dim: int
    margin: float
    valid_auc: float
    """Of the single table at d_ref, mean over its seeds."""
    seeds: int
    """Seeds that the single table at d_ref shares with some MLET arm."""
    widest: int
    """The largest MLET width that was tried; where none reaches, the ratio is below d_ref / widest."""
    reached: Reached | None
    cell: Cell | None
    """The MLET arm that stands for that width: the best of its k on validation."""
    ci95: tuple[float, float] | None
    interpolated_ci95: tuple[float, float] | None
    """Over seeds; None with one seed. 0 stands for not reached."""
    test: SeedDifference | None
    """Test AUC of that arm minus the single table's at d_ref."""
    parameters: float | None
    """Parameters of the whole single model at d_ref over those of that arm, after collapse."""

    @property
    def ratio(self) -> float | None:
        return None if self.reached is None else self.ref_dim / self.reached.dim

    @property
    def interpolated_ratio(self) -> float | None:
        return None if self.reached is None else self.ref_dim / self.reached.interpolated


@dataclass(frozen=True)
class Summary:
    """The ratios of several comparisons."""

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
    def of(cls, ratios: Sequence[SizeRatio]) -> "Summary":
        reached = [one.reached for one in ratios if one.reached is not None]
        grid = [one.ratio for one in ratios if one.ratio is not None]
        between = [one.interpolated_ratio for one in ratios if one.interpolated_ratio is not None]
        return cls(
            comparisons=len(ratios),
            reached=len(grid),
            mean=fmean(grid) if grid else None,
            maximum=max(grid, default=None),
            interpolated_mean=fmean(between) if between else None,
            interpolated_maximum=max(between, default=None),
            is_bound=any(one.is_smallest_tried for one in reached),
        )


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


def size_ratios(comparison: Comparison, margin: float) -> list[SizeRatio]:
    """One for each width of the single table, smallest first; none without a single and an MLET arm."""
    arms = [comparison.chosen(cell) for cell in comparison.cells]
    singles = [arm for arm in arms if arm.cell.mode == SINGLE]
    others = [arm for arm in arms if arm.cell.mode != SINGLE and not arm.cell.is_control]
    found = (_at(reference, others, margin) for reference in singles)
    return [ratio for ratio in found if ratio is not None]


def _at(reference: Arm, others: Sequence[Arm], margin: float) -> SizeRatio | None:
    target = reference.values(auc_on_valid)
    gaps: dict[int, list[dict[int, float]]] = {}
    best: dict[int, tuple[float, Arm]] = {}
    for arm in others:
        values = arm.values(auc_on_valid)
        gap = {seed: values[seed] - target[seed] for seed in sorted(values.keys() & target.keys())}
        if not gap:
            continue
        gaps.setdefault(arm.cell.dim, []).append(gap)
        mean = sum(gap.values()) / len(gap)
        if arm.cell.dim not in best or mean > best[arm.cell.dim][0]:
            best[arm.cell.dim] = mean, arm
    if not gaps:
        return None
    reached = smallest_width({dim: mean for dim, (mean, _) in best.items()}, margin)
    on_grid, interpolated = bootstrap(gaps, reference.cell.dim, margin)
    chosen = None if reached is None else best[reached.dim][1]
    mean_target = reference.spread(auc_on_valid).mean
    assert mean_target is not None
    return SizeRatio(
        ref_dim=reference.cell.dim,
        margin=margin,
        valid_auc=mean_target,
        seeds=len({seed for arms in gaps.values() for gap in arms for seed in gap}),
        widest=max(best),
        reached=reached,
        cell=None if chosen is None else chosen.cell,
        ci95=on_grid,
        interpolated_ci95=interpolated,
        test=None if chosen is None else paired_by_seed(chosen.values(auc_on_test), reference.values(auc_on_test)),
        parameters=None if chosen is None else _parameters(reference) / _parameters(chosen),
    )


def bootstrap(gaps: Gaps, ref_dim: int, margin: float) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """95 % percentile intervals of the ratio and the interpolated ratio, seeds drawn with replacement.

    The best k of every width is chosen anew in each of the resamples; the draws are the same in every call. None
    where all arms together have one seed.
    """
    seeds = sorted({seed for arms in gaps.values() for gap in arms for seed in gap})
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


def _best_means(arms: Sequence[Mapping[int, float]], seeds: Sequence[int], drawn_RS: np.ndarray) -> np.ndarray:
    """For each resample the best arm's mean gap; -inf where none of the seeds drawn ran any of them."""
    means = []
    for gap in arms:
        has_S = np.array([seed in gap for seed in seeds])
        value_S = np.array([gap.get(seed, 0.0) for seed in seeds])
        count_R = drawn_RS[:, has_S].sum(1)
        means.append(np.where(count_R > 0, drawn_RS @ value_S / np.maximum(count_R, 1), -np.inf))
    return np.asarray(np.max(means, axis=0))


def _middle(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975], method="inverted_cdf")
    return float(low), float(high)


def _parameters(arm: Arm) -> float:
    return next(run.result.collapse.parameters_inference for _, run in sorted(arm.runs.items()))
