"""All numbers of one comparison: quality, gains by frequency bucket, cost, size ratios, and what to beware of."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mlet_bench.evaluation.comparisons import RowDifference, SeedDifference, Spread, paired_by_seed, paired_delong
from mlet_bench.report.arms import Arm, Cell, Comparison, test_auc, test_logloss, valid_auc
from mlet_bench.report.caveats import caveats
from mlet_bench.report.collect import Run
from mlet_bench.report.predictions import Shelf
from mlet_bench.report.result import Bucket
from mlet_bench.report.size_ratio import SizeRatio, size_ratios


@dataclass(frozen=True)
class Quality:
    """An arm beside the chosen single table of the same d; the gains are None for that one itself."""

    arm: Arm
    chosen: bool
    tried: int
    """Settings tried in the arm's cell."""
    valid: Spread
    auc: Spread
    logloss: Spread
    auc_gain: SeedDifference | None
    logloss_gain: SeedDifference | None
    by_rows: tuple[tuple[int, RowDifference], ...]
    """Seed and paired DeLong, of chosen arms."""


@dataclass(frozen=True)
class InBucket:
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
    buckets: tuple[InBucket, ...]
    costs: tuple[Cost, ...]
    ratios: tuple[SizeRatio, ...]
    headline: SizeRatio | None
    """The size ratio at the d_ref asked for, or the single table's largest d."""
    warnings: tuple[str, ...]


def study(comparison: Comparison, margin: float, dim: int | None) -> Study:
    """The numbers of a comparison; reads the predictions of its chosen arms."""
    shelf = Shelf()
    qualities = tuple(_quality(comparison, arm, shelf) for arm in _chosen_side_by_side(comparison))
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


def _chosen_side_by_side(comparison: Comparison) -> list[Arm]:
    """All arms, those of one width together, so that a single run's predictions are read once for all that need it."""
    return sorted(comparison.arms, key=lambda arm: (arm.cell.dim, arm.cell.order))


def _quality(comparison: Comparison, arm: Arm, shelf: Shelf) -> Quality:
    tried = comparison.tried(arm.cell)
    chosen = comparison.chosen(arm.cell) is arm
    single = comparison.single(arm.cell.dim)
    base = None if single is arm else single
    return Quality(
        arm=arm,
        chosen=chosen,
        tried=len(tried),
        valid=arm.spread(valid_auc),
        auc=arm.spread(test_auc),
        logloss=arm.spread(test_logloss),
        auc_gain=_gain(arm, base, test_auc),
        logloss_gain=_gain(arm, base, test_logloss),
        by_rows=tuple(_by_rows(arm, base, shelf)) if chosen and base is not None else (),
    )


def _gain(arm: Arm, base: Arm | None, of: Callable[[Run], float | None]) -> SeedDifference | None:
    return None if base is None else paired_by_seed(arm.values(of), base.values(of))


def _by_rows(arm: Arm, base: Arm, shelf: Shelf) -> Iterator[tuple[int, RowDifference]]:
    for seed in sorted(arm.runs.keys() & base.runs.keys()):
        theirs, ours = shelf.of(base.runs[seed]), shelf.of(arm.runs[seed])
        if ours is None or theirs is None:
            continue
        try:
            yield seed, paired_delong(ours, theirs)
        except ValueError as error:
            shelf.problems[arm.runs[seed].path] = str(error)


def _in_buckets(comparison: Comparison) -> Iterator[InBucket]:
    for cell in comparison.cells:
        arm, single = comparison.chosen(cell), comparison.single(cell.dim)
        base = None if single is arm else single
        first = next(iter(arm.runs.values()))
        for bucket in first.result.buckets:
            auc = _of_bucket(bucket, lambda found: found.auc)
            logloss = _of_bucket(bucket, lambda found: found.logloss)
            yield InBucket(cell, bucket, arm.spread(auc), arm.spread(logloss), _gain(arm, base, auc))


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
