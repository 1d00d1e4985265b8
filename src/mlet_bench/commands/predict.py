"""A finished run's collapsed model asked about rows: their probabilities in the order of the rows."""

import math
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mlet_bench.commands.evaluate import device_of
from mlet_bench.config.predict import PredictCommand
from mlet_bench.data.asked import RowEncoder, asked_source, blocks
from mlet_bench.data.prefetch import ahead
from mlet_bench.data.sources.bad_rows import Reading
from mlet_bench.data.sources.raw import KEPT, stamp, unchanged
from mlet_bench.errors import UserError
from mlet_bench.evaluation.predictions import predict
from mlet_bench.evaluation.probabilities import probability_writer
from mlet_bench.models import CTRModel
from mlet_bench.runs import load
from mlet_bench.runs.progress import Progress
from mlet_bench.runs.run_folder import RunFolder
from mlet_bench.system import files, signals

PREDICT, LOCK = "predict.json", ".lock"
BLOCK_ROWS = 1 << 17
"""Fewest rows that are encoded at a time."""


def predict_rows(config: PredictCommand, out: str, progress: Progress) -> tuple[Path, dict[str, Any]]:
    """Write the probability of every row of `config.dataset.raw`; returns the folder and its predict.json.

    `{run}` and `{rows}` in `out` are replaced by the fingerprints of both. UserError if the run is not finished, if
    its vocabulary is not there, or if the rows are not as those that the run was trained on.
    """
    run = load.finished(config.run)
    result = run.result()
    trained, fingerprint = load.config_of(run)
    device = device_of(config.hardware, trained.hardware)
    prepared = load.data_of(run, trained, config.dataset.prepared)
    source = asked_source(prepared, trained.dataset, config.dataset.raw, config.predict.keep)
    before = {path: stamp(path) for path in source.files}
    source.check()
    encoder = RowEncoder(prepared, source)
    model = load.model_of(run, trained, prepared.cardinalities, len(prepared.numeric), load.weights_of(run))
    name = f"predictions.{config.predict.format}"
    reading = Reading(sum(seen["size"] for seen in before.values()), None, 0.0)
    folder = Path(out.replace("{run}", fingerprint).replace("{rows}", _rows_fingerprint(config, before)))
    began = time.perf_counter()
    with _held(folder, name), files.whole(folder / name) as path:
        with (
            progress.preparing() as advanced,
            probability_writer(path, config.predict.format) as writer,
            unchanged(before),
            closing(ahead(source.tables(reading))) as tables,
        ):
            for block, logit_B in _scored(tables, encoder, model.to(device), trained.eval.batch_size, run):
                writer.add(logit_B, {name: block.column(KEPT + name) for name in config.predict.keep})
                advanced("predicting", reading.bytes, reading.total_bytes, writer.rows)
        found = {
            "version": 1,
            "run": {"fingerprint": fingerprint, **result.model_dump(include={"model", "emb", "seed"})},
            "dataset": {"name": prepared.name, "vocabulary": prepared.vocabulary},
            "files": [{"path": str(path), "bytes": seen["size"]} for path, seen in before.items()],
            "predictions": name,
            "keep": list(config.predict.keep),
            "rows": writer.rows,
            "mean_probability": writer.sum / writer.rows,
            "unseen": {field: count / writer.rows for field, count in encoder.unseen.items()},
            "seconds": time.perf_counter() - began,
        }
        files.write_json(folder / PREDICT, found)
    return folder, found


def _scored(
    tables: Iterator[pa.Table], encoder: RowEncoder, model: CTRModel, batch_size: int, run: RunFolder
) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """The rows block by block with their logit_B; batches are cut as `evaluate` cuts them."""
    for block in blocks(tables, batch_size * math.ceil(BLOCK_ROWS / batch_size)):
        signals.raise_if_requested()
        first = encoder.rows
        logit_B = predict(model, [encoder.encode(block)], batch_size)
        if not np.isfinite(logit_B).all():
            row = first + int(np.flatnonzero(~np.isfinite(logit_B))[0])
            raise UserError(f"{run.model}: the logit of row {row} is not finite; its weights are damaged or too large")
        yield block, logit_B


def _rows_fingerprint(config: PredictCommand, before: dict[Path, dict[str, int]]) -> str:
    seen = [[str(path.resolve()), known] for path, known in before.items()]
    return files.fingerprint({"files": seen, **config.predict.model_dump(mode="json")})


@contextmanager
def _held(folder: Path, name: str) -> Iterator[None]:
    """The folder for these predictions, which one process alone writes; made here, it goes again where nothing came.

    UserError if it holds anything else.
    """
    files.check_foreign(folder, (name, PREDICT, LOCK))
    if (folder / name).exists() and not (folder / PREDICT).exists():
        raise UserError(f"hydra.run.dir={folder}: holds other files ({name}); choose another folder")
    with files.made(folder), files.locked(folder / LOCK, f"{folder}: another process predicts into this folder"):
        for half in (*folder.glob(f".{name}.*.tmp"), *folder.glob(f".{PREDICT}.*.tmp")):
            half.unlink()
        yield
