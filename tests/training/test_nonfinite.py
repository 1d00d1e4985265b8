"""A training that goes wrong says which tensor was first, keeps what was sound, and counts as failed."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mlet_bench import cli
from mlet_bench.analysis.collect import collect
from mlet_bench.training import nonfinite, trainer
from mlet_bench.training.losses import CollectedLosses
from mlet_bench.training.step import step
from tests.conftest import TINY, Ended

Command = Callable[..., Ended]
WORDS = ("train", "dataset=criteo", "dataset.raw=train.txt", *TINY, "hydra.run.dir=run", "hardware.threads=1",
         "train.checkpoint_minutes=0.00001", "train.eval_every=2")  # fmt: skip
Harm = Callable[[Any, Any, Any], None]


def at_step(monkeypatch: pytest.MonkeyPatch, number: int, harm: Harm) -> None:
    """Before step `number`, `harm` is given the model, the optimizers and the batch."""
    taken = []

    def harmed(model: Any, optimizers: Any, batch: Any, *more: Any) -> torch.Tensor:
        taken.append(1)
        if len(taken) == number:
            harm(model, optimizers, batch)
        return step(model, optimizers, batch, *more)

    monkeypatch.setattr(trainer, "step", harmed)


def nan_weight(model: Any, optimizers: Any, batch: Any) -> None:
    with torch.no_grad():
        model.bottom[0].weight[0, 0] = torch.nan


def nan_row(model: Any, optimizers: Any, batch: Any) -> None:
    with torch.no_grad():
        model.embedding.table.weight[batch[0][0, 0]] = torch.nan


def inf_column(model: Any, optimizers: Any, batch: Any) -> None:
    batch[1][3, 4] = torch.inf


def nan_output(model: Any, optimizers: Any, batch: Any) -> None:
    model.top[0].register_forward_hook(lambda part, given, output: output * torch.nan)


def nan_gradient(model: Any, optimizers: Any, batch: Any) -> None:
    """As if it overflowed on its way back: the loss of this step is finite."""
    model.top[0].weight.register_hook(lambda gradient: gradient * torch.inf)


def nan_row_gradient(model: Any, optimizers: Any, batch: Any) -> None:
    def spoil(part: Any, given: Any, output: torch.Tensor) -> None:
        if output.requires_grad:
            output.register_hook(lambda gradient: gradient * torch.nan)  # type: ignore[no-untyped-call]

    model.embedding.register_forward_hook(spoil)


CASES: dict[Harm, tuple[int, str]] = {
    nan_weight: (4, "bottom.0.weight, as the step before left it"),
    nan_row: (4, "embedding.table.weight, as the step before left it"),
    inf_column: (4, "the numeric column I5"),
    nan_output: (4, "the output of top.0"),
    nan_gradient: (5, "the gradient of top.0.weight in the step before"),
    nan_row_gradient: (5, "the gradient of embedding.table.weight in the step before"),
}


@pytest.mark.usefixtures("criteo_file")
@pytest.mark.parametrize("harm", CASES, ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("every", [1, 7])
def test_first_tensor_is_named(command: Command, monkeypatch: pytest.MonkeyPatch, every: int, harm: Harm) -> None:
    """Also where losses are looked at every few steps, as on a GPU."""
    at_step(monkeypatch, 4, harm)
    if every > 1:
        monkeypatch.setattr(
            trainer,
            "losses_for",
            lambda fail, optimizers, device: CollectedLosses(fail, optimizers, device, every),
        )
    step_number, first = CASES[harm]
    ended = command(*WORDS, "train.checkpoint_minutes=5", "train.eval_every=null")
    assert (ended.code, ended.err.count("\n")) == (cli.FAILED, 1), ended.err
    assert f"the loss is nan at step {step_number}: first not finite is {first}" in ended.err
    (left_out,) = collect([Path("run")]).left_out
    assert (left_out.state, first in left_out.reason) == ("failed", True)


@pytest.mark.usefixtures("criteo_file")
@pytest.mark.parametrize("harm", [nan_gradient, nan_row_gradient])
def test_sound_state_stays_and_the_same_command_ends_right(
    command: Command, monkeypatch: pytest.MonkeyPatch, harm: Harm
) -> None:
    """A fault of the machine in one step: weights that it spoilt are written nowhere."""
    assert command(*WORDS, "hydra.run.dir=undisturbed").code == cli.DONE
    with monkeypatch.context() as patch:
        at_step(patch, 3, harm)
        ended = command(*WORDS)
    assert ended.code == cli.FAILED
    assert "is not finite after step 3" in ended.err
    held = sorted(path.name for path in Path("run/checkpoint").glob("state-*.json"))
    assert held == ["state-000000000001.json", "state-000000000002.json"]
    assert command(*WORDS).code == cli.DONE
    for name in ("model.safetensors", "predictions.parquet", "metrics.jsonl"):
        assert digest(Path("run") / name) == digest(Path("undisturbed") / name)
    metrics = [json.loads(Path(f"{run}/result.json").read_text())["metrics"] for run in ("run", "undisturbed")]
    assert metrics[0] == metrics[1]


def digest(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.mark.usefixtures("criteo_file")
def test_divergence_noticed_on_validation_names_a_tensor(command: Command) -> None:
    ended = command(*WORDS, "train.optimizer=sgd", "train.lr=1e30", "train.batch_size=100000")
    assert (ended.code, ended.err.count("\n")) == (cli.FAILED, 1)
    assert "the logloss on validation is nan after step 1: first not finite is " in ended.err


@pytest.mark.usefixtures("criteo_file")
def test_sound_training_is_never_looked_through(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nonfinite, "explain_nonfinite", lambda *_: pytest.fail("looked"))
    looked = []
    monkeypatch.setattr(nonfinite, "nonfinite_among", lambda named: looked.append(1))
    assert command(*WORDS, "train.checkpoint_minutes=5", "train.epochs=3", "train.eval_every=null").code == cli.DONE
    assert len(looked) <= 3 + 1  # at each evaluation with a gain, and at the end; never at a step


def test_finite_is_what_isfinite_says() -> None:
    for values in ([], [0.0, -3e38], [1.0, torch.nan], [torch.inf, 1.0], [1.0, -torch.inf], [torch.nan, torch.inf]):
        tensor = torch.tensor(values)
        assert nonfinite.is_finite(tensor) == bool(tensor.isfinite().all())
    assert nonfinite.is_finite(torch.tensor([2**62]))
