"""A run before it begins: its fingerprint, its folder, and what it will take."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from mlet_bench import models
from mlet_bench.config import TrainCommand
from mlet_bench.data import Prepared
from mlet_bench.data.batches import shuffle_of
from mlet_bench.runs import limits
from mlet_bench.runs.limits import Needs
from mlet_bench.runs.run_folder import RunFolder
from mlet_bench.system import files, hardware

RECIPE = 4
"""Part of every fingerprint; raised when the same config comes to give other results."""


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
    def needs(self) -> Needs:
        config = self.config
        return limits.needs_of(config.model, config.emb, config.train, self.prepared, config.hardware.device)

    @property
    def pending(self) -> bool:
        return self.config.rerun or not self.folder.finished

    def check(self, device: torch.device) -> None:
        """UserError with the bytes if the run cannot fit."""
        if self.pending:
            limits.check_run(self.needs, self.folder, device)

    def _folder(self, fingerprint: str) -> RunFolder:
        name = self.run_dir.replace("{dataset}", self.prepared.name).replace("{fingerprint}", fingerprint)
        return RunFolder(Path(name))

    def _fingerprint(self, hardware_changes: dict[str, Any]) -> str:
        config, train = self.config, self.config.train
        settings = models.settings_of(config.model).model_dump(mode="json")
        shuffle = shuffle_of(self.prepared, train)
        return files.fingerprint(
            {
                "recipe": RECIPE,
                "data": self.prepared.fingerprint,
                "model": {"name": config.model.name, **settings},
                "emb": config.emb.model_dump(mode="json"),
                "train": {**train.model_dump(mode="json", exclude=train.not_in_fingerprint), "shuffle": shuffle},
                "eval": config.eval.model_dump(mode="json"),  # the batch size too: bits of a logit may depend on it
                "seed": config.seed,
                "hardware": {**config.hardware.model_dump(mode="json"), **hardware_changes},
                **({} if config.dataset.group is None else {"group": config.dataset.group}),
            }
        )
