"""What a reader of a comparison should beware of, a sentence each."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mlet_bench.analysis.arms import SINGLE, SVD, Comparison, auc_on_valid
from mlet_bench.analysis.size_ratio import SizeRatio

FEW_SEEDS = 5


def caveats(comparison: Comparison, headline: SizeRatio | None, problems: Mapping[Path, str]) -> Iterator[str]:
    yield from _budgets(comparison)
    yield from _seeds(comparison)
    yield from _reference(comparison, headline)
    yield from _mixtures(comparison)
    yield from _grouped((run.path, note) for run in comparison.runs for note in run.notes)
    yield from _grouped((path, f"{problem}; no paired DeLong") for path, problem in sorted(problems.items()))


def _grouped(said: Iterable[tuple[Path, str]]) -> Iterator[str]:
    """What is said of many runs in one sentence."""
    paths: dict[str, list[Path]] = defaultdict(list)
    for path, text in said:
        paths[text].append(path)
    for text, having in paths.items():
        yield f"{having[0]}{f' and {len(having) - 1} more runs' if len(having) > 1 else ''}: {text}"


def _budgets(comparison: Comparison) -> Iterator[str]:
    """Unequal tuning: the side that tried more settings had more chances to be lucky."""
    tried = {cell: len(comparison.tried(cell)) for cell in comparison.cells if cell.mode != SVD}
    singles = {cell.dim: number for cell, number in tried.items() if cell.mode == SINGLE}
    for dim in sorted({cell.dim for cell in tried}):
        own = [singles[dim]] if dim in singles else sorted(set(singles.values()))
        counts = {cell: number for cell, number in tried.items() if cell.dim == dim and cell.mode != SINGLE}
        uneven = [cell for cell, number in counts.items() if own and own != [number]]
        if uneven:
            others = ", ".join(f"{cell.curve} {counts[cell]}" for cell in uneven)
            yield f"unequal tuning at d = {dim}: settings tried: single {' or '.join(map(str, own))}, {others}"


def _seeds(comparison: Comparison) -> Iterator[str]:
    arms = [comparison.chosen(cell) for cell in comparison.cells]
    fewest = min(len(arm.runs) for arm in arms)
    if fewest == 1:
        yield "some arms have one seed: they have no spread, and nothing about them is decided"
    elif fewest < FEW_SEEDS:
        yield f"some arms have {fewest} seeds; claims need {FEW_SEEDS} or more"
    singles = {cell.dim for cell in comparison.cells if cell.mode == SINGLE}
    alone = sorted({cell.dim for cell in comparison.cells} - singles)
    if alone:
        yield f"no single table of d = {', '.join(map(str, alone))} to compare with"
    for arm in arms:
        single = comparison.single(arm.cell.dim)
        if single is not None and single.runs.keys() != arm.runs.keys():
            unpaired = sorted(single.runs.keys() ^ arm.runs.keys())
            yield f"{arm.cell.label}: seeds {', '.join(map(str, unpaired))} ran on one side only and are not paired"


def _reference(comparison: Comparison, headline: SizeRatio | None) -> Iterator[str]:
    modes = {cell.mode for cell in comparison.cells}
    if headline is None:
        if SINGLE in modes and len(modes) > 1:
            yield "no size ratio: no single table of the d_ref asked for, or none that shares a seed with another mode"
        return
    singles = [comparison.chosen(cell) for cell in comparison.cells if cell.mode == SINGLE]
    quality = {arm.cell.dim: arm.spread(auc_on_valid).mean or 0.0 for arm in singles}
    best = max(quality, key=quality.__getitem__)
    if best < headline.ref_dim:
        yield (
            f"the single table is better on validation at d = {best} than at d_ref = {headline.ref_dim}: "
            "the size ratio at that d_ref flatters MLET"
        )


def _mixtures(comparison: Comparison) -> Iterator[str]:
    runs = comparison.runs
    for name in sorted({name for run in runs for name in run.result.software}):
        versions = sorted({str(run.result.software.get(name)) for run in runs})
        if len(versions) > 1:
            yield f"runs of several versions of {name}: {', '.join(versions)}"
    machines = {
        str([run.result.hardware.get(key) for key in ("processor", "cores", "memory_bytes", "gpu")]) for run in runs
    }
    if len(machines) > 1:
        yield f"runs of {len(machines)} kinds of machines: their times and memory do not compare"
    merged = {run.config.get("dataset.min_count") for run in runs} - {None, 1}
    if merged:
        yield (
            f"dataset.min_count {', '.join(map(str, sorted(merged, key=str)))} merges rare categories: "
            "their buckets say nothing about rare items"
        )
