"""The training loop: batches → steps → evaluations on validation → the best state.

B batch, F sparse fields, N numeric columns.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypedDict

import torch

from mlet_bench.config import EmbConfig, TrainConfig, monitored
from mlet_bench.data.batches import TrainingRows
from mlet_bench.errors import Interrupted, RunFailedError
from mlet_bench.models import CTRModel
from mlet_bench.system import signals
from mlet_bench.system.processes import ALONE, Processes
from mlet_bench.system.seeds import stream_seed
from mlet_bench.training import checkpoint, nonfinite
from mlet_bench.training.history import History
from mlet_bench.training.losses import BadLoss, losses_for
from mlet_bench.training.optimizers import Optimizers
from mlet_bench.training.shared_checkpoint import checkpoints_of
from mlet_bench.training.spectra import Spectra
from mlet_bench.training.step import step


class Watcher(Protocol):
    """Who hears how a training goes."""

    def stepped(self, step: int, steps: int, loss: float, samples_per_s: float) -> None: ...
    def evaluated(self, line: dict[str, Any]) -> None: ...
    def say(self, text: str) -> None: ...


@dataclass(frozen=True)
class TrainSummary:
    steps: int
    epochs: float
    """Epochs begun, the last one by the share of it that was trained on."""
    best_step: int
    samples_per_s: float | None
    """Of the steps alone; null when all were taken before a resume that timed nothing."""
    seconds: float
    """Spent in steps."""


def evaluation_steps(steps: int, every: int | float | None) -> set[int]:
    """The steps of an epoch after which a share of it, `every`, is passed; none for other kinds of `every`.

    >>> sorted(evaluation_steps(10, 0.25))
    [3, 5, 8, 10]
    """
    if not isinstance(every, float):
        return set()
    wanted = math.floor(1 / every + 1e-9)
    return {math.ceil(part * every * steps - 1e-6) for part in range(1, wanted + 1)}


class Validation(TypedDict):
    """What is measured on the validation split."""

    auc: float | None
    """None where all labels are equal."""
    logloss: float


class Trainer:
    """One training, from its start or from the checkpoint that is found in the run's folder.

    `evaluate` measures on validation; metrics.jsonl and checkpoint/ are written under `folder`. `record`
    hears every line of metrics.jsonl, at a resume those from before first; `columns` are the names of the
    numeric columns.
    """

    def __init__(
        self,
        model: CTRModel,
        rows: TrainingRows,
        config: TrainConfig,
        emb: EmbConfig,
        *,
        seed: int,
        evaluate: Callable[[], Validation],
        folder: Path,
        watcher: Watcher,
        columns: Sequence[str],
        record: Callable[[dict[str, Any]], None] = lambda line: None,
        precision: str = "float32",
        spectra: Spectra | None = None,
        processes: Processes = ALONE,
    ) -> None:
        self.model, self.rows, self.config, self.spectra = model, rows, config, spectra
        self.evaluate, self.watcher, self.record = evaluate, watcher, record
        self.columns, self.precision = columns, precision
        self.processes = processes
        self.history = History(folder / "metrics.jsonl" if processes.first else None)
        self.optimizers = Optimizers(model, config, emb)
        self.checkpoints = checkpoints_of(model, folder / "checkpoint", watcher.say, processes)
        self.losses = losses_for(self._loss_failed, self.optimizers, next(model.parameters()).device)
        self.evaluation_steps = evaluation_steps(rows.steps, config.eval_every)
        torch.manual_seed(stream_seed(seed, "dropout", *([processes.rank] if processes.rank else [])))
        self.position = checkpoint.Position()
        found = self.checkpoints.load(model, self.optimizers)
        if found is not None:
            self.position = found
            for _ in range(self.position.lr_drops):
                self._lower_lr()
            watcher.say(f"resumed at step {self.position.step}")
        self.history.write(self.position.history)
        for line in self.position.history:
            record(line)
        if spectra is not None:
            spectra.keep_before(self.position.step)
            if self.position.step == (self.position.history[-1]["step"] if self.position.history else 0):
                self._look()
        self._saved_at = time.monotonic()

    def run(self) -> TrainSummary:
        """Train until the epochs are done or validation stops gaining; the model ends in its best state.

        Raises Interrupted after saving a checkpoint when a signal asks to stop, and RunFailedError when the loss or a
        weight is no longer finite; the checkpoints stay as they were then.
        """
        position = self.position
        with signals.defer_signals(insist=self.processes.size == 1):
            while position.epoch < self.config.epochs and not self._patience_spent():
                self._epoch()
            self._save()
            if self.spectra is not None:
                self.spectra.finish()
        stopping = self.processes.most(signals.requested() or 0)
        if stopping:
            raise Interrupted(stopping)
        assert position.best_step is not None
        self.optimizers.finish()
        self.checkpoints.load_best(self.model, position.best_step)
        return TrainSummary(
            steps=position.step,
            epochs=position.step / self.rows.steps,
            best_step=position.best_step,
            samples_per_s=position.rows / position.seconds if position.seconds > 0 else None,
            seconds=position.seconds,
        )

    def _epoch(self) -> None:
        position = self.position
        self.model.train()
        began = time.perf_counter()
        for batch in self.rows.batches(position.epoch, position.step_in_epoch):
            checks = self.losses.checks(position.step + 1, batch)
            loss = step(self.model, self.optimizers, batch, checks, self.precision, self.processes)
            position.rows += self.rows.rows_of(position.step_in_epoch)
            position.step += 1
            position.step_in_epoch += 1
            last = position.step_in_epoch == self.rows.steps
            evaluating = last or self._evaluation_due()
            looking = position.step % self.losses.every == 0 or evaluating or self._asked_to_save() > 0
            if looking:
                self.losses.look()
            position.seconds += time.perf_counter() - began
            if looking:
                steps = self.rows.steps * self.config.epochs
                self.watcher.stepped(position.step, steps, float(loss), position.rows / position.seconds)
            if self.spectra is not None:
                self.spectra.finish()
            if last:
                position.epoch, position.step_in_epoch = position.epoch + 1, 0
            if evaluating:
                self._evaluate(float(loss))
            self._save_if_due()
            if last or self._patience_spent():
                return
            began = time.perf_counter()

    def _evaluation_due(self) -> bool:
        if isinstance(self.config.eval_every, int):
            return self.position.step % self.config.eval_every == 0
        return self.position.step_in_epoch in self.evaluation_steps

    def _loss_failed(self, bad: BadLoss) -> NoReturn:
        ids_BF, numeric_BN, _ = bad.batch
        if self.losses.every > 1:
            self.optimizers.clear()  # of the steps that were skipped since
        self._fail(bad.name, bad.value, f"at step {bad.step}", lambda: self.model(ids_BF, numeric_BN))

    def _fail(self, name: str, value: float, when: str, again: Callable[[], object]) -> NoReturn:
        if self.processes.size > 1:  # a search that ends in one of them would leave the others waiting
            raise RunFailedError(f"{name} is {value} {when}; a smaller train.lr or emb.lr may help")
        first = nonfinite.explain_nonfinite(self.model, self.optimizers, self.columns, again)
        advice = "" if first.startswith(nonfinite.COLUMN) else "; a smaller train.lr or emb.lr may help"
        raise RunFailedError(f"{name} is {value} {when}: first not finite is {first}{advice}")

    def _check_weights(self) -> None:
        """Before weights are kept: a row that is not finite may be in neither the batch nor validation."""
        found = nonfinite.nonfinite_among(checkpoint.local_weights(self.model))
        name = next((name for name in self.processes.each(found) if name is not None), None)
        if name is not None:
            raise RunFailedError(
                f"{name} is not finite after step {self.position.step}; a smaller train.lr or emb.lr may help"
            )

    def _evaluate(self, loss: float) -> None:
        position = self.position
        self.model.eval()
        found = self.evaluate()
        if not math.isfinite(found["logloss"]):
            self._fail("the logloss on validation", found["logloss"], f"after step {position.step}", self.evaluate)
        self.model.train()
        value = monitored(self.config.monitor, found["auc"], found["logloss"])
        assert value is not None  # or no run begins
        lr = self.optimizers.lr
        if position.best_value is None or value > position.best_value + self.config.min_gain:
            position.best_value, position.best_step = value, position.step
            position.evaluations_without_gain = 0
            self._check_weights()
            self.checkpoints.save_best(position.step, self.model)
        else:
            position.evaluations_without_gain += 1
            if self.config.plateau_factor is not None:
                position.lr_drops += 1
                self._lower_lr()
        line = {
            "step": position.step,
            "epoch": position.step / self.rows.steps,
            "lr": lr,
            "train_loss": loss,
            **{f"valid_{name}": value for name, value in found.items()},
            "best_step": position.best_step,
        }
        position.history.append(line)
        self.history.add(line)
        self.watcher.evaluated(line)
        self.record(line)
        self._look()

    def _look(self) -> None:
        """Take the spectra, and look at the step that comes next."""
        if self.spectra is not None:
            self.spectra.begin(self.position.step, self.position.step / self.rows.steps, self.optimizers.emb_lr)

    def _lower_lr(self) -> None:
        assert self.config.plateau_factor is not None
        self.optimizers.lower_lr(self.config.plateau_factor, self.config.min_lr)

    def _patience_spent(self) -> bool:
        patience = self.config.patience
        return patience is not None and self.position.evaluations_without_gain >= patience

    def _asked_to_save(self) -> int:
        """0: by nothing; 1: by the clock; else the number of the signal that asks to stop; in any of the processes."""
        waited = time.monotonic() - self._saved_at
        return self.processes.most(signals.requested() or int(waited >= 60 * self.config.checkpoint_minutes))

    def _save_if_due(self) -> None:
        asked = self._asked_to_save()
        if asked == 0:
            return
        self._save()
        if asked > 1:
            raise Interrupted(asked, f"stopped after step {self.position.step}, checkpoint saved")

    def _save(self) -> None:
        self._check_weights()
        self.checkpoints.save(self.model, self.optimizers, self.position)
        self._saved_at = time.monotonic()
