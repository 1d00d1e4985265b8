"""The paper's tables, line by line: what it printed, then what runs of its experiments came to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlet_bench.analysis.comparisons import Number, RunGroup, auc_on_test
from mlet_bench.analysis.paper.published import published
from mlet_bench.analysis.paper.readings import ExperimentRuns, Reading, mlet
from mlet_bench.analysis.variants import BASELINE, SVD, EmbeddingVariant
from mlet_bench.config.emb import MLETEmbConfig, mode_of
from mlet_bench.evaluation.buckets import HIGHEST_TENTH, LOWEST_TENTH, POPULARITY
from mlet_bench.evaluation.statistics import SeedDifference, Spread

METHOD = mode_of(MLETEmbConfig)
WIDTHS, INNER = (4, 16), 64
"""Of Table 3."""


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
    rows: list[AucRow] = []
    for runs in found:
        if all(row.model != runs.experiment.label for row in rows):
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
    """The largest ratio of widths, over all d and k, at which mean AUC is the standard embedding's or higher.

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
    """What MLET is worth beside a standard embedding that was tuned alike."""

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
    rows: list[RareRow] = []
    frequent, rare = (of_bucket(POPULARITY, tenth, "pr_auc") for tenth in (HIGHEST_TENTH, LOWEST_TENTH))
    for runs in found:
        printed = [entry for entry in published().rare if entry.experiment == runs.name]
        label = runs.experiment.label
        shown = any(row.model == label for row in rows)
        rows += [
            RareRow(label, e.dim, e.inner, "the paper", SeedDifference(0, e.frequent), SeedDifference(0, e.rare))
            for e in printed
            if not shown
        ]
        wanted = {mlet(entry.dim, entry.inner) for entry in printed} | {mlet(16, INNER)}
        for reading in runs.readings:
            for variant in sorted(wanted & set(reading.groups)):
                gains = (reading.relative_gain(variant, number) for number in (frequent, rare))
                rows.append(RareRow(label, variant.dim, variant.inner or 0, f"{runs.data}, {reading.name}", *gains))
    return rows


@dataclass(frozen=True)
class SVDRow:
    """A line of Table 5, both by d: standard embeddings of width k truncated to rank d, and MLET with inner width k."""

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
        truncated = sorted(variant for variant in reading.groups if variant.mode == SVD and variant.bits is None)
        for width in dict.fromkeys(variant.inner or 0 for variant in truncated):
            dims = [variant.dim for variant in truncated if variant.inner == width]
            for entry in published().svd:
                if (entry.experiment, entry.inner) == (runs.name, width):
                    svd, ours = ({d: Spread(0, v, None) for d, v in side.items()} for side in (entry.svd, entry.mlet))
                    gaps = {d: SeedDifference(0, entry.mlet[d] - entry.svd[d]) for d in entry.svd.keys() & entry.mlet}
                    rows.append(SVDRow(runs.experiment.label, width, "the paper", svd, ours, gaps))
            pairs = {dim: (EmbeddingVariant(SVD, dim, width), mlet(dim, width)) for dim in dims}
            rows.append(
                SVDRow(
                    runs.experiment.label,
                    width,
                    f"{runs.data}, {reading.name}",
                    {dim: reading.spread(truncated) for dim, (truncated, _) in pairs.items()},
                    {dim: reading.spread(whole) for dim, (_, whole) in pairs.items()},
                    {
                        dim: reading.groups[whole].minus(reading.groups[truncated], auc_on_test)
                        for dim, (truncated, whole) in pairs.items()
                        if whole in reading.groups
                    },
                )
            )
    return rows


@dataclass(frozen=True)
class CompressedRow:
    """A point of Figure 8, single and MLET."""

    runs: ExperimentRuns
    scheme: str
    dim: int
    bytes: int
    """Served, of either."""
    single: Spread
    mlet: Spread
    gain: SeedDifference | None


def compressed_rows(found: Sequence[ExperimentRuns]) -> list[CompressedRow]:
    """Where tables were quantised or hashed, by scheme and d, those as they are first."""
    rows = []
    for runs in found:
        groups = runs.published.groups
        changed = sorted({(_scheme(variant), variant.dim) for variant in groups if _scheme(variant)})
        for scheme, dim in [*(("as trained", dim) for dim in sorted({dim for _, dim in changed})), *changed]:
            of_side = [
                group
                for inner in (None, INNER)
                for variant, group in groups.items()
                if variant.dim == dim
                and variant.inner == inner
                and (_scheme(variant) or "as trained") == scheme
                and variant.mode.split()[0] in ("hash", BASELINE if inner is None else METHOD)
            ]
            if len(of_side) == 2:
                single, ours = of_side
                size = single.first.result.collapse.embedding_bytes_inference
                spreads = single.spread(auc_on_test), ours.spread(auc_on_test)
                rows.append(CompressedRow(runs, scheme, dim, size, *spreads, ours.minus(single, auc_on_test)))
    return rows


def _scheme(variant: EmbeddingVariant) -> str:
    """What was done to the tables; nothing of those that only were trained, and of truncated ones."""
    if variant.mode == SVD:
        return ""
    return ", ".join(["hashed"] * variant.mode.startswith("hash") + [f"{variant.bits} bits"] * bool(variant.bits))


@dataclass(frozen=True)
class RateRow:
    """MLET under SGD beside a standard embedding whose rate is multiplied by k·σ², what W2ᵀW2 is at the start."""

    runs: ExperimentRuns
    variant: EmbeddingVariant
    std: float
    single: RunGroup
    faster: RunGroup
    mlet: RunGroup
    gain: SeedDifference | None
    """Over the standard embedding with one rate for everything."""
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
        same_width = [single for single in singles if single.variant.dim == variant.dim]
        for base, faster in zip(_with_rate(same_width, rate), _with_rate(same_width, wanted), strict=False):
            if base is not faster:
                gains = group.minus(base, auc_on_test), group.minus(faster, auc_on_test)
                yield RateRow(runs, variant, std, base, faster, group, *gains)


def _with_rate(groups: Sequence[RunGroup], lr: float) -> list[RunGroup]:
    """At most one, with this table rate to a hundredth."""
    return [group for group in groups if abs((group.tuned.emb_lr or 0) / lr - 1) < 0.01][:1]
