"""A model on a whole split: logits → metrics, buckets and predictions.parquet."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlet_bench.config import EvalConfig
from mlet_bench.data import Prepared
from mlet_bench.errors import RunFailedError
from mlet_bench.evaluation.buckets import EvalRows, evaluate
from mlet_bench.evaluation.metrics import probability
from mlet_bench.evaluation.predictions import predict
from mlet_bench.models import CTRModel
from mlet_bench.system import files
from mlet_bench.system.processes import ALONE, Processes


def evaluate_split(
    model: CTRModel,
    prepared: Prepared,
    split: str,
    config: EvalConfig,
    path: Path | None = None,
    group: str | None = None,
    advanced: Callable[[str, int, int], None] = lambda stage, done, of: None,
    processes: Processes = ALONE,
) -> tuple[np.ndarray, dict[str, Any], list[dict[str, Any]]]:
    """logit_R of a split's R rows, its metrics, and those by bucket.

    Predictions go to `path` if it is given, and `config.keep`'s raw columns beside them.

    `group` names the field within whose categories AUC is taken too; `advanced` hears of a stage, and how many of how
    many rows are done (0 of 0: unknown). Of several processes the first one measures and writes, and the others have
    nothing.

    RunFailedError if a logit is not finite.
    """
    advance, pieces = partial(advanced, f"evaluate on {split}"), prepared.pieces(split, processes=processes)
    logit_R = predict(model, pieces, config.batch_size, advance, prepared.rows[split], processes)
    if not processes.first:
        return logit_R, {}, []
    column = None if group is None else prepared.fields.index(group)
    advanced(f"read the {split} split", 0, 0)
    rows = EvalRows.of(prepared.pieces(split, counts=True), config.buckets, column)
    if not np.isfinite(logit_R).all():
        row = int(np.flatnonzero(~np.isfinite(logit_R))[0])
        raise RunFailedError(f"the logit of row {row} of the {split} split is {logit_R[row]}")
    advanced(f"metrics of {split}, by training count", 0, 0)
    metrics, buckets = evaluate(rows, logit_R, prepared.fields, config.buckets, prepared.reserved)
    if group is not None:
        metrics["gauc_field"] = group
    if path is not None:
        _save(path, rows.label_R, logit_R, prepared.kept_columns(split, config.keep) if config.keep else {})
    return logit_R, metrics, buckets


def _save(path: Path, label_R: np.ndarray, logit_R: np.ndarray, kept: dict[str, pa.ChunkedArray]) -> None:
    table = pa.table(
        {
            "row": np.arange(len(label_R), dtype=np.int64),
            "label": label_R.astype(np.int8),
            "logit": logit_R,
            "probability": probability(logit_R),
            **kept,
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(path) as temporary:
        pq.write_table(table, temporary)
