"""A run before it begins: its fingerprint, its folder, and whether memory and disk can hold it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from mlet_bench import models
from mlet_bench.config import TrainCommand
from mlet_bench.data import Prepared
from mlet_bench.data.batches import bytes_held, shuffle_of
from mlet_bench.errors import UserError
from mlet_bench.runs.run_folder import RunFolder
from mlet_bench.system import files, hardware, launch
from mlet_bench.training.memory import MemoryPlan, plan

RECIPE = 4
"""Part of every fingerprint; raised when the same config comes to give other results."""
PREDICTION_BYTES = 21
"""A row of predictions.parquet: row, label, logit and probability."""
KEPT_BYTES = 32
"""A guess at a cell of a column that is kept beside them."""
SMALL_FILES = 1 << 20
"""Bytes of config, result, metrics and log."""


@dataclass(frozen=True)
class PlannedRun:
    config: TrainCommand
    prepared: Prepared
    run_dir: str
    """`{dataset}` and `{fingerprint}` in it are replaced."""

    @cached_property
    def fingerprint(self) -> str:
        """Of all that can change the result, and of nothing else.

        `hardware.threads=null` counts as it was given, so that the same command is the same run on another machine.
        In earlier versions the number of cores counted in its place: a run that was finished so keeps its folder.
        """
        own = self._fingerprint({})
        if self.config.hardware.threads is None and not self._folder(own).finished_as(own):
            earlier = self._fingerprint({"threads": hardware.threads_of(None)})
            if self._folder(earlier).finished_as(earlier):
                return earlier
        return own

    @cached_property
    def folder(self) -> RunFolder:
        return self._folder(self.fingerprint)

    @cached_property
    def memories(self) -> list[MemoryPlan]:
        """Of each training of the run: the search's, where there is one, and the other."""
        config, prepared = self.config, self.prepared
        rows, numeric = bytes_held(prepared, config.train), len(prepared.numeric)
        device = config.hardware.device
        shares = 1
        if config.hardware.sharding is not None:
            here = launch.launched()
            shares = here.size if device == "cuda" else here.machines
        return [
            plan(config.model, emb, config.train, prepared.cardinalities, numeric, rows, device, shares)
            for emb in (config.emb.search, config.emb)
            if emb is not None
        ]

    @property
    def memory(self) -> MemoryPlan:
        """Of the training that takes the most."""
        return max(self.memories, key=lambda planned: planned.bytes)

    @property
    def final_disk_bytes(self) -> int:
        return self.memory.model + self._prediction_bytes * self.prepared.rows["test"] + SMALL_FILES

    @property
    def _prediction_bytes(self) -> int:
        return PREDICTION_BYTES + KEPT_BYTES * len(self.config.eval.keep)

    @property
    def checkpoint_bytes(self) -> int:
        """Two checkpoints and one that is being written, each with best weights; of a search too."""
        return sum(3 * (of.weights + of.optimizer) + 3 * of.weights for of in self.memories)

    @property
    def peak_disk_bytes(self) -> int:
        return self.final_disk_bytes + self.checkpoint_bytes

    def check(self, device: torch.device) -> None:
        """UserError with the bytes if the run cannot fit; what it holds on disk already is its own to use."""
        if self.config.rerun or not self.folder.finished:
            self.memory.check(device)
            files.check_disk(self.folder.path, self.peak_disk_bytes - self.folder.checkpoint_bytes, "the run")

    def _folder(self, fingerprint: str) -> RunFolder:
        name = self.run_dir.replace("{dataset}", self.prepared.name).replace("{fingerprint}", fingerprint)
        return RunFolder(Path(name))

    def _fingerprint(self, hardware_changes: dict[str, Any]) -> str:
        settings = settings_of(self.config)
        settings["train"]["shuffle"] = shuffle_of(self.prepared, self.config.train)
        settings["hardware"] |= hardware_changes
        return files.fingerprint({"data": self.prepared.fingerprint, **settings})


def settings_of(config: TrainCommand) -> dict[str, Any]:
    """All settings that can change a run's result, but for those that its data are prepared with."""
    train = config.train
    return {
        "recipe": RECIPE,
        "model": models.chosen(config.model),
        "emb": config.emb.model_dump(mode="json", exclude=config.emb.not_in_fingerprint),
        "train": train.model_dump(mode="json", exclude=train.not_in_fingerprint),
        "eval": config.eval.model_dump(
            mode="json", exclude=config.eval.not_in_fingerprint
        ),  # the batch size too: bits of a logit may depend on it
        "seed": config.seed,
        "hardware": config.hardware.in_fingerprint,
        **({} if config.dataset.group is None else {"group": config.dataset.group}),
    }


def check_disk(runs: Sequence[PlannedRun], what: str) -> None:
    """UserError if what unfinished runs will leave, and one of them at work, cannot fit on the disk."""
    pending = [run for run in runs if not run.folder.finished]
    if pending:
        needed = sum(run.final_disk_bytes - run.folder.checkpoint_bytes for run in pending)
        needed += max(run.checkpoint_bytes for run in pending)
        files.check_disk(pending[0].folder.path, needed, what)


def check_rows(prepared: Prepared, monitor: str) -> None:
    """UserError if there is nothing to train on, or nothing to choose by."""
    if not prepared.rows["train"]:
        raise UserError(f"{prepared.folder}: has no training rows; it is for evaluate, with dataset.prepared=")
    if not prepared.rows["valid"]:
        raise UserError(f"{prepared.folder}: has no validation rows to choose by")
    if monitor != "logloss" and not 0 < prepared.manifest["positives"]["valid"] < prepared.rows["valid"]:
        raise UserError(
            f"{prepared.folder}: all validation labels are equal: no state can be chosen by AUC, but by its logloss "
            "(train.monitor=logloss)"
        )
