"""How long steps of training and their parts take, how many operations they are, and how many the machine can do.

B batch, F sparse fields, D embedding width.
"""

import copy
import gc
import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mlet_bench import models
from mlet_bench.config import ModelSection
from mlet_bench.data.batches import Batch, TrainingRows
from mlet_bench.embedding import Embedding, SingleEmbedding
from mlet_bench.errors import RunFailedError
from mlet_bench.models import CTRModel
from mlet_bench.models.linear import linear
from mlet_bench.training.optimizers import Optimizers
from mlet_bench.training.step import step

WARM_UP = 5
"""Steps before the timed ones."""
PEAK_SIZE = 4096
FLOP_ROWS = 64


@dataclass
class TimedModel:
    """A model with its optimisers and what its steps took."""

    model: CTRModel
    optimizers: Optimizers
    seconds: list[float] = field(default_factory=list)

    @property
    def ms(self) -> float:
        return 1000 * statistics.median(self.seconds)

    @property
    def deciles_ms(self) -> list[float]:
        """The first and the last."""
        deciles = statistics.quantiles(self.seconds, n=10) if len(self.seconds) > 1 else self.seconds * 9
        return [1000 * deciles[0], 1000 * deciles[8]]


def time_steps(timed: Sequence[TimedModel], rows: TrainingRows, steps: int, precision: str) -> None:
    """`steps` steps of each model, in turn, so that a noisy machine is noisy for all; the batches are the same ones.

    Fetching the batch counts as a part of the step, and so does the wait for the device at its end, the only one.
    """
    device = next(timed[0].model.parameters()).device
    streams = [_endless_batches(rows) for _ in timed]
    losses: list[Tensor] = []
    gc.collect()
    for number in range(WARM_UP + steps):
        losses.clear()
        for one, batches in zip(timed, streams, strict=True):
            _wait(device)
            began = time.perf_counter()
            losses.append(step(one.model, one.optimizers, next(batches), lambda *_: None, precision))
            _wait(device)
            if number >= WARM_UP:
                one.seconds.append(time.perf_counter() - began)
    if not torch.stack(losses).isfinite().all():
        raise RunFailedError("the loss is no longer finite; a smaller train.lr or emb.lr may help")


def time_parts(timed: TimedModel, rows: TrainingRows, steps: int, precision: str) -> dict[str, float]:
    """Median milliseconds of each part of a step, from steps of their own, in which each part waits for the device."""
    device = next(timed.model.parameters()).device
    spent: dict[str, list[float]] = defaultdict(list)
    seconds: dict[str, float] = {}
    clock = time.perf_counter()

    def mark(part: str) -> None:
        """What passed since the last mark belongs to this part."""
        nonlocal clock
        _wait(device)
        now = time.perf_counter()
        seconds[part] = seconds.get(part, 0.0) + now - clock
        clock = now

    def after_lookup(_: nn.Module, __: Any, emb_BFD: Tensor) -> None:
        mark("lookup")
        if emb_BFD.requires_grad:
            emb_BFD.register_hook(lambda _: mark("network_backward"))  # type: ignore[no-untyped-call]

    dense = timed.optimizers.dense
    handles = [
        timed.model.register_forward_hook(lambda *_: mark("network_forward")),
        dense.register_step_pre_hook(lambda *_: mark("lookup_backward")),
        dense.register_step_post_hook(lambda *_: mark("dense_update")),
    ]
    for part in timed.model.modules():
        if isinstance(part, Embedding):
            handles.append(part.register_forward_pre_hook(lambda *_: mark("network_forward")))
            handles.append(part.register_forward_hook(after_lookup))
    batches = _endless_batches(rows)
    for _ in range(steps):
        seconds.clear()
        clock = time.perf_counter()
        batch = next(batches)
        mark("batch")
        step(timed.model, timed.optimizers, batch, lambda *_: None, precision)
        mark("rows_update")
        for name, value in seconds.items():
            spent[name].append(value)
    for handle in handles:
        handle.remove()
    return {name: 1000 * statistics.median(values) for name, values in spent.items()}


def _endless_batches(rows: TrainingRows) -> Iterator[Batch]:
    for epoch in itertools.count():
        yield from rows.batches(epoch, 0)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class PlainEmbedding(nn.Module):
    """What anybody would serve with: PyTorch's own embedding of all fields' rows, here those of a collapsed one."""

    offsets: Tensor

    def __init__(self, collapsed: SingleEmbedding) -> None:
        super().__init__()
        self.table = nn.Embedding(sum(collapsed.cardinalities), collapsed.dim, _weight=collapsed.table.weight)
        self.register_buffer("offsets", torch.tensor([0, *itertools.accumulate(collapsed.cardinalities[:-1])]))
        self.to(collapsed.table.weight.device)

    def forward(self, ids_BF: Tensor) -> Tensor:
        """emb_BFD."""
        emb_BFD: Tensor = self.table(ids_BF + self.offsets)
        return emb_BFD


def with_embedding(model: CTRModel, embedding: nn.Module) -> CTRModel:
    """A copy of a model with its dense weights around another embedding, in evaluation mode."""
    return copy.deepcopy(model, {id(model.embedding): embedding}).eval()


def peak_flops(device: torch.device) -> tuple[float, float]:
    """Operations a second in products of two 4096 × 4096 matrices, float32: torch.mm's, and the best of both libraries
    that PyTorch has on CPU."""
    a, b = (torch.randn(PEAK_SIZE, PEAK_SIZE, device=device) for _ in range(2))
    torch_mm = _least_seconds(lambda: a @ b, device)
    best = min(torch_mm, _least_seconds(lambda: linear(a, b), device), _least_seconds(lambda: linear(a, b.t()), device))
    return 2 * PEAK_SIZE**3 / torch_mm, 2 * PEAK_SIZE**3 / best


def _least_seconds(multiply: Callable[[], Tensor], device: torch.device) -> float:
    seconds = []
    for _ in range(4):
        _wait(device)
        began = time.perf_counter()
        multiply()
        _wait(device)
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def flops_per_sample(section: ModelSection, fields: int, dim: int, num_numeric: int) -> float:
    """Of the network's matrix products, forward and backward, each counted once; nothing is computed for it."""
    with torch.device("meta"):
        model = models.build(section, SingleEmbedding.empty([2] * fields, dim), num_numeric)
        ids_BF = torch.zeros(FLOP_ROWS, fields, dtype=torch.int32)
        numeric_BN = torch.zeros(FLOP_ROWS, num_numeric)
    with FlopCounterMode(display=False) as counter:
        model.eval()(ids_BF, numeric_BN).sum().backward()
    return float(counter.get_total_flops() / FLOP_ROWS)
