"""What runs will take of memory and disk, compared with what is free before any of it is taken."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mlet_bench.config import EmbConfig, ModelSection, TrainConfig
from mlet_bench.data import Prepared
from mlet_bench.data.batches import bytes_held
from mlet_bench.errors import UserError
from mlet_bench.runs.run_folder import CHECKPOINT, RunFolder
from mlet_bench.system import files
from mlet_bench.training.memory import MemoryPlan, plan

PREDICTION_BYTES = 21
"""A row of predictions.parquet: row, label, logit and probability."""
SMALL_FILES = 1 << 20
"""Config, result, metrics and log."""


@dataclass(frozen=True)
class Needs:
    """What a run will take."""

    memory: MemoryPlan
    peak_disk_bytes: int
    """While it is unfinished: two checkpoints and one that is being written, each with best weights."""
    final_disk_bytes: int


def needs_of(model: ModelSection, emb: EmbConfig, train: TrainConfig, prepared: Prepared, device: str = "cpu") -> Needs:
    rows = bytes_held(prepared, train)
    memory = plan(model, emb, train, prepared.cardinalities, len(prepared.numeric), rows, device)
    final = memory.model + PREDICTION_BYTES * prepared.rows["test"] + SMALL_FILES
    checkpoints = 3 * (memory.weights + memory.optimizer) + 3 * memory.weights
    return Needs(memory, checkpoints + final, final)


def check_run(needs: Needs, folder: RunFolder, device: torch.device) -> None:
    """UserError with the bytes if a run cannot fit; what it holds on disk already is its own to use."""
    needs.memory.check(device)
    held = files.bytes_below(folder.path / CHECKPOINT)
    files.check_disk(folder.path, needs.peak_disk_bytes - held, "the run")


def check_runs(runs: Sequence[tuple[Needs, RunFolder]], what: str) -> None:
    """UserError if what unfinished runs will leave, and one of them at work, cannot fit on the disk."""
    pending = [(needs, folder) for needs, folder in runs if not folder.finished]
    if not pending:
        return
    final = sum(needs.final_disk_bytes for needs, _ in pending)
    largest = max(needs.peak_disk_bytes - needs.final_disk_bytes for needs, _ in pending)
    held = sum(files.bytes_below(folder.path / CHECKPOINT) for _, folder in pending)
    files.check_disk(pending[0][1].path, final + largest - held, what)


def check_rows(prepared: Prepared) -> None:
    """UserError if there is nothing to train on, or nothing to choose by."""
    if not prepared.rows["train"]:
        raise UserError(f"{prepared.folder}: has no training rows; it is for evaluate, with dataset.prepared=")
    if not 0 < prepared.manifest["positives"]["valid"] < prepared.rows["valid"]:
        raise UserError(f"{prepared.folder}: all validation labels are equal: no state can be chosen by AUC")
