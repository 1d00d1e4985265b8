"""Raw files → a prepared folder."""

from pathlib import Path
from typing import Any

from mlet_bench import data
from mlet_bench.config import DatasetConfig, PrepareCommand
from mlet_bench.data import Prepared
from mlet_bench.errors import UserError
from mlet_bench.evaluation.buckets import EvalRows, evaluate
from mlet_bench.runs.progress import Progress
from mlet_bench.system import files, signals

DEFAULT_BUCKETS = tuple(10**power for power in range(6))


def prepare(config: PrepareCommand, folder: Path | None, progress: Progress) -> Prepared:
    """Prepare the data and, with `verify`, check every file of it; prepare.json in `folder` says what was made."""
    data.check(config.dataset)
    if folder is not None and folder.is_file():
        raise UserError(f"hydra.run.dir={folder}: is a file, not a folder")
    prepared = prepared_data(config.dataset, progress)
    if config.verify:
        prepared.verify()
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        summary = {"folder": str(prepared.folder.absolute()), "notes": list(prepared.notes)}
        files.write_json(folder / "prepare.json", {**summary, "manifest": prepared.manifest})
    return prepared


def prepared_data(config: DatasetConfig, progress: Progress) -> Prepared:
    """The prepared data set of a config, made if it is missing."""
    with progress.preparing() as advanced:

        def advanced_unless_stopped(stage: str, done: int, of: int, rows: int) -> None:
            signals.raise_if_requested()
            advanced(stage, done, of, rows)

        return data.prepared_for(config, best=best_reachable, progress=advanced_unless_stopped)


def best_reachable(prepared: Prepared, split: str) -> dict[str, Any]:
    """What the true logits of a generated data set score on a split, overall and in the default buckets."""
    rows = EvalRows.of(prepared.pieces(split, counts=True), DEFAULT_BUCKETS)
    assert rows.true_logit_R is not None
    whole, buckets = evaluate(rows, rows.true_logit_R, prepared.fields, DEFAULT_BUCKETS)
    return {**whole, "buckets": buckets}
