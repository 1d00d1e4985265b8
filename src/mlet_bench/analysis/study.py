"""All numbers of one comparison: quality, gains by frequency bucket, cost, size ratios, and caveats."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter

from mlet_bench.analysis.caveats import caveats
from mlet_bench.analysis.comparisons import Number, RunGroup, StudyComparison, auc_on_test
from mlet_bench.analysis.predictions import PredictionCache
from mlet_bench.analysis.size_ratio import SizeRatio, size_ratios
from mlet_bench.analysis.variants import EmbeddingVariant
from mlet_bench.evaluation.buckets import RAREST
from mlet_bench.evaluation.statistics import RowDifference, SeedDifference, Spread, paired_delong
from mlet_bench.runs.result import Bucket, Collapse

samples_per_s: Number = attrgetter("result.train.samples_per_s")
peak_bytes: Number = attrgetter("result.train.peak_memory_bytes")


@dataclass(frozen=True)
class RunPair:
    """A run beside that of the standard embedding of the same d and seed, by the test rows alone."""

    group: RunGroup
    seed: int
    difference: RowDifference


@dataclass(frozen=True)
class _Measured:
    """A group, and what it is measured over."""

    group: RunGroup
    baseline: RunGroup | None
    """The chosen standard embedding of the same d; None for that one itself."""

    @property
    def variant(self) -> EmbeddingVariant:
        return self.group.variant

    def gain(self, number: Number) -> SeedDifference | None:
        return None if self.baseline is None else self.group.minus(self.baseline, number)


@dataclass(frozen=True)
class GroupResult(_Measured):
    """The quality and the cost of a group."""

    chosen: bool
    """Its setting stands for its variant."""
    tried: int
    """Settings tried of the variant."""
    pairs: tuple[RunPair, ...]
    """Of chosen groups."""

    @cached_property
    def auc(self) -> Spread:
        return self.group.spread(auc_on_test)

    @cached_property
    def auc_gain(self) -> SeedDifference | None:
        return self.gain(auc_on_test)

    @property
    def time_ratio(self) -> Spread | None:
        """Training time of a sample over that of the standard embedding, paired by seed."""
        return None if self.baseline is None else self.baseline.over(self.group, samples_per_s)

    @property
    def peak_ratio(self) -> Spread | None:
        return None if self.baseline is None else self.group.over(self.baseline, peak_bytes)

    @property
    def sizes(self) -> Collapse:
        return self.group.first.result.collapse

    @property
    def embedding_ratio(self) -> float | None:
        """Bytes in training, over those of the standard embedding."""
        base = None if self.baseline is None else self.baseline.first.result.collapse.embedding_bytes_training
        return self.sizes.embedding_bytes_training / base if base else None


@dataclass(frozen=True)
class BucketResult(_Measured):
    """A chosen group on the test rows of one frequency bucket of one field."""

    bucket: Bucket
    """Of one seed's run; rows and positives are the same for all."""

    @cached_property
    def auc_gain(self) -> SeedDifference | None:
        return self.gain(self.number("auc"))

    def number(self, name: str) -> Number:
        """That of the same bucket of any run."""
        key = self.bucket.field, self.bucket.bucket
        return lambda run: getattr(run.buckets.get(key), name, None)


@dataclass(frozen=True)
class Study:
    comparison: StudyComparison
    results: tuple[GroupResult, ...]
    buckets: tuple[BucketResult, ...]
    ratios: tuple[SizeRatio, ...]
    headline: SizeRatio | None
    warnings: tuple[str, ...]

    @property
    def title(self) -> str:
        return self.comparison.task.title

    @property
    def headline_fields(self) -> list[str]:
        """Those whose gains by bucket are shown: `rarest`, and the item field where there is one."""
        return list(dict.fromkeys(name for name in (RAREST, self.comparison.item_field) if name))

    @property
    def chosen(self) -> list[GroupResult]:
        return [result for result in self.results if result.chosen]


def study(comparison: StudyComparison, margin: float, dim: int | None) -> Study:
    """The numbers of a comparison; reads the predictions of its chosen groups."""
    predictions = PredictionCache()
    chosen = {group.variant: group for group in comparison.chosen_groups}
    pairs = _pairs(comparison.chosen_groups if comparison.budget.is_fair else [], predictions)

    def measured(group: RunGroup) -> tuple[RunGroup, RunGroup | None]:
        baseline = comparison.baseline(group.variant.dim)
        return group, None if baseline is group else baseline

    results = []
    for group in comparison.groups:
        is_chosen = chosen[group.variant] is group
        own_pairs = tuple(pairs[group.variant]) if is_chosen else ()
        tried = comparison.budget.trials or len(comparison.tried(group.variant))
        results.append(GroupResult(*measured(group), is_chosen, tried, own_pairs))
    results.sort(key=lambda result: (result.variant.order, not result.chosen, str(result.group.tuned)))
    ratios = size_ratios(comparison, margin, dim) if comparison.budget.is_fair else []
    headline = next((ratio for ratio in ratios if ratio.is_headline), None)
    return Study(
        comparison=comparison,
        results=tuple(results),
        buckets=tuple(
            BucketResult(*measured(group), bucket) for group in chosen.values() for bucket in group.first.result.buckets
        ),
        ratios=tuple(ratios),
        headline=headline,
        warnings=tuple(caveats(comparison, headline, predictions.problems)),
    )


def _pairs(chosen: Sequence[RunGroup], predictions: PredictionCache) -> Mapping[EmbeddingVariant, list[RunPair]]:
    """Paired DeLong of each chosen group, seed by seed, with the standard embedding of the same d.

    All groups of a width follow each other within a seed, so that the single run's predictions are read once.
    """
    pairs: dict[EmbeddingVariant, list[RunPair]] = defaultdict(list)
    for single in (group for group in chosen if group.variant.is_baseline):
        others = [group for group in chosen if group.variant.dim == single.variant.dim and group is not single]
        for seed, base in single.runs.items():
            for group in (group for group in others if seed in group.runs):
                theirs = predictions.placed(base)
                ours = None if theirs is None else predictions.placed(group.runs[seed])
                if theirs is None or ours is None:
                    continue
                try:
                    pairs[group.variant].append(RunPair(group, seed, paired_delong(ours, theirs)))
                except ValueError as error:
                    predictions.problems[group.runs[seed].path] = str(error)
    return pairs
