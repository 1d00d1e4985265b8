"""Folders of runs → everything that a report says."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlet_bench.analysis.claims import Claim, claims
from mlet_bench.analysis.collect import LeftOut, collect
from mlet_bench.analysis.comparisons import Task, compare
from mlet_bench.analysis.compressed import add_compressed
from mlet_bench.analysis.conclusion import Origin, conclusion
from mlet_bench.analysis.paper.readings import ExperimentRuns, experiments
from mlet_bench.analysis.study import Study, study
from mlet_bench.analysis.tuned_alike import tuned_alike
from mlet_bench.analysis.tunings import tunings_below
from mlet_bench.errors import UserError, listing, nearest


@dataclass(frozen=True)
class Findings:
    studies: list[Study]
    left_out: list[LeftOut]
    claims: list[Claim]
    experiments: list[ExperimentRuns]
    """Of the paper, on one data set each."""
    conclusion: str
    origin: Origin


def findings(folders: Sequence[Path], margin: float, dim: int | None, evaluations: Sequence[Path]) -> Findings:
    """Of the runs below `folders`; comparisons of `tune`, with the runs that they name wherever these are, and
    evaluations of compressed tables are looked for below `evaluations`.

    `margin` is by how much AUC a size ratio may fall short, `dim` the width of the standard embedding that the headline
    ratio refers to (the largest if None). UserError if no run is finished, or if no standard embedding is `dim` wide.
    """
    tunings, unread = tunings_below(evaluations)
    compared = sorted(_from_here(path) for tuning in tunings for path in tuning.runs)
    below = {run.path.resolve() for run in collect(folders).runs} if compared else set()
    collected = collect([*folders, *compared])
    collected.left_out += unread
    if not collected.runs:
        where = "runs=" + ",".join(map(str, evaluations))
        if not collected.left_out:
            raise UserError(f"{where}: no runs below it; give the folder that train wrote to, for example runs=outputs")
        first = collected.left_out[0]
        reason = f"{first.path}: {first.state}, {first.reason}"
        raise UserError(f"{where}: no finished run among {len(collected.left_out)}; {reason}")
    add_compressed(collected, evaluations)
    comparisons, repeated = compare(collected.runs)
    elsewhere = {path for tuning in tunings for path in tuning.runs} - below
    dims = {variant.dim for comparison in comparisons for variant in comparison.variants if variant.is_baseline}
    if dim is not None and dim not in dims:
        allowed = [str(width) for width in sorted(dims)]
        raise UserError(
            f"dim={dim}: no standard embedding of that width among the runs; allowed: {listing(allowed) or 'null'}."
            + nearest(str(dim), allowed)
        )
    studies = [study(comparison, margin, dim) for comparison in tuned_alike(comparisons, tunings, elsewhere)]
    left_out = sorted([*collected.left_out, *repeated], key=lambda out: str(out.path))
    fair = fairest(studies)
    origin = Origin.of(collected.runs)
    return Findings(studies, left_out, claims(fair), experiments(comparisons), conclusion(fair), origin)


def _from_here(path: Path) -> Path:
    """As short as the path of a run below a folder that was given."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def fairest(studies: Sequence[Study]) -> list[Study]:
    """Of each task the studies that claims are about: those of `tune` where there are some, else all that are fair."""
    tuned = {_task(study) for study in studies if study.comparison.budget.is_tuned}
    fair = [study for study in studies if study.comparison.budget.is_fair]
    return [study for study in fair if study.comparison.budget.is_tuned or _task(study) not in tuned]


def _task(study: Study) -> Task:
    return study.comparison.task._replace(budget="")
