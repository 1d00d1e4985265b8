"""Runs of the paper's experiments, read in two ways.

A run belongs to an experiment by its key `reference`, which conf/experiment/paper/ sets. "As published" takes the runs
with the paper's optimiser, its start and one learning rate for everything; "tuned table rate" takes, for each
embedding, the learning rate of the tables that validation chose among equally many.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mlet_bench.analysis.comparisons import Number, RunGroup, StudyComparison, auc_on_test, quality
from mlet_bench.analysis.paper.published import Experiment, published
from mlet_bench.analysis.variants import SVD, EmbeddingVariant
from mlet_bench.config.emb import MLETEmbConfig, mode_of
from mlet_bench.evaluation.statistics import SeedDifference, Spread, paired_by_seed

PUBLISHED, OWN_RATE = "as published", "tuned table rate"


def mlet(dim: int, inner: int) -> EmbeddingVariant:
    return EmbeddingVariant(mode_of(MLETEmbConfig), dim, inner)


@dataclass(frozen=True)
class Reading:
    """Which group of runs stands for each embedding."""

    name: str
    groups: Mapping[EmbeddingVariant, RunGroup]

    def spread(self, variant: EmbeddingVariant, number: Number = auc_on_test) -> Spread | None:
        group = self.groups.get(variant)
        return None if group is None else group.spread(number)

    def gain(self, variant: EmbeddingVariant, number: Number = auc_on_test) -> SeedDifference | None:
        """Over the standard embedding of the same d, paired by seed."""
        group, base = self.groups.get(variant), self.groups.get(EmbeddingVariant.baseline(variant.dim))
        return None if group is None or base is None else group.minus(base, number)

    def relative_gain(self, variant: EmbeddingVariant, number: Number) -> SeedDifference | None:
        """The ratio to the standard embedding of the same d, less 1, paired by seed."""
        group, base = self.groups.get(variant), self.groups.get(EmbeddingVariant.baseline(variant.dim))
        if group is None or base is None:
            return None
        theirs = base.values(number)
        ratios = {seed: value / theirs[seed] for seed, value in group.values(number).items() if theirs.get(seed)}
        return paired_by_seed(ratios, dict.fromkeys(ratios, 1.0))

    @property
    def mlet_variants(self) -> list[EmbeddingVariant]:
        return [variant for variant in self.groups if variant.is_method]


@dataclass(frozen=True)
class ExperimentRuns:
    """The runs of one experiment on one data set."""

    name: str
    comparison: StudyComparison

    @property
    def experiment(self) -> Experiment:
        return published().experiments[self.name]

    @property
    def data(self) -> str:
        independent = self.comparison.runs[0].config.get("dataset.structure") == "independent"
        return self.comparison.task.dataset + ", independent" * independent

    @cached_property
    def published(self) -> Reading:
        """One learning rate for everything."""
        rate = self.experiment.lr
        groups = [group for group in self._started_alike if group.tuned.lr == group.tuned.emb_lr == rate]
        return Reading(PUBLISHED, {group.variant: group for group in reversed(groups)})

    @cached_property
    def own_rate(self) -> Reading:
        """Of embeddings that had several rates to choose from, as many as the standard embedding of their width.

        One whose runs failed has fewer, and is no better off for it.
        """
        tried: dict[EmbeddingVariant, list[RunGroup]] = {}
        for group in self._started_alike:
            tried.setdefault(group.variant, []).append(group)
        counts = {variant: len(groups) for variant, groups in tried.items()}
        return Reading(
            OWN_RATE,
            {
                variant: _best(groups)
                for variant, groups in tried.items()
                if 1 < counts[variant] <= counts.get(EmbeddingVariant.baseline(variant.dim), 0)
            },
        )

    @property
    def readings(self) -> tuple[Reading, ...]:
        return self.published, self.own_rate

    @property
    def _started_alike(self) -> list[RunGroup]:
        """With the paper's start, and truncated tables of such runs."""
        return [
            group
            for group in self.comparison.groups
            if group.variant.inner is None
            or group.variant.mode == SVD
            or group.tuned.inner_std == self.experiment.inner_std
        ]

    @cached_property
    def starts(self) -> dict[float, dict[EmbeddingVariant, RunGroup]]:
        """MLET with one rate for everything, by the standard deviation of W2's entries; variants that have three."""
        by_variant: dict[EmbeddingVariant, dict[float, RunGroup]] = {}
        for group in self.comparison.groups:
            std = group.tuned.inner_std
            if group.variant.is_method and std is not None and group.tuned.emb_lr == self.experiment.lr:
                by_variant.setdefault(group.variant, {})[std] = group
        starts: dict[float, dict[EmbeddingVariant, RunGroup]] = {}
        for variant, groups in by_variant.items():
            for std in sorted(groups) if len(groups) > 2 else ():
                starts.setdefault(std, {})[variant] = groups[std]
        return starts


def _best(groups: Sequence[RunGroup]) -> RunGroup:
    shared = set.intersection(*(set(group.runs) for group in groups))
    return max(groups, key=lambda group: quality(group, shared))


def experiments(comparisons: Sequence[StudyComparison]) -> list[ExperimentRuns]:
    """The comparisons whose runs name an experiment and use its optimiser for one epoch, in the paper's order."""
    found = []
    for name, experiment in published().experiments.items():
        for comparison in comparisons:
            config = comparison.runs[0].config
            theirs = (name, experiment.optimizer, 1)
            if (config.get("reference"), config.get("train.optimizer"), config.get("train.epochs")) == theirs:
                found.append(ExperimentRuns(name, comparison))
    return sorted(found, key=lambda runs: (list(published().experiments).index(runs.name), runs.data))
