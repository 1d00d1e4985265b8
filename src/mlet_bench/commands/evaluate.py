"""A finished run's collapsed model on a split of its data, or of other data with the same vocabulary."""

from pathlib import Path
from typing import Any

import torch

from mlet_bench.config import EvaluateCommand, EvaluateHardware, HardwareConfig, TrainCommand
from mlet_bench.data import Prepared, check_field, check_kept
from mlet_bench.embedding import Embedding
from mlet_bench.embedding.quantized import tables_alone
from mlet_bench.errors import RunFailedError, UserError
from mlet_bench.evaluation.split import evaluate_split
from mlet_bench.runs import load
from mlet_bench.runs.progress import Progress
from mlet_bench.runs.run_folder import PREDICTIONS
from mlet_bench.system import files, hardware

EVALUATION = "evaluation.json"


def evaluate_run(config: EvaluateCommand, out: str, progress: Progress) -> tuple[Path, dict[str, Any]]:
    """Evaluate the model of `config.run`; returns the folder that was written and the content of its evaluation.json.

    `{run}` and `{data}` in `out` are replaced by the fingerprints of both. UserError if the run is not finished, if
    the data has another vocabulary than the one that the model was trained with, or if `config.rank` cuts nothing.
    """
    run = load.finished(config.run)
    result = run.result()
    trained, fingerprint = load.config_of(run)
    device = device_of(config.hardware, trained.hardware)
    prepared = load.data_of(run, trained, config.dataset.prepared)
    group = config.dataset.group or trained.dataset.group
    keep = trained.eval.keep if config.keep is None else config.keep
    _check(config, trained, prepared, group)
    check_kept(keep, prepared)
    model = load.model_of(run, trained, prepared.cardinalities, len(prepared.numeric), load.weights_of(run))
    embedding_bytes = result.collapse.embedding_bytes_inference
    given = {"rank": config.rank, "bits": config.bits}
    if any(given.values()):
        embedding_bytes = _compress(model.embedding, result.emb.mode, given)
    compressed = "".join(f"-{key}{value}" for key, value in given.items() if value)
    grouped = "" if config.dataset.group is None else f"-{files.fingerprint(config.dataset.group)[:6]}"
    folder = Path(out.replace("{run}", fingerprint).replace("{data}", prepared.fingerprint + compressed + grouped))
    _check_folder(folder)
    try:
        with progress.evaluating() as advanced:
            evaluated = trained.eval.model_copy(update={"keep": keep})
            _, metrics, buckets = evaluate_split(
                model.to(device), prepared, config.split, evaluated, folder / PREDICTIONS, group, advanced
            )
    except RunFailedError as error:
        raise UserError(f"{run.model}: {error}; its weights are damaged or too large") from None
    evaluation = {
        "version": 1,
        "run": {"fingerprint": fingerprint, **result.model_dump(include={"model", "emb", "seed"})},
        "dataset": {"name": prepared.name, "rows": prepared.rows, "fingerprint": prepared.fingerprint},
        "item_field": trained.dataset.item_field,
        "split": config.split,
        **given,
        "embedding_bytes": embedding_bytes,
        "metrics": metrics,
        "buckets": buckets,
    }
    files.write_json(folder / EVALUATION, evaluation)
    return folder, evaluation


def device_of(given: EvaluateHardware, trained: HardwareConfig) -> torch.device:
    """The device that is asked for, else that of the run where it is here; UserError where there is no GPU."""
    here = trained.device if torch.cuda.is_available() else "cpu"
    return hardware.device_for(given.device or here, given.threads or trained.threads, trained.precision)


def _compress(embedding: Embedding, mode: str, given: dict[str, int | None]) -> int:
    """Compress every table of an embedding; the bytes of all that it then serves."""
    tables = tables_alone(embedding, mode, " and ".join(f"{key}={value}" for key, value in given.items() if value))
    rest = embedding.bytes - sum(4 * weight.numel() for part in tables for weight in part.parameters())
    return rest + sum(part.compress(**given) for part in tables)


def _check(config: EvaluateCommand, trained: TrainCommand, prepared: Prepared, group: str | None) -> None:
    """UserError if split, rank or group do not go with the run and its data."""
    if not prepared.rows[config.split]:
        having = ", ".join(name for name, rows in prepared.rows.items() if rows)
        raise UserError(f"split={config.split}: {prepared.folder} has no rows there; allowed: {having}")
    if config.rank is not None and config.rank >= trained.emb.dim:
        raise UserError(
            f"rank={config.rank}: truncates nothing; allowed: 1 to {trained.emb.dim - 1}, below the run's d"
        )
    check_field("group", group, prepared.fields)


def _check_folder(folder: Path) -> None:
    """A run has files of the same names: an evaluation must not take their place."""
    files.check_foreign(folder, (EVALUATION, PREDICTIONS))
    if (folder / PREDICTIONS).exists() and not (folder / EVALUATION).exists():
        raise UserError(f"hydra.run.dir={folder}: holds other files ({PREDICTIONS}); choose another folder")
