"""Folders of runs → everything that a report says."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlet_bench.analysis.claims import Claim, claims
from mlet_bench.analysis.collect import LeftOut, collect
from mlet_bench.analysis.comparisons import compare
from mlet_bench.analysis.compressed import add_compressed
from mlet_bench.analysis.paper.readings import ExperimentRuns, experiments
from mlet_bench.analysis.study import Study, study
from mlet_bench.errors import UserError, listing, nearest


@dataclass(frozen=True)
class Findings:
    studies: list[Study]
    left_out: list[LeftOut]
    claims: list[Claim]
    experiments: list[ExperimentRuns]
    """Of the paper, on one data set each."""


def findings(folders: Sequence[Path], margin: float, dim: int | None, evaluations: Sequence[Path]) -> Findings:
    """Of the runs below `folders`; evaluations of their compressed tables are looked for below `evaluations`.

    `margin` is by how much AUC a size ratio may fall short, `dim` the width of the single table that its headline is
    about (the largest if None). UserError if no run is finished, or if no single table is `dim` wide.
    """
    collected = collect(folders)
    if not collected.runs:
        where = "runs=" + ",".join(map(str, evaluations))
        if not collected.left_out:
            raise UserError(f"{where}: no runs below it; give the folder that train wrote to, for example runs=outputs")
        first = collected.left_out[0]
        reason = f"{first.path}: {first.state}, {first.reason}"
        raise UserError(f"{where}: no finished run among {len(collected.left_out)}; {reason}")
    add_compressed(collected, evaluations)
    comparisons, repeated = compare(collected.runs)
    dims = {variant.dim for comparison in comparisons for variant in comparison.variants if variant.is_baseline}
    if dim is not None and dim not in dims:
        allowed = [str(width) for width in sorted(dims)]
        raise UserError(
            f"dim={dim}: no single table of that width among the runs; allowed: {listing(allowed) or 'null'}."
            + nearest(str(dim), allowed)
        )
    studies = [study(comparison, margin, dim) for comparison in comparisons]
    left_out = sorted([*collected.left_out, *repeated], key=lambda out: str(out.path))
    return Findings(studies, left_out, claims(studies), experiments(comparisons))
