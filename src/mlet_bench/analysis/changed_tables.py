"""Runs whose tables `evaluate` changed after training: truncated to a rank (`rank=`), quantised (`bits=`), or both.

Of a truncated single table d is the rank that was kept and k the width before: what a wide table is worth in a narrow
one. A quantised run keeps its d and k, and has the bits in its name.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from mlet_bench.analysis.collect import Collected, LeftOut, Run
from mlet_bench.analysis.variants import SVD, EmbeddingVariant
from mlet_bench.errors import UserError
from mlet_bench.runs.result import Cut, Emb, Metrics, Result
from mlet_bench.system import files

EVALUATION = "evaluation.json"


def add_changed(collected: Collected, folders: Sequence[Path]) -> None:
    """Add a run for every evaluation of changed tables below `folders`, of a run that counts, on test."""
    runs = {str(run.config.get("fingerprint")): run for run in collected.runs}
    for path in sorted({path for folder in folders for path in folder.rglob(EVALUATION)}):
        run = _changed_run(path.parent, runs)
        if isinstance(run, Run):
            collected.runs.append(run)
        elif run is not None:
            collected.left_out.append(run)


def _changed_run(folder: Path, runs: Mapping[str, Run]) -> Run | LeftOut | None:
    """The evaluated run with the scores of its changed tables. Validation stays that of the tables as they were
    trained: it chooses among settings."""
    try:
        evaluation = Cut.model_validate(files.read_json(folder / EVALUATION))
    except (UserError, ValidationError) as error:
        return LeftOut(folder, "damaged", f"{EVALUATION}: {str(error).splitlines()[0]}")
    rank, bits = evaluation.rank, evaluation.bits
    if (rank is None and bits is None) or evaluation.split != "test":
        return None
    changed = "tables " + " and ".join(
        words for words, value in ((f"cut to rank {rank}", rank), (f"in {bits} bits", bits)) if value is not None
    )
    run = runs.get(evaluation.run.fingerprint)
    if run is None:
        return LeftOut(folder, "unfinished", f"{changed} of a run that is not among these")
    result = run.result
    if rank is not None and not EmbeddingVariant.of(result.emb).is_baseline:
        return LeftOut(folder, "no control", f"{changed} of a run with emb={result.emb.mode}")
    if evaluation.dataset.fingerprint != result.dataset.fingerprint:
        return LeftOut(folder, "no control", f"{changed}, judged on other data than the run's")
    emb = result.emb if rank is None else Emb(mode=SVD, dim=rank, inner=result.emb.dim)
    if bits is not None:
        emb = emb.model_copy(update={"mode": f"{emb.mode} {bits} bits"})
    changes = {
        "emb": emb,
        "metrics": Metrics(valid=result.metrics.valid, test=evaluation.metrics),
        "buckets": evaluation.buckets,
        "collapse": result.collapse.model_copy(update=_sizes(result, rank, evaluation.embedding_bytes)),
    }
    return Run(folder, result.model_copy(update=changes), run.config, ())


def _sizes(result: Result, rank: int | None, quantised: int | None) -> dict[str, int]:
    """Of two factors n × rank and rank × d, without the latter, which is small; in bits as the evaluation says."""
    whole = result.collapse.embedding_bytes_inference
    if rank is None:
        return {} if quantised is None else {"embedding_bytes_inference": quantised}
    saved = whole - whole * rank // result.emb.dim
    size = whole - saved if quantised is None else quantised * rank // result.emb.dim
    return {
        "embedding_bytes_inference": size,
        "parameters_inference": result.collapse.parameters_inference - saved // 4,
    }
