"""What a reader of a comparison should keep in mind, one sentence each."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mlet_bench.analysis.comparisons import StudyComparison, auc_on_valid
from mlet_bench.analysis.size_ratio import SizeRatio
from mlet_bench.analysis.variants import BASELINE
from mlet_bench.evaluation.statistics import DECIDING_SEEDS


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
    """What tuning, or none, has to do with a gain."""
    if not comparison.budget.is_fair:
        yield (
            "no gains and no verdicts here: these learning rates and L2 strengths were tried on one side only, and "
            "more settings mean more chances to be lucky; mlet-bench tune gives every side the same number of trials"
        )
    elif _is_untuned(comparison):
        yield (
            "not tuned: all have the same learning rates, which move a product of two factors further in each step; "
            "this alone can explain part or all of a gain. mlet-bench tune compares each embedding at its own best "
            "rates"
        )


def _is_untuned(comparison: StudyComparison) -> bool:
    """MLET and a standard embedding with one setting each."""
    variants = comparison.variants
    both = any(variant.is_method for variant in variants) and any(variant.is_baseline for variant in variants)
    one_each = all(len(comparison.tried(variant)) == 1 for variant in variants)
    return both and one_each and not comparison.budget.is_tuned


def _seeds(comparison: StudyComparison) -> Iterator[str]:
    groups = comparison.chosen_groups
    fewest = min(len(group.runs) for group in groups)
    if fewest < DECIDING_SEEDS:
        counted = "one seed" if fewest == 1 else f"{fewest} seeds"
        yield f"only {counted} for some embeddings: a verdict needs at least {DECIDING_SEEDS} pairs of runs"
    singles = {group.variant.dim: group for group in groups if group.variant.is_baseline}
    alone = sorted({group.variant.dim for group in groups} - singles.keys())
    if alone and comparison.budget.is_fair:
        yield f"no standard embedding with d = {', '.join(map(str, alone))} to compare with"
    for group in groups:
        single = singles.get(group.variant.dim, group)
        if comparison.budget.is_fair and (unpaired := sorted(single.runs.keys() ^ group.runs.keys())):
            seeds = ", ".join(map(str, unpaired))
            yield f"{group.variant.label}: seeds {seeds} ran on one side only and are not paired"


def _reference(comparison: StudyComparison, headline: SizeRatio | None) -> Iterator[str]:
    modes = {variant.mode for variant in comparison.variants}
    if headline is None:
        if len({variant.dim for variant in comparison.variants if variant.is_baseline or variant.is_method}) < 2:
            yield "no size ratio: it needs two widths d or more"
        elif not any(variant.is_method for variant in comparison.variants):
            yield "no size ratio: it is MLET's, and none ran here"
        elif comparison.budget.is_fair and BASELINE in modes and len(modes) > 1:
            yield "no size ratio: no standard embedding has the given d_ref, or none shares a seed with another mode"
        return
    singles = [group for group in comparison.chosen_groups if group.variant.is_baseline]
    best = max(singles, key=lambda group: group.spread(auc_on_valid).mean or 0.0).variant.dim
    if best < headline.ref_dim:
        yield (
            f"the standard embedding is better on validation at d = {best} than at d_ref = {headline.ref_dim}: "
            "the size ratio at that d_ref favours MLET"
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
        yield f"runs on {len(machines)} kinds of machines: their times and memory cannot be compared"
    merged = {run.config.get("dataset.min_count") for run in comparison.runs} - {None, 1}
    if merged:
        yield (
            f"dataset.min_count {', '.join(map(str, sorted(merged, key=str)))} merges rare categories: "
            "their buckets say nothing about rare items"
        )
