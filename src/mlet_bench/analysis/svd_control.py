"""Single tables whose rank `evaluate rank=` truncated: what a wide table is worth in a narrow one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from mlet_bench.analysis.collect import Collected, LeftOut, Run
from mlet_bench.analysis.variants import SVD, EmbeddingVariant
from mlet_bench.errors import UserError
from mlet_bench.runs.result import Cut, Emb, Metrics
from mlet_bench.system import files

EVALUATION = "evaluation.json"


def add_truncated(collected: Collected, folders: Sequence[Path]) -> None:
    """Add a run for every evaluation of truncated tables below `folders`, of a run that counts, on test."""
    runs = {str(run.config.get("fingerprint")): run for run in collected.runs}
    for path in sorted({path for folder in folders for path in folder.rglob(EVALUATION)}):
        run = _truncated_run(path.parent, runs)
        if isinstance(run, Run):
            collected.runs.append(run)
        elif run is not None:
            collected.left_out.append(run)


def _truncated_run(folder: Path, runs: Mapping[str, Run]) -> Run | LeftOut | None:
    """The evaluated run with the scores of its truncated tables. d is the rank that was kept, k the width before.

    Validation stays that of the whole tables: it chooses among settings. Sizes are those of the two factors n × d and
    d × k, without the latter, which is small.
    """
    try:
        evaluation = Cut.model_validate(files.read_json(folder / EVALUATION))
    except (UserError, ValidationError) as error:
        return LeftOut(folder, "damaged", f"{EVALUATION}: {str(error).splitlines()[0]}")
    rank = evaluation.rank
    if rank is None or evaluation.split != "test":
        return None
    truncated = f"tables cut to rank {rank}"
    run = runs.get(evaluation.run.fingerprint)
    if run is None:
        return LeftOut(folder, "unfinished", f"{truncated} of a run that is not among these")
    result, width = run.result, run.result.emb.dim
    if not EmbeddingVariant.of(result.emb).is_baseline:
        return LeftOut(folder, "no control", f"{truncated} of a run with emb={result.emb.mode}")
    if evaluation.dataset.fingerprint != result.dataset.fingerprint:
        return LeftOut(folder, "no control", f"{truncated}, judged on other data than the run's")
    whole = result.collapse.embedding_bytes_inference
    saved = whole - whole * rank // width
    sizes = {
        "embedding_bytes_inference": whole - saved,
        "parameters_inference": result.collapse.parameters_inference - saved // 4,
    }
    changes = {
        "emb": Emb(mode=SVD, dim=rank, inner=width),
        "metrics": Metrics(valid=result.metrics.valid, test=evaluation.metrics),
        "buckets": evaluation.buckets,
        "collapse": result.collapse.model_copy(update=sizes),
    }
    return Run(folder, result.model_copy(update=changes), run.config, ())
