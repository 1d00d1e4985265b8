"""The paper's figures (arXiv 2309.15881), and what runs of its experiments make of them.

A run belongs to an experiment by its key `reference`, which conf/experiment/paper/ sets. Its runs have two readings:
"as published" takes those with the paper's optimiser, its start and one learning rate for everything; "table rate of its
own" takes, for each embedding, the learning rate of the tables that validation chose among equally many.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources

from pydantic import BaseModel

from mlet_bench.analysis.comparisons import Number, RunGroup, StudyComparison, auc_on_test, quality
from mlet_bench.analysis.variants import SVD, EmbeddingVariant
from mlet_bench.config.emb import MLETEmbConfig, mode_of
from mlet_bench.evaluation.buckets import HIGHEST_TENTH, LOWEST_TENTH, POPULARITY
from mlet_bench.evaluation.statistics import SeedDifference, Spread, paired_by_seed

PUBLISHED, OWN_RATE = "as published", "table rate of its own"
WIDTHS, INNER = (4, 16), 64
"""Of Table 3."""


class Experiment(BaseModel):
    label: str
    optimizer: str
    lr: float
    inner_std: float
    """Of an entry of W2 at the start."""
    reduction: str
    """The largest, with the widths between which it was found."""


class Curve(BaseModel):
    """A number for each width d; `inner` is k, None the single table."""

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
    """AUC by d: single tables of width `inner` truncated to rank d, and MLET of that inner dimension."""

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
    text = resources.files("mlet_bench.analysis").joinpath("paper.json").read_text(encoding="utf-8")
    return Paper.model_validate_json(text)


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
        """Over the single table of the same d, paired by seed."""
        group, base = self.groups.get(variant), self.groups.get(EmbeddingVariant.baseline(variant.dim))
        return None if group is None or base is None else group.minus(base, number)

    def relative_gain(self, variant: EmbeddingVariant, number: Number) -> SeedDifference | None:
        """The ratio to the single table of the same d, less 1, paired by seed."""
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
        return self.comparison.task.dataset

    @cached_property
    def published(self) -> Reading:
        """One learning rate for everything."""
        rate = self.experiment.lr
        groups = [group for group in self._started_alike if group.tuned.lr == group.tuned.emb_lr == rate]
        return Reading(PUBLISHED, {group.variant: group for group in reversed(groups)})

    @cached_property
    def own_rate(self) -> Reading:
        """For embeddings that had as many rates to choose from as the single table of their width, and more than one."""
        tried: dict[EmbeddingVariant, list[RunGroup]] = {}
        for group in self._started_alike:
            tried.setdefault(group.variant, []).append(group)
        counts = {variant: len(groups) for variant, groups in tried.items()}
        return Reading(
            OWN_RATE,
            {
                variant: _best(groups)
                for variant, groups in tried.items()
                if 1 < counts[variant] == counts.get(EmbeddingVariant.baseline(variant.dim))
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
            if not group.variant.is_method or group.tuned.inner_std == self.experiment.inner_std
        ]

    @cached_property
    def starts(self) -> dict[float, dict[EmbeddingVariant, RunGroup]]:
        """MLET with one rate for everything, by the standard deviation of W2's entries; none where there is one alone."""
        found: dict[float, dict[EmbeddingVariant, RunGroup]] = {}
        for group in self.comparison.groups:
            std = group.tuned.inner_std
            if group.variant.is_method and std is not None and group.tuned.emb_lr == self.experiment.lr:
                found.setdefault(std, {})[group.variant] = group
        shared = {variant for std, groups in found.items() for variant in groups if std != self.experiment.inner_std}
        kept = {std: {v: g for v, g in groups.items() if v in shared} for std, groups in sorted(found.items())}
        return kept if len(kept) > 1 else {}


def _best(groups: Sequence[RunGroup]) -> RunGroup:
    shared = set.intersection(*({seed for seed in group.runs} for group in groups))
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
    return found


@dataclass(frozen=True)
class AucRow:
    """A line of Table 3; `single`, `mlet` and `gain` by d."""

    model: str
    reading: str
    single: Mapping[int, Spread | None]
    mlet: Mapping[int, Spread | None]
    gain: Mapping[int, SeedDifference | None]
    reduction: str | None


def auc_rows(found: Sequence[ExperimentRuns]) -> list[AucRow]:
    """Table 3, the paper's line above ours."""
    rows = []
    for runs in found:
        rows.append(_printed(runs.name))
        for reading in runs.readings:
            single = {dim: reading.spread(EmbeddingVariant.baseline(dim)) for dim in WIDTHS}
            with_inner = {dim: reading.spread(mlet(dim, INNER)) for dim in WIDTHS}
            if any(with_inner.values()):
                gain = {dim: reading.gain(mlet(dim, INNER)) for dim in WIDTHS}
                name = f"{runs.data}, {reading.name}"
                rows.append(AucRow(runs.experiment.label, name, single, with_inner, gain, reduction(reading)))
    return rows


def _printed(name: str) -> AucRow:
    paper = published()
    auc = {curve.inner: curve.values for curve in paper.auc if curve.experiment == name}
    single, with_inner = ({dim: Spread(0, value, None) for dim, value in auc[inner].items()} for inner in (None, INNER))
    gain = {dim: SeedDifference(0, auc[INNER][dim] - auc[None][dim]) for dim in WIDTHS}
    experiment = paper.experiments[name]
    return AucRow(experiment.label, "the paper", single, with_inner, gain, experiment.reduction)


def reduction(reading: Reading) -> str | None:
    """The largest ratio of widths, over all d and k, at which mean AUC is the single table's or higher.

    None where fewer than two widths of either were tried.
    """
    singles = {v.dim: s.mean for v in reading.groups if v.is_baseline and (s := reading.spread(v)) and s.mean}
    theirs = [(v.dim, v.inner, s.mean) for v in reading.mlet_variants if (s := reading.spread(v)) and s.mean]
    if len(singles) < 2 or len({dim for dim, _, _ in theirs}) < 2:
        return None
    reached = [
        (wide / dim, wide, dim, inner)
        for wide, auc in singles.items()
        for dim, inner, value in theirs
        if value >= auc and dim <= wide
    ]
    if not reached:
        return "not reached"
    factor, wide, dim, inner = max(reached, key=lambda entry: (entry[0], -(entry[3] or 0)))
    return f"{factor:g}× ({wide} → {dim}, k = {inner})"


@dataclass(frozen=True)
class GainRow:
    """What MLET is worth beside a single table that was tuned alike."""

    runs: ExperimentRuns
    variant: EmbeddingVariant
    single: RunGroup
    mlet: RunGroup
    gain: SeedDifference


def remaining(found: Sequence[ExperimentRuns]) -> list[GainRow]:
    """All differences of the second reading, by experiment, d and k."""
    rows = []
    for runs in found:
        reading = runs.own_rate
        for variant in sorted(reading.mlet_variants, key=lambda variant: (variant.dim, variant.inner or 0)):
            gain = reading.gain(variant)
            if gain is not None:
                single = reading.groups[EmbeddingVariant.baseline(variant.dim)]
                rows.append(GainRow(runs, variant, single, reading.groups[variant], gain))
    return rows


def of_bucket(field: str, bucket: str, number: str) -> Number:
    """A number of a frequency bucket of any run."""
    return lambda run: getattr(run.buckets.get((field, bucket)), number, None)


def gains_by_bucket(row: GainRow, field: str = POPULARITY) -> dict[str, SeedDifference]:
    """Of AUC, in the order of the buckets."""
    names = [bucket.bucket for bucket in row.mlet.first.result.buckets if bucket.field == field]
    gains = {name: row.mlet.minus(row.single, of_bucket(field, name, "auc")) for name in names}
    return {name: gain for name, gain in gains.items() if gain is not None}


@dataclass(frozen=True)
class RareRow:
    """A line of Table 4: relative gains in PR-AUC."""

    model: str
    dim: int
    inner: int
    reading: str
    frequent: SeedDifference | None
    rare: SeedDifference | None


def rare_rows(found: Sequence[ExperimentRuns]) -> list[RareRow]:
    rows = []
    frequent, rare = (of_bucket(POPULARITY, tenth, "pr_auc") for tenth in (HIGHEST_TENTH, LOWEST_TENTH))
    for runs in found:
        printed = [entry for entry in published().rare if entry.experiment == runs.name]
        label = runs.experiment.label
        rows += [
            RareRow(label, e.dim, e.inner, "the paper", SeedDifference(0, e.frequent), SeedDifference(0, e.rare))
            for e in printed
        ]
        wanted = {mlet(entry.dim, entry.inner) for entry in printed} | {mlet(16, INNER)}
        for reading in runs.readings:
            for variant in sorted(wanted & set(reading.groups)):
                gains = (reading.relative_gain(variant, number) for number in (frequent, rare))
                rows.append(RareRow(label, variant.dim, variant.inner or 0, f"{runs.data}, {reading.name}", *gains))
    return rows


@dataclass(frozen=True)
class SVDRow:
    """A line of Table 5, both by d: single tables of width k truncated to rank d, and MLET of inner dimension k."""

    model: str
    inner: int
    reading: str
    svd: Mapping[int, Spread | None]
    mlet: Mapping[int, Spread | None]
    gain: Mapping[int, SeedDifference | None]


def svd_rows(found: Sequence[ExperimentRuns]) -> list[SVDRow]:
    rows = []
    for runs in found:
        reading = runs.published
        truncated = sorted(variant for variant in reading.groups if variant.mode == SVD)
        for width in dict.fromkeys(variant.inner or 0 for variant in truncated):
            dims = [variant.dim for variant in truncated if variant.inner == width]
            for entry in published().svd:
                if (entry.experiment, entry.inner) == (runs.name, width):
                    both = ({d: Spread(0, v, None) for d, v in side.items()} for side in (entry.svd, entry.mlet))
                    gaps = {d: SeedDifference(0, entry.mlet[d] - entry.svd[d]) for d in entry.svd.keys() & entry.mlet}
                    rows.append(SVDRow(runs.experiment.label, width, "the paper", *both, gaps))
            pairs = {dim: (EmbeddingVariant(SVD, dim, width), mlet(dim, width)) for dim in dims}
            rows.append(
                SVDRow(
                    runs.experiment.label,
                    width,
                    f"{runs.data}, {reading.name}",
                    {dim: reading.spread(svd) for dim, (svd, _) in pairs.items()},
                    {dim: reading.spread(ours) for dim, (_, ours) in pairs.items()},
                    {
                        dim: reading.groups[ours].minus(reading.groups[svd], auc_on_test)
                        for dim, (svd, ours) in pairs.items()
                        if ours in reading.groups
                    },
                )
            )
    return rows


@dataclass(frozen=True)
class RateRow:
    """MLET under SGD beside a single table whose rate is multiplied by k·σ², what W2ᵀW2 is at the start."""

    runs: ExperimentRuns
    variant: EmbeddingVariant
    std: float
    single: RunGroup
    faster: RunGroup
    mlet: RunGroup
    gain: SeedDifference | None
    """Over the single table with one rate for everything."""
    rest: SeedDifference | None
    """Over the one with the multiplied rate."""

    @property
    def multiple(self) -> float:
        return (self.variant.inner or 0) * self.std**2


def rate_rows(found: Sequence[ExperimentRuns]) -> list[RateRow]:
    return [row for runs in found for row in _rates(runs)]


def _rates(runs: ExperimentRuns) -> Iterator[RateRow]:
    rate = runs.experiment.lr
    if runs.experiment.optimizer != "sgd":
        return
    singles = [group for group in runs.comparison.groups if group.variant.is_baseline]
    for group in runs.comparison.groups:
        std, variant = group.tuned.inner_std, group.variant
        if not variant.is_method or std is None or variant.inner is None or group.tuned.emb_lr != rate:
            continue
        wanted = rate * variant.inner * std**2
        near: Callable[[float], list[RunGroup]] = lambda lr, dim=variant.dim: [  # type: ignore[misc]
            single for single in singles if single.variant.dim == dim and abs((single.tuned.emb_lr or 0) / lr - 1) < 0.01
        ]
        for base, faster in zip(near(rate)[:1], near(wanted)[:1], strict=False):
            if base is not faster:
                gains = group.minus(base, auc_on_test), group.minus(faster, auc_on_test)
                yield RateRow(runs, variant, std, base, faster, group, *gains)
