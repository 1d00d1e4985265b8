"""A finished run's collapsed model on a split of its data, or of other data with the same vocabulary."""

from pathlib import Path
from typing import Any

import torch

from mlet_bench.config import EvaluateCommand, TrainCommand
from mlet_bench.data import Prepared, check_field
from mlet_bench.data.sources.raw import data_root
from mlet_bench.embedding import SingleEmbedding
from mlet_bench.errors import RunFailedError, UserError
from mlet_bench.evaluation.split import evaluate_split
from mlet_bench.runs import load
from mlet_bench.runs.result import Result
from mlet_bench.runs.run_folder import MODEL, PREDICTIONS
from mlet_bench.system import files

EVALUATION = "evaluation.json"


def evaluate_run(config: EvaluateCommand, out: str) -> tuple[Path, dict[str, Any]]:
    """Judge the model of `config.run`; returns the folder that was written and what was found.

    `{run}` and `{data}` in `out` are replaced by the fingerprints of both. UserError if the run is not finished, if
    the data has another vocabulary than the one that the model was trained with, or if `config.rank` cuts nothing.
    """
    folder = load.finished(config.run)
    result = folder.result()
    trained, fingerprint = load.config_of(folder)
    prepared = _data(config, trained, result)
    if prepared.vocabulary != result.dataset.vocabulary:
        raise UserError(
            f"{prepared.folder}: has another vocabulary than the run was trained with; prepare it with dataset.vocab="
            "the run's prepared folder"
        )
    if not prepared.rows[config.split]:
        having = ", ".join(name for name, rows in prepared.rows.items() if rows)
        raise UserError(f"split={config.split}: {prepared.folder} has no rows there; allowed: {having}")
    if config.rank is not None and config.rank >= trained.emb.dim:
        raise UserError(f"rank={config.rank}: cuts nothing; allowed: 1 to {trained.emb.dim - 1}, below the run's d")
    group = trained.dataset.group if config.dataset.group is None else config.dataset.group
    check_field("group", group, prepared.fields)
    weights = load.weights_of(folder)
    model = load.model_of(folder, trained, prepared.cardinalities, len(prepared.numeric), weights)
    if config.rank is not None and isinstance(model.embedding, SingleEmbedding):
        model.embedding.truncate_rank(config.rank)
    if trained.hardware.threads:
        torch.set_num_threads(trained.hardware.threads)
    cut = "" if config.rank is None else f"-rank{config.rank}"
    grouped = "" if config.dataset.group is None else f"-{files.fingerprint(config.dataset.group)[:6]}"
    written = Path(out.replace("{run}", fingerprint).replace("{data}", prepared.fingerprint + cut + grouped))
    _check_written(written)
    try:
        _, metrics, buckets = evaluate_split(
            model, prepared, config.split, trained.eval, written / PREDICTIONS, group=group
        )
    except RunFailedError as error:
        raise UserError(f"{config.run / MODEL}: {error}; its weights are damaged or too large") from None
    found = {
        "version": 1,
        "run": {"fingerprint": fingerprint, **result.model_dump(include={"model", "emb", "seed"})},
        "dataset": {"name": prepared.name, "rows": prepared.rows, "fingerprint": prepared.fingerprint},
        "item_field": trained.dataset.item_field,
        "split": config.split,
        "rank": config.rank,
        "metrics": metrics,
        "buckets": buckets,
    }
    files.write_json(written / EVALUATION, found)
    return written, found


def _check_written(folder: Path) -> None:
    """A run has files of the same names: what is judged must not take their place."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"hydra.run.dir={folder}: is a file, not a folder")
    ours = (EVALUATION, PREDICTIONS)
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    others = [name for name in names if not name.startswith((*ours, *(f".{one}." for one in ours)))]
    alone = PREDICTIONS in names and EVALUATION not in names
    if others or alone:
        raise UserError(f"hydra.run.dir={folder}: holds files of others ({[*others, PREDICTIONS][0]}); choose another")


def _data(config: EvaluateCommand, trained: TrainCommand, result: Result) -> Prepared:
    if config.dataset.prepared is not None:
        return Prepared.open(config.dataset.prepared)
    own = trained.dataset.prepared
    if own is None:
        own = data_root() / "prepared" / f"{result.dataset.name}-{result.dataset.fingerprint}"
    if not own.is_dir():
        raise UserError(f"{own}: the run's data is not there; prepare it again, or give dataset.prepared=DIR")
    return Prepared.open(own)
