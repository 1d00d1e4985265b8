"""Single tables that `evaluate rank=` cut by SVD, as arms of their own: what a wide table is worth in a narrow one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from mlet_bench.analysis.arms import SINGLE, SVD
from mlet_bench.analysis.collect import Collected, LeftOut, Run
from mlet_bench.errors import UserError
from mlet_bench.runs.result import Cut, Emb, Metrics
from mlet_bench.system import files

EVALUATION = "evaluation.json"


def add_cuts(found: Collected, folders: Sequence[Path]) -> None:
    """Add to `found` a run for every evaluation of cut tables below `folders`, of a run that counts, on test."""
    runs = {str(run.config.get("fingerprint")): run for run in found.runs}
    for path in sorted({path for folder in folders for path in folder.rglob(EVALUATION)}):
        one = _cut_run(path.parent, runs)
        if isinstance(one, Run):
            found.runs.append(one)
        elif one is not None:
            found.left_out.append(one)


def _cut_run(folder: Path, runs: Mapping[str, Run]) -> Run | LeftOut | None:
    """The evaluated run with the scores of its cut tables. d is the rank that was kept, k the width before.

    Validation stays that of the whole tables: it chooses among settings. Sizes are those of the two factors n × d and
    d × k, without the latter, which is small.
    """
    try:
        found = Cut.model_validate(files.read_json(folder / EVALUATION))
    except (UserError, ValidationError) as error:
        return LeftOut(folder, "damaged", f"{EVALUATION}: {str(error).splitlines()[0]}")
    if found.rank is None or found.split != "test":
        return None
    run = runs.get(found.run.fingerprint)
    if run is None:
        return LeftOut(folder, "unfinished", f"tables cut to rank {found.rank} of a run that is not among these")
    result, width = run.result, run.result.emb.dim
    if result.emb.mode != SINGLE:
        return LeftOut(folder, "no control", f"tables cut to rank {found.rank} of a run with emb={result.emb.mode}")
    if found.dataset.fingerprint != result.dataset.fingerprint:
        return LeftOut(folder, "no control", f"tables cut to rank {found.rank}, judged on other data than the run's")
    whole = result.collapse.embedding_bytes_inference
    saved = whole - whole * found.rank // width
    sizes = {
        "embedding_bytes_inference": whole - saved,
        "parameters_inference": result.collapse.parameters_inference - saved // 4,
    }
    changed = {
        "emb": Emb(mode=SVD, dim=found.rank, inner=width),
        "metrics": Metrics(valid=result.metrics.valid, test=found.metrics),
        "buckets": found.buckets,
        "collapse": result.collapse.model_copy(update=sizes),
    }
    return Run(folder, result.model_copy(update=changed), run.config, ())
