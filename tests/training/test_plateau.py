"""The learning rates after evaluations without gain, alone and across a stop."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mlet_bench import cli
from mlet_bench.embedding import SingleEmbedding
from mlet_bench.models.fm import FM, FMSettings
from mlet_bench.training import trainer as trainer_module
from mlet_bench.training.trainer import Trainer, TrainingRows
from tests.conftest import Ended
from tests.training.test_optimizers import emb_config, train_config

Command = Callable[..., Ended]


class Silent:
    def stepped(self, step: int, steps: int, loss: float, samples_per_s: float) -> None: ...
    def evaluated(self, line: dict[str, Any]) -> None: ...
    def say(self, text: str) -> None: ...


def trainer(values: Iterator[float], **changes: Any) -> Trainer:
    """One step an epoch; the evaluations give these values one after the other."""
    torch.manual_seed(0)
    model = FM(SingleEmbedding.from_weights([4], torch.randn(4, 2)), 0, FMSettings())
    rows = TrainingRows.__new__(TrainingRows)
    rows.steps = 1
    rows.rows_of = lambda step: 2  # type: ignore[method-assign]
    batch = (torch.tensor([[1], [2]]), torch.empty(2, 0), torch.tensor([0.0, 1.0]))
    rows.batches = lambda epoch, start: iter([batch])  # type: ignore[method-assign]
    monitor = changes.get("monitor", "auc")

    def evaluate() -> dict[str, float]:
        value = next(values)
        return {"auc": 0.5, "logloss": 0.5, monitor: value}

    return Trainer(model, rows, train_config(epochs=20, lr=0.1, **changes), emb_config("single", lr=0.02), seed=1,
                   evaluate=evaluate, folder=Path(), watcher=Silent(), columns=())  # fmt: skip


def rates(path: Path = Path("metrics.jsonl")) -> list[float]:
    return [json.loads(line)["lr"] for line in path.read_text().splitlines()]


def test_every_stall_lowers_the_rate_and_a_gain_only_resets_the_patience() -> None:
    # as in published logs: 10 % after each stall, the end after two in a row
    values = [0.90, 0.95, 0.94, 0.96, 0.97, 0.95, 0.98, 0.97, 0.98, 0.99]
    ours = trainer(iter(values), plateau_factor=0.1, patience=2, min_lr=0.0)
    summary = ours.run()
    assert rates() == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001, 0.001, 0.0001])
    assert (summary.steps, summary.best_step) == (9, 7)
    assert ours.optimizers.lr == pytest.approx(1e-5)
    assert [rows.lr for rows in ours.optimizers.rows] == pytest.approx([2e-6, 2e-6])


def test_the_rate_has_a_floor_that_lifts_nothing() -> None:
    ours = trainer(iter([0.9] * 6), plateau_factor=0.1, patience=5, min_lr=0.03)
    ours.run()
    assert rates() == pytest.approx([0.1, 0.1, 0.03, 0.03, 0.03, 0.03])
    assert ours.optimizers.rows[0].lr == 0.02  # below the floor from the start


def test_a_rate_below_the_floor_from_the_start_stays() -> None:
    trainer(iter([0.9] * 3), plateau_factor=0.1, patience=2, min_lr=0.5).run()
    assert rates() == [0.1] * 3


def test_logloss_gains_by_falling_and_small_gains_do_not_count() -> None:
    trainer(iter([0.50, 0.49, 0.4895, 0.48, 0.485, 0.481]), plateau_factor=0.5, patience=2, monitor="logloss",
            min_gain=0.001).run()  # fmt: skip
    assert rates() == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.05, 0.025])


def test_without_a_factor_the_rate_stays() -> None:
    trainer(iter([0.9] * 4), patience=3).run()
    assert rates() == [0.1] * 4


def test_a_resumed_training_has_the_lowered_rate() -> None:
    first = trainer(iter([0.9, 0.8, 0.7, 0.6]), plateau_factor=0.3, patience=3)
    first.run()
    second = trainer(iter([]), plateau_factor=0.3, patience=9)
    assert second.position.lr_drops == 3
    assert second.optimizers.lr == first.optimizers.lr
    assert [rows.lr for rows in second.optimizers.rows] == [rows.lr for rows in first.optimizers.rows]


@pytest.mark.usefixtures("criteo_file")
@pytest.mark.parametrize("mode", ["single", "mlet"])
def test_stopped_run_goes_on_to_the_same_result(command: Command, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    words = ["train", "dataset=criteo", "dataset.raw=train.txt", "model=deepfm", f"emb={mode}", "emb.dim=4",
             "model.mlp=[8]", "model.batch_norm=true", "model.dropout=0.2", "train.batch_size=64", "train.epochs=3",
             "train.eval_every=2", "train.min_gain=1", "train.plateau_factor=0.5", "train.patience=null",
             "train.clip_norm=0.5", "train.update=exact", "emb.l2=0.01", "emb.l2_rows=table"]  # fmt: skip
    command(*words, "hydra.run.dir=whole")
    step = trainer_module.step
    taken: list[int] = []

    def interrupted(*given: Any) -> torch.Tensor:
        taken.append(1)
        if len(taken) == 9:
            signal.raise_signal(signal.SIGINT)
        return step(*given)

    monkeypatch.setattr(trainer_module, "step", interrupted)
    assert command(*words, "hydra.run.dir=parts").code == 130
    monkeypatch.setattr(trainer_module, "step", step)
    assert command(*words, "hydra.run.dir=parts").code == cli.DONE
    assert rates(Path("whole/metrics.jsonl")) == pytest.approx([0.001, *(0.001 * 0.5**i for i in range(8))])
    for name in ("model.safetensors", "metrics.jsonl", "predictions.parquet"):
        assert (Path("whole") / name).read_bytes() == (Path("parts") / name).read_bytes()
