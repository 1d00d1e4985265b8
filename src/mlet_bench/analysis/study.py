"""All numbers of one comparison: quality, gains by frequency bucket, cost, size ratios, and what to beware of."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlet_bench.analysis.arms import (
    SINGLE,
    Arm,
    Cell,
    Comparison,
    auc_on_test,
    auc_on_valid,
    gauc_on_test,
    logloss_on_test,
)
from mlet_bench.analysis.caveats import caveats
from mlet_bench.analysis.collect import Run
from mlet_bench.analysis.predictions import PredictionCache
from mlet_bench.analysis.size_ratio import SizeRatio, size_ratios
from mlet_bench.evaluation.statistics import RowDifference, SeedDifference, Spread, paired_by_seed, paired_delong
from mlet_bench.runs.result import Bucket


@dataclass(frozen=True)
class Quality:
    """An arm beside the chosen single table of the same d; the gains are None for that one itself."""

    arm: Arm
    chosen: bool
    tried: int
    """Settings tried in the arm's cell."""
    valid: Spread
    auc: Spread
    gauc: Spread
    """Of no run where no field groups the rows."""
    logloss: Spread
    auc_gain: SeedDifference | None
    logloss_gain: SeedDifference | None
    by_rows: tuple[tuple[int, RowDifference], ...]
    """Seed and paired DeLong, of chosen arms."""


@dataclass(frozen=True)
class BucketResult:
    """A chosen arm on the test rows of one frequency bucket of one field."""

    cell: Cell
    bucket: Bucket
    """Of one seed's run; rows and positives are the same for all."""
    auc: Spread
    logloss: Spread
    auc_gain: SeedDifference | None


@dataclass(frozen=True)
class Cost:
    """What a chosen arm costs; ratios are to the chosen single table of the same d, None without one."""

    cell: Cell
    seconds: Spread
    samples_per_s: Spread
    time_ratio: Spread
    """Training time of a sample, paired by seed."""
    peak_bytes: Spread
    peak_ratio: Spread
    embedding_bytes: tuple[int, int]
    """In training and after collapse."""
    embedding_ratio: float | None
    """In training."""
    parameters: tuple[int, int]


@dataclass(frozen=True)
class Study:
    comparison: Comparison
    qualities: tuple[Quality, ...]
    buckets: tuple[BucketResult, ...]
    costs: tuple[Cost, ...]
    ratios: tuple[SizeRatio, ...]
    headline: SizeRatio | None
    """The size ratio at the d_ref asked for, or the single table's largest d."""
    warnings: tuple[str, ...]


def study(comparison: Comparison, margin: float, dim: int | None) -> Study:
    """The numbers of a comparison; reads the predictions of its chosen arms."""
    shelf = PredictionCache()
    by_rows = _by_rows(comparison, shelf)
    qualities = (_quality(comparison, arm, by_rows) for arm in comparison.arms)
    ratios = tuple(size_ratios(comparison, margin))
    headline = next((one for one in reversed(ratios) if dim in (None, one.ref_dim)), None)
    return Study(
        comparison=comparison,
        qualities=tuple(sorted(qualities, key=lambda one: (one.arm.cell.order, not one.chosen, str(one.arm.setting)))),
        buckets=tuple(_in_buckets(comparison)),
        costs=tuple(_cost(comparison.chosen(cell), comparison.single(cell.dim)) for cell in comparison.cells),
        ratios=ratios,
        headline=headline,
        warnings=tuple(caveats(comparison, headline, shelf.problems)),
    )


def _quality(comparison: Comparison, arm: Arm, by_rows: Mapping[Cell, Sequence[tuple[int, RowDifference]]]) -> Quality:
    tried = comparison.tried(arm.cell)
    chosen = comparison.chosen(arm.cell) is arm
    single = comparison.single(arm.cell.dim)
    base = None if single is arm else single
    return Quality(
        arm=arm,
        chosen=chosen,
        tried=len(tried),
        valid=arm.spread(auc_on_valid),
        auc=arm.spread(auc_on_test),
        gauc=arm.spread(gauc_on_test),
        logloss=arm.spread(logloss_on_test),
        auc_gain=_gain(arm, base, auc_on_test),
        logloss_gain=_gain(arm, base, logloss_on_test),
        by_rows=tuple(by_rows.get(arm.cell, ())) if chosen else (),
    )


def _gain(arm: Arm, base: Arm | None, of: Callable[[Run], float | None]) -> SeedDifference | None:
    return None if base is None else paired_by_seed(arm.values(of), base.values(of))


def _by_rows(comparison: Comparison, shelf: PredictionCache) -> dict[Cell, list[tuple[int, RowDifference]]]:
    """Paired DeLong of each chosen arm, seed by seed, with the single table of the same d.

    All arms of a width follow each other within a seed, so that the single run's predictions are read once.
    """
    found: dict[Cell, list[tuple[int, RowDifference]]] = defaultdict(list)
    for single in (comparison.chosen(cell) for cell in comparison.cells if cell.mode == SINGLE):
        cells = [cell for cell in comparison.cells if cell.dim == single.cell.dim and cell != single.cell]
        arms = [comparison.chosen(cell) for cell in cells]
        for seed, base in sorted(single.runs.items()):
            for arm in arms:
                if seed not in arm.runs or (theirs := shelf.of(base)) is None:
                    continue
                if (ours := shelf.of(arm.runs[seed])) is None:
                    continue
                try:
                    found[arm.cell].append((seed, paired_delong(ours, theirs)))
                except ValueError as error:
                    shelf.problems[arm.runs[seed].path] = str(error)
    return found


def _in_buckets(comparison: Comparison) -> Iterator[BucketResult]:
    for cell in comparison.cells:
        arm, single = comparison.chosen(cell), comparison.single(cell.dim)
        base = None if single is arm else single
        first = next(iter(arm.runs.values()))
        for bucket in first.result.buckets:
            auc = _of_bucket(bucket, lambda found: found.auc)
            logloss = _of_bucket(bucket, lambda found: found.logloss)
            yield BucketResult(cell, bucket, arm.spread(auc), arm.spread(logloss), _gain(arm, base, auc))


def _of_bucket(wanted: Bucket, of: Callable[[Bucket], float | None]) -> Callable[[Run], float | None]:
    """A number of the same bucket of any run."""

    def get(run: Run) -> float | None:
        for bucket in run.result.buckets:
            if (bucket.field, bucket.bucket) == (wanted.field, wanted.bucket):
                return of(bucket)
        return None

    return get


def _cost(arm: Arm, single: Arm | None) -> Cost:
    size = next(iter(arm.runs.values())).result.collapse
    base = None if single is None or single is arm else single
    theirs = None if base is None else next(iter(base.runs.values())).result.collapse.embedding_bytes_training
    return Cost(
        cell=arm.cell,
        seconds=arm.spread(lambda run: run.result.train.seconds),
        samples_per_s=arm.spread(_samples_per_s),
        time_ratio=_ratios(base, arm, _samples_per_s),
        peak_bytes=arm.spread(_peak_bytes),
        peak_ratio=_ratios(arm, base, _peak_bytes),
        embedding_bytes=(size.embedding_bytes_training, size.embedding_bytes_inference),
        embedding_ratio=size.embedding_bytes_training / theirs if theirs else None,
        parameters=(size.parameters_training, size.parameters_inference),
    )


def _samples_per_s(run: Run) -> float | None:
    return run.result.train.samples_per_s


def _peak_bytes(run: Run) -> float | None:
    return run.result.train.peak_memory_bytes


def _ratios(above: Arm | None, below: Arm | None, of: Callable[[Run], float | None]) -> Spread:
    """Ratios of the runs with the same seed."""
    if above is None or below is None:
        return Spread.of([])
    over, under = above.values(of), below.values(of)
    return Spread.of([over[seed] / under[seed] for seed in sorted(over.keys() & under.keys()) if under[seed]])
