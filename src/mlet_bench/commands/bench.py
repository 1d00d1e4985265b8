"""Training speed on generated rows of Criteo's shape: MLET beside a single table, beside what the machine can do.

The steps of both are taken in turn, each on the same batch, so that a noisy machine is noisy for both.
"""

import gc
import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mlet_bench import models
from mlet_bench.config import BenchCommand, EmbConfig
from mlet_bench.data.batches import Batch, MemoryRows
from mlet_bench.data.sources.criteo_like import CARDINALITIES, NUMERIC, rows_like_criteo
from mlet_bench.embedding import Embedding, SingleEmbedding
from mlet_bench.embedding import build as build_embedding
from mlet_bench.models import CTRModel
from mlet_bench.models.linear import linear
from mlet_bench.system import files, hardware
from mlet_bench.system.seeds import seeded
from mlet_bench.training.memory import plan
from mlet_bench.training.optimizers import Optimizers
from mlet_bench.training.step import step

BENCH = "bench.json"
BATCHES = 32
"""UniqueRows ones that are gone through again and again."""
WARM_UP = 5
PEAK_SIZE = 4096
FLOP_ROWS = 64


@dataclass
class Trained:
    """A model with its optimizers and what its steps took."""

    model: CTRModel
    optimizers: Optimizers
    seconds: list[float]

    @property
    def ms(self) -> float:
        return 1000 * statistics.median(self.seconds)


def bench(config: BenchCommand, run_dir: str, say: Callable[[str], None]) -> tuple[Path, dict[str, Any]]:
    """Time the requested mode, and a single table of the same d beside it; returns the folder and what was found."""
    models.settings_of(config.model)
    device = hardware.device_for(**config.hardware.model_dump())
    cardinalities = CARDINALITIES[config.categories]
    single = config.emb.single()
    plans = [plan(config.model, emb, config.train, cardinalities, NUMERIC) for emb in {single, config.emb}]
    needed = replace(plans[0], **{name: sum(asdict(one)[name] for one in plans) for name in asdict(plans[0])})
    needed = replace(needed, batch=max(one.batch for one in plans), evaluation=0)  # their steps are taken in turn
    needed.check(device)
    folder = Path(run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    say(f"bench: {config.model.name}, {sum(cardinalities):,} categories, batches of {config.train.batch_size:,}")
    peaks = [_peaks(device)]
    split = rows_like_criteo(cardinalities, config.train.batch_size * BATCHES, config.seed)
    rows = MemoryRows(split, config.train.batch_size, config.seed, device)
    flops = flops_per_sample(config)
    hardware.give_back_freed_memory()
    held = hardware.memory_bytes(device)
    runs = [_trained(config, single, device)]
    if config.emb.inner:
        runs.append(_trained(config, config.emb, device))
    _time(runs, rows, config.steps, device, config.hardware.precision)
    parts_ms = _parts(runs[-1], rows, max(config.steps // 2, 1), device, config.hardware.precision)
    grown = hardware.memory_bytes(device) - held
    peaks.append(_peaks(device))
    torch_mm, best = (max(peak) for peak in zip(*peaks, strict=True))
    found = _found(config, runs, best, flops, parts_ms, device)
    found["torch_mm_flops"] = torch_mm
    found["single_share_of_torch_mm"] = found["single_share_of_peak"] * best / torch_mm
    found["planned_memory_bytes"] = needed.bytes
    found["memory_grown_bytes"] = grown
    files.write_json(folder / BENCH, found)
    return folder, found


def _found(
    config: BenchCommand,
    runs: list[Trained],
    peak_flops: float,
    flops: float,
    parts_ms: dict[str, float],
    device: torch.device,
) -> dict[str, Any]:
    single, requested = runs[0], runs[-1]
    batch = config.train.batch_size
    return {
        "version": 1,
        "model": {"name": config.model.name, **models.settings_of(config.model).model_dump(mode="json")},
        "emb": {"mode": config.emb.mode, "dim": config.emb.dim, "inner": config.emb.inner},
        "optimizer": config.train.optimizer,
        "update": config.train.update,
        "batch_size": batch,
        "categories": sum(CARDINALITIES[config.categories]),
        "steps": config.steps,
        "samples_per_s": 1000 * batch / requested.ms,
        "ms_per_step": requested.ms,
        "ms_per_step_10_90": _spread(requested),
        "single_ms_per_step": single.ms,
        "single_ms_per_step_10_90": _spread(single),
        "mlet_over_single": requested.ms / single.ms if config.emb.inner else None,
        "parts_ms": parts_ms,
        "flops_per_sample": flops,
        "peak_flops": peak_flops,
        "share_of_peak": _share(requested, batch * flops, peak_flops),
        "single_share_of_peak": _share(single, batch * flops, peak_flops),
        "peak_memory_bytes": hardware.peak_memory_bytes(device),
        "hardware": hardware.describe_hardware(**config.hardware.model_dump()),
        "software": hardware.describe_software(),
    }


def _share(run: Trained, flops: float, peak_flops: float) -> float:
    return flops / (run.ms / 1000) / peak_flops


def _spread(run: Trained) -> list[float]:
    deciles = statistics.quantiles(run.seconds, n=10) if len(run.seconds) > 1 else [run.seconds[0]] * 9
    return [1000 * deciles[0], 1000 * deciles[8]]


def _trained(config: BenchCommand, emb: EmbConfig, device: torch.device) -> Trained:
    cardinalities = CARDINALITIES[config.categories]
    with seeded(config.seed, "embedding"):
        embedding = build_embedding(emb, cardinalities)
    with seeded(config.seed, "dense"):
        model = models.build(config.model, embedding, NUMERIC).to(device)
    return Trained(model, Optimizers(model, config.train, emb), [])


def _batches(rows: MemoryRows) -> Iterator[Batch]:
    for epoch in itertools.count():
        yield from rows.batches(epoch, 0)


def _finite(name: str, value: Tensor) -> None:
    """As the training loop looks at each loss, which waits for the device."""
    assert value.isfinite(), name


def _time(runs: list[Trained], rows: MemoryRows, steps: int, device: torch.device, precision: str) -> None:
    """Steps of all runs in turn; fetching the batch counts as a part of each."""
    streams = [_batches(rows) for _ in runs]
    gc.collect()
    for number in range(WARM_UP + steps):
        for run, batches in zip(runs, streams, strict=True):
            _wait(device)
            began = time.perf_counter()
            step(run.model, run.optimizers, next(batches), _finite, precision)
            _wait(device)
            if number >= WARM_UP:
                run.seconds.append(time.perf_counter() - began)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _parts(run: Trained, rows: MemoryRows, steps: int, device: torch.device, precision: str) -> dict[str, float]:
    """Median milliseconds of each part of a step, from steps of their own with a clock in them."""
    spent: dict[str, list[float]] = defaultdict(list)
    times: dict[str, float] = {}
    clock = time.perf_counter()

    def mark(part: str) -> None:
        nonlocal clock
        _wait(device)
        now = time.perf_counter()
        times[part] = times.get(part, 0.0) + now - clock
        clock = now

    handles = [run.optimizers.dense.register_step_pre_hook(lambda *_: mark("lookup_backward"))]
    handles.append(run.optimizers.dense.register_step_post_hook(lambda *_: mark("dense_update")))
    for part in run.model.modules():
        if isinstance(part, Embedding):
            handles += [part.register_forward_pre_hook(lambda *_: mark("network_forward")),
                        part.register_forward_hook(partial(_looked_up, mark))]  # fmt: skip
    batches = _batches(rows)
    for _ in range(steps):
        times.clear()
        clock = time.perf_counter()
        batch = next(batches)
        mark("batch")
        step(run.model, run.optimizers, batch, lambda *_: mark("network_forward"), precision)
        mark("rows_update")
        for part_name, seconds in times.items():
            spent[part_name].append(seconds)
    for handle in handles:
        handle.remove()
    return {name: 1000 * statistics.median(seconds) for name, seconds in spent.items()}


def _looked_up(mark: Callable[[str], None], _: Any, __: Any, emb_BFD: Tensor) -> None:
    mark("lookup")
    if emb_BFD.requires_grad:
        emb_BFD.register_hook(lambda _: mark("network_backward"))  # type: ignore[no-untyped-call]


def _peaks(device: torch.device) -> tuple[float, float]:
    """Operations a second in products of two 4096 × 4096 matrices, float32: torch.mm's, and the best of both libraries
    that PyTorch has on CPU."""
    a, b = (torch.randn(PEAK_SIZE, PEAK_SIZE, device=device) for _ in range(2))
    torch_mm = _seconds(lambda: a @ b, device)
    best = min(torch_mm, _seconds(lambda: linear(a, b), device), _seconds(lambda: linear(a, b.t()), device))
    return 2 * PEAK_SIZE**3 / torch_mm, 2 * PEAK_SIZE**3 / best


def _seconds(multiply: Callable[[], Tensor], device: torch.device) -> float:
    """The least of a few."""
    found = []
    for _ in range(4):
        _wait(device)
        began = time.perf_counter()
        multiply()
        _wait(device)
        found.append(time.perf_counter() - began)
    return min(found)


def flops_per_sample(config: BenchCommand) -> float:
    """Of the network's matrix products, forward and backward, counted in a step on a few rows."""
    cardinalities = [10] * len(CARDINALITIES[config.categories])
    embedding = SingleEmbedding(cardinalities, config.emb.dim)
    model = models.build(config.model, embedding, NUMERIC)
    ids_BF = torch.randint(10, (FLOP_ROWS, len(cardinalities)))
    with FlopCounterMode(display=False, custom_mapping=ONEDNN) as counter:
        model(ids_BF, torch.randn(FLOP_ROWS, NUMERIC)).sum().backward()
    return float(counter.get_total_flops() / FLOP_ROWS)


def _product_flops(x_shape: list[int], weight_shape: list[int], *_: Any, **__: Any) -> int:
    rows = torch.Size(x_shape[:-1]).numel()
    return 2 * rows * weight_shape[0] * weight_shape[1]


def _weight_flops(grad_shape: list[int], x_shape: list[int], *_: Any, **__: Any) -> int:
    return 2 * grad_shape[0] * grad_shape[1] * x_shape[1]


ONEDNN = {
    torch.ops.mkldnn._linear_pointwise: _product_flops,
    torch.ops.aten.mkldnn_linear_backward_weights: _weight_flops,
}
