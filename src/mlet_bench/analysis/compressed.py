"""Runs whose tables `evaluate` compressed, by `rank=` or `bits=`, as variants of their own.

A standard embedding truncated to a rank shows what a wide table is worth in a narrow one; fewer bits are for serving.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from mlet_bench.analysis.collect import Collected, LeftOut, Run
from mlet_bench.analysis.variants import SVD, EmbeddingVariant
from mlet_bench.errors import UserError
from mlet_bench.runs.result import Collapse, Compressed, Emb, Metrics
from mlet_bench.system import files

EVALUATION = "evaluation.json"


def add_compressed(collected: Collected, folders: Sequence[Path]) -> None:
    """Add a run for every evaluation of compressed tables below `folders`, of a run that counts, on test."""
    runs = {str(run.config.get("fingerprint")): run for run in collected.runs}
    for path in sorted({path for folder in folders for path in folder.rglob(EVALUATION)}):
        run = _compressed_run(path.parent, runs)
        if isinstance(run, Run):
            collected.runs.append(run)
        elif run is not None:
            collected.left_out.append(run)


def _compressed_run(folder: Path, runs: Mapping[str, Run]) -> Run | LeftOut | None:
    """The evaluated run with the scores of its compressed tables. With a rank, d is that and k the width before.

    Validation stays that of the whole tables: it chooses among settings.
    """
    try:
        evaluation = Compressed.model_validate(files.read_json(folder / EVALUATION))
    except (UserError, ValidationError) as error:
        return LeftOut(folder, "damaged", f"{EVALUATION}: {str(error).splitlines()[0]}")
    rank, bits = evaluation.rank, evaluation.bits
    if (rank is None and bits is None) or evaluation.split != "test":
        return None
    what = f"tables {evaluation.compression}"
    run = runs.get(evaluation.run.fingerprint)
    if run is None:
        return LeftOut(folder, "unfinished", f"{what} of a run that is not among these")
    result = run.result
    if rank is not None and not EmbeddingVariant.of(result.emb).is_baseline:
        return LeftOut(folder, "no control", f"{what} of a run with emb={result.emb.mode}")
    if evaluation.dataset.fingerprint != result.dataset.fingerprint:
        return LeftOut(folder, "no control", f"{what}, evaluated on other data than the run's")
    truncated = result.emb if rank is None else Emb(mode=SVD, dim=rank, inner=result.emb.dim)
    changes = {
        "emb": truncated.model_copy(update={"bits": bits}),
        "metrics": Metrics(valid=result.metrics.valid, test=evaluation.metrics),
        "buckets": evaluation.buckets,
        "collapse": _sizes(result.collapse, evaluation, result.emb.dim),
    }
    return Run(folder, result.model_copy(update=changes), run.config, ())


def _sizes(collapse: Collapse, evaluation: Compressed, width: int) -> Collapse:
    """Evaluations made before they said their bytes are of a rank: n × d numbers are counted, not the d × k factor."""
    whole = collapse.embedding_bytes_inference
    saved = whole - whole * (evaluation.rank or width) // width
    size = whole - saved if evaluation.embedding_bytes is None else evaluation.embedding_bytes
    numbers = collapse.parameters_inference - saved // 4
    return collapse.model_copy(update={"embedding_bytes_inference": size, "parameters_inference": numbers})
