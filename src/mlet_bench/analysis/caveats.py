"""What a reader of a comparison should beware of, a sentence each."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mlet_bench.analysis.comparisons import StudyComparison, auc_on_valid
from mlet_bench.analysis.size_ratio import SizeRatio
from mlet_bench.analysis.variants import BASELINE

FEW_SEEDS = 5


def caveats(comparison: StudyComparison, headline: SizeRatio | None, problems: Mapping[Path, str]) -> Iterator[str]:
    yield from _budgets(comparison)
    yield from _seeds(comparison)
    yield from _reference(comparison, headline)
    yield from _mixtures(comparison)
    yield from _together((run.path, note) for run in comparison.runs for note in run.notes)
    yield from _together((path, f"{problem}; no paired DeLong") for path, problem in sorted(problems.items()))


def _together(notes: Iterable[tuple[Path, str]]) -> Iterator[str]:
    """What is true of many runs in one sentence."""
    paths: dict[str, list[Path]] = defaultdict(list)
    for path, note in notes:
        paths[note].append(path)
    for note, (first, *more) in paths.items():
        yield f"{first}{f' and {len(more)} more runs' if more else ''}: {note}"


def _budgets(comparison: StudyComparison) -> Iterator[str]:
    """Unequal tuning: the side that tried more settings had more chances to be lucky."""
    tried = {variant: len(comparison.tried(variant)) for variant in comparison.variants if variant.is_trained}
    singles = {variant.dim: count for variant, count in tried.items() if variant.is_baseline}
    for dim in sorted({variant.dim for variant in tried}):
        allowed = [singles[dim]] if dim in singles else sorted(set(singles.values()))
        others = {variant: count for variant, count in tried.items() if variant.dim == dim and not variant.is_baseline}
        uneven = [f"{variant.curve} {count}" for variant, count in others.items() if allowed and allowed != [count]]
        if uneven:
            counts = ", ".join([f"{BASELINE} {' or '.join(map(str, allowed))}", *uneven])
            yield f"unequal tuning at d = {dim}: settings tried: {counts}"


def _seeds(comparison: StudyComparison) -> Iterator[str]:
    groups = comparison.chosen_groups
    fewest = min(len(group.runs) for group in groups)
    if fewest == 1:
        yield "some arms have one seed: they have no spread, and nothing about them is decided"
    elif fewest < FEW_SEEDS:
        yield f"some arms have {fewest} seeds; claims need {FEW_SEEDS} or more"
    singles = {group.variant.dim: group for group in groups if group.variant.is_baseline}
    alone = sorted({group.variant.dim for group in groups} - singles.keys())
    if alone:
        yield f"no single table of d = {', '.join(map(str, alone))} to compare with"
    for group in groups:
        single = singles.get(group.variant.dim, group)
        if unpaired := sorted(single.runs.keys() ^ group.runs.keys()):
            seeds = ", ".join(map(str, unpaired))
            yield f"{group.variant.label}: seeds {seeds} ran on one side only and are not paired"


def _reference(comparison: StudyComparison, headline: SizeRatio | None) -> Iterator[str]:
    modes = {variant.mode for variant in comparison.variants}
    if headline is None:
        if BASELINE in modes and len(modes) > 1:
            yield "no size ratio: no single table of the d_ref asked for, or none that shares a seed with another mode"
        return
    singles = [group for group in comparison.chosen_groups if group.variant.is_baseline]
    best = max(singles, key=lambda group: group.spread(auc_on_valid).mean or 0.0).variant.dim
    if best < headline.ref_dim:
        yield (
            f"the single table is better on validation at d = {best} than at d_ref = {headline.ref_dim}: "
            "the size ratio at that d_ref flatters MLET"
        )


def _mixtures(comparison: StudyComparison) -> Iterator[str]:
    results = [run.result for run in comparison.runs]
    for name in sorted({name for result in results for name in result.software}):
        versions = sorted({str(result.software.get(name)) for result in results})
        if len(versions) > 1:
            yield f"runs of several versions of {name}: {', '.join(versions)}"
    parts = ("processor", "cores", "memory_bytes", "gpu")
    machines = {str([result.hardware.get(part) for part in parts]) for result in results}
    if len(machines) > 1:
        yield f"runs of {len(machines)} kinds of machines: their times and memory do not compare"
    merged = {run.config.get("dataset.min_count") for run in comparison.runs} - {None, 1}
    if merged:
        yield (
            f"dataset.min_count {', '.join(map(str, sorted(merged, key=str)))} merges rare categories: "
            "their buckets say nothing about rare items"
        )
