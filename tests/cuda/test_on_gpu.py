"""Training, collapse and evaluation on a GPU, against the same on the CPU."""

import copy
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F

from mlet_bench import cli
from mlet_bench.config import EMBEDDINGS, EmbConfig
from mlet_bench.data import Split
from mlet_bench.data.batches import Batch
from mlet_bench.data.sources import criteo_like
from mlet_bench.evaluation.predictions import predict
from mlet_bench.models import CTRModel
from mlet_bench.training import speed, trainer
from mlet_bench.training.optimizers import Optimizers
from mlet_bench.training.step import step
from tests.commands.test_every_mode import MODES as MADE_SMALLER
from tests.commands.test_every_mode import WITH_MLET
from tests.conftest import TINY, Ended, train_config
from tests.models.small import ALL, DIM, INNER, rows, small_model

GPU = "cuda"
pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")]
Command = Callable[..., Ended]
MODES = ["single", "mlet"]
FIELDS, NUMERIC, BATCH = 5, 2, 64


def emb_config(mode: str) -> EmbConfig:
    values = {"inner": INNER, "lr": None, "l2": 0.001, "l2_on": "product", "l2_rows": "batch", "init_std": None}
    return EMBEDDINGS[mode].model_validate({"mode": mode, "dim": DIM, **values})


def batch_on(device: str) -> Batch:
    """The same rows on any device."""
    ids_BF, numeric_BN = rows(BATCH, FIELDS, NUMERIC)
    return ids_BF.int().to(device), numeric_BN.to(device), (ids_BF[:, 0] > 1).float().to(device)


def trained(
    name: str, mode: str, device: str, *, steps: int, precision: str = "float32", **train: Any
) -> tuple[CTRModel, Optimizers, float]:
    """A model after some steps, on the device, its optimisers and its loss."""
    model = small_model(name, FIELDS, NUMERIC, factorised=mode == "mlet").to(device).train()
    optimizers = Optimizers(model, train_config(**train), emb_config(mode))
    for _ in range(steps):
        step(model, optimizers, batch_on(device), lambda *_: None, precision)
    with torch.no_grad():
        ids_BF, numeric_BN, label_B = batch_on(device)
        return model, optimizers, float(F.binary_cross_entropy_with_logits(model(ids_BF, numeric_BN), label_B))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ALL)
def test_steps_move_every_weight_as_on_the_cpu(name: str, mode: str) -> None:
    """Under SGD a step is its gradient."""
    (ours, _, loss), (expected, _, expected_loss) = (
        trained(name, mode, device, steps=3, optimizer="sgd", lr=0.1) for device in (GPU, "cpu")
    )
    assert loss == pytest.approx(expected_loss, rel=1e-4)
    weights = expected.state_dict()
    for key, value in ours.state_dict().items():
        torch.testing.assert_close(
            value.cpu(), weights[key], rtol=1e-3, atol=2e-5, msg=lambda text, key=key: key + text
        )


@pytest.mark.parametrize("update", ["lazy", "exact"])
@pytest.mark.parametrize("optimizer", ["adam", "rowwise_adagrad"])
@pytest.mark.parametrize("mode", MODES)
def test_optimisers_reach_the_loss_of_the_cpu(mode: str, optimizer: str, update: str) -> None:
    ours, expected = (
        trained("deepfm", mode, device, steps=8, optimizer=optimizer, update=update, lr=0.01, clip_norm=1.0)[2]
        for device in (GPU, "cpu")
    )
    assert ours == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adagrad", "rowwise_adagrad"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["dlrm", "dcn", "autoint_plus", "deepfm"])
def test_a_step_waits_for_nothing(name: str, mode: str, optimizer: str, precision: str) -> None:
    model, optimizers, _ = trained(name, mode, GPU, steps=2, precision=precision, optimizer=optimizer)
    optimizers.skip_from(torch.zeros((), dtype=torch.bool, device=GPU))
    batch = batch_on(GPU)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss = step(model, optimizers, batch, lambda *_: None, precision)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert loss.isfinite()


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
@pytest.mark.parametrize("name", ["dlrm", "dcn", "autoint_plus"])
def test_precision_holds_for_the_step_alone(name: str, precision: str) -> None:
    losses = [trained(name, "mlet", GPU, steps=5, precision=kind, lr=0.003)[2] for kind in (precision, "float32")]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cuda.matmul.allow_tf32


def test_prediction_is_that_of_the_cpu() -> None:
    ids_BF, numeric_BN = rows(100, FIELDS, NUMERIC)
    split = Split(ids_BF.int().numpy(), numeric_BN.numpy(), np.zeros(100, np.float32), None, None)
    model = small_model("autoint_plus", FIELDS, NUMERIC, factorised=True)
    expected_R = predict(model, [split, split], batch_size=30)
    ours_R = predict(copy.deepcopy(model).to(GPU), [split, split], batch_size=30)
    np.testing.assert_allclose(ours_R, expected_R, rtol=1e-4, atol=1e-5)


def train_words(*more: str) -> tuple[str, ...]:
    tiny = ("train.batch_size=64", "train.epochs=2", "train.eval_every=3", "emb.dim=4", "emb.inner=8")
    return ("train", f"hardware={GPU}", "dataset=criteo", "dataset.raw=train.txt", *tiny, *more)


def result_of(folder: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(Path(folder, "result.json").read_text())
    return result


@pytest.mark.usefixtures("criteo_file")
@pytest.mark.parametrize(
    "words",
    [
        "model=dlrm emb=single",
        "model=dlrm emb=mlet train.update=exact",
        "model=dcn emb=mlet hardware.precision=bfloat16",
        "model=dcn emb=single hardware.precision=float32 train.optimizer=rowwise_adagrad",
        "model=autoint_plus emb=mlet emb.l2=0.001",
        "model=autoint_plus emb=single hardware.precision=bfloat16 train.optimizer=sgd train.clip_norm=1.0",
        "model=deepfm emb=mlet train.spectra=true",
        "model=xdeepfm emb=mlet_frozen",
    ],
)
def test_run_collapses_and_is_evaluated_again(command: Command, words: str) -> None:
    ended = command(*train_words(*words.split(), "hydra.run.dir=run"))
    assert ended.code == cli.DONE, ended.err
    result = result_of("run")
    logits = pq.read_table("run/predictions.parquet")["logit"].to_numpy()
    assert result["collapse"]["max_abs_logit_diff"] <= 1e-5 * max(1, np.abs(logits).max())
    assert result["hardware"]["gpu"] == torch.cuda.get_device_name()
    assert result["train"]["peak_memory_bytes"] > 0
    for hardware in ((), ("hardware=cpu",)):  # the run's own first
        ended = command("evaluate", "run=run", *hardware, "hydra.run.dir=again")
        assert ended.code == cli.DONE, ended.err
        again = json.loads(Path("again/evaluation.json").read_text())
        assert again["metrics"]["auc"] == pytest.approx(result["metrics"]["test"]["auc"], abs=1e-3)


@pytest.mark.parametrize(
    ("mode", "inner"), [*((mode, "null") for mode in MADE_SMALLER), *((mode, "16") for mode in WITH_MLET)]
)
def test_every_mode_trains_collapses_and_is_evaluated_again(command: Command, mode: str, inner: str) -> None:
    words = ("dataset=synthetic", "dataset.rows=3600", "model=dcn", "model.mlp=[8]", "train.batch_size=500",
             f"emb={mode}", "emb.ratio=0.6", f"emb.inner={inner}")  # fmt: skip
    ended = command("train", f"hardware={GPU}", *words, "hydra.run.dir=run")
    assert ended.code == cli.DONE, ended.err
    result = result_of("run")
    ended = command("evaluate", "run=run", "hardware=cpu", "hydra.run.dir=again")
    assert ended.code == cli.DONE, ended.err
    again = json.loads(Path("again/evaluation.json").read_text())
    assert again["metrics"]["auc"] == pytest.approx(result["metrics"]["test"]["auc"], abs=1e-3)


@pytest.mark.usefixtures("criteo_file")
def test_stopped_run_goes_on_to_nearly_the_same_result(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums over equal rows come in any order on a GPU, so the last bits differ between runs."""
    words = ("model=dlrm", "emb=mlet", "model.dropout=0.2", *TINY, "train.epochs=3", "hardware.precision=float32")
    assert command(*train_words(*words, "hydra.run.dir=whole")).code == cli.DONE
    take_step, taken = trainer.step, list[int]()

    def interrupted(*given: Any) -> torch.Tensor:
        taken.append(1)
        if len(taken) == 8:
            signal.raise_signal(signal.SIGTERM)
        return take_step(*given)

    monkeypatch.setattr(trainer, "step", interrupted)
    assert command(*train_words(*words, "hydra.run.dir=parts")).code == 143
    assert len(taken) < 15
    monkeypatch.setattr(trainer, "step", take_step)
    assert command(*train_words(*words, "hydra.run.dir=parts")).code == cli.DONE
    whole, parts = result_of("whole"), result_of("parts")
    assert parts["train"]["steps"] == whole["train"]["steps"]
    assert parts["metrics"]["test"]["logloss"] == pytest.approx(whole["metrics"]["test"]["logloss"], rel=1e-3)


@pytest.mark.parametrize("name", ["dlrm", "dcn", "autoint_plus"])
def test_bench(command: Command, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(criteo_like.CARDINALITIES, "filtered", (50,) * 26)
    monkeypatch.setattr(speed, "PEAK_SIZE", 64)
    words = (f"model={name}", "emb=mlet", "emb.inner=8", "steps=3", "train.batch_size=32", "hydra.run.dir=here")
    ended = command("bench", f"hardware={GPU}", *words)
    assert ended.code == cli.DONE, ended.err
    result = json.loads(Path("here/bench.json").read_text())
    assert result["samples_per_s"] > 0
    assert set(result["parts_ms"]) >= {"lookup", "network_forward", "network_backward", "dense_update", "rows_update"}
