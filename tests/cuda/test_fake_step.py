"""What a training step does on a GPU, tried without one: on PyTorch's meta device, whose tensors have no numbers.

Our code asks of a device whether it is a CPU, and takes the path of a GPU on any other. An operation that would have to
wait for numbers (`item`, `nonzero`, a boolean index) raises on the meta device; copies between host and device, which
wait too, are caught here.
"""

import sys
from collections import Counter
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mlet_bench import models
from mlet_bench.config import EMBEDDINGS, TrainConfig
from mlet_bench.embedding import build
from mlet_bench.models import CTRModel
from mlet_bench.training.optimizers import Optimizers
from mlet_bench.training.step import step
from tests.conftest import train_config
from tests.models.small import DIM, INNER, section

BATCH, NUMERIC = 8, 2
PRODUCTS = {torch.ops.aten.mm, torch.ops.aten.bmm, torch.ops.aten.addmm, torch.ops.aten.baddbmm}
MODES = ["single", "mlet", "mlet_frozen"]


class WithoutWaiting(TorchDispatchMode):
    """Counts operations, and fails at one that takes more than a number from the host to the device or back."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[Any] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        tensors = [value for value in tree_leaves((args, kwargs, result)) if isinstance(value, Tensor)]
        on_host = [value for value in tensors if value.device.type == "cpu"]
        copies = func.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.copy_)
        if len(on_host) < len(tensors):
            assert not any(copies or value.dim() for value in on_host), f"{func} waits for the device"
        self.counts[func.overloadpacket] += 1
        return result

    @property
    def products(self) -> int:
        return sum(self.counts[operator] for operator in PRODUCTS)


@pytest.fixture(autouse=True)
def meta_is_a_device_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autocast and fused optimisers know a list of devices, in which meta is not."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    monkeypatch.setattr(sys.modules[Optimizer.__module__], "_get_fused_kernels_supported_devices", lambda: ["meta"])


def one_step(
    name: str, mode: str, fields: int = 3, train: TrainConfig | None = None, emb: dict[str, Any] | None = None
) -> WithoutWaiting:
    """A second step, when the optimisers have made their state."""
    values = {"inner": INNER, "lr": None, "l2": 0.0, "l2_on": "product", "l2_rows": "batch", "init_std": None}
    emb_config = EMBEDDINGS[mode].model_validate({"mode": mode, "dim": DIM, **values, **(emb or {})})
    with torch.device("meta"):
        model: CTRModel = models.build(section(name), build(emb_config, [5] * fields), NUMERIC).train()
        ids_BF = torch.zeros(BATCH, fields, dtype=torch.int32)
        batch = (ids_BF, torch.zeros(BATCH, NUMERIC), torch.zeros(BATCH))
        skip = torch.zeros((), dtype=torch.bool)
    optimizers = Optimizers(model, train or train_config(), emb_config)
    optimizers.skip_from(skip)
    step(model, optimizers, batch, lambda *_: None)
    with WithoutWaiting() as watched:
        loss = step(model, optimizers, batch, lambda *_: None)
    assert loss.device.type == "meta"
    return watched


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adagrad", "rowwise_adagrad"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["dlrm", "dcn", "autoint_plus", "deepfm"])
def test_a_step_waits_for_nothing(name: str, mode: str, optimizer: str) -> None:
    assert one_step(name, mode, train=train_config(optimizer=optimizer)).products > 0


@pytest.mark.parametrize("mode", ["single", "mlet"])
@pytest.mark.parametrize(("train", "emb"), [
    ({"update": "exact", "clip_norm": 1.0}, {}),
    ({"clip_norm": 1.0}, {"l2": 0.1, "l2_on": "factors"}),
    ({}, {"l2": 0.1, "l2_on": "product"}),
    ({"update": "exact"}, {"l2": 0.1, "l2_on": "product", "l2_rows": "table"}),
], ids=str)  # fmt: skip
def test_neither_do_clipping_exact_updates_and_l2(mode: str, train: dict[str, Any], emb: dict[str, Any]) -> None:
    one_step("deepfm", mode, train=train_config(**train), emb=emb)


@pytest.mark.parametrize("name", ["fm", "lr", "nfm", "widedeep", "xdeepfm", "dcnv2", "autoint"])
def test_neither_does_any_other_model(name: str) -> None:
    one_step(name, "mlet")


@pytest.mark.parametrize("fields", [1, 3, 26])
def test_the_projection_of_all_fields_is_one_product(fields: int) -> None:
    """Forward, and one for each of its gradients."""
    single, mlet, frozen = (one_step("dcn", mode, fields).products for mode in MODES)
    assert (mlet - single, frozen - single) == (3, 2)


def test_what_waits_is_caught() -> None:
    values = torch.zeros(3, device="meta")
    for wait in (Tensor.nonzero, Tensor.unique, Tensor.tolist, Tensor.cpu, torch.Tensor.item, lambda x: x[x > 0]):
        with pytest.raises((RuntimeError, NotImplementedError)):
            wait(values)
    with pytest.raises(AssertionError), WithoutWaiting():
        torch.zeros(3).to("meta")
