"""Training speed on generated rows of Criteo's shape: MLET, the standard embedding, and the machine's peak."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from mlet_bench import models
from mlet_bench.config import BenchCommand, EmbConfig
from mlet_bench.config.emb import single_of
from mlet_bench.data import Split
from mlet_bench.data.batches import MemoryRows
from mlet_bench.data.sources.criteo_like import CARDINALITIES, NUMERIC, rows_like_criteo
from mlet_bench.embedding import SingleEmbedding
from mlet_bench.embedding.rows import FieldOffsets
from mlet_bench.evaluation.predictions import milliseconds
from mlet_bench.models import CTRModel
from mlet_bench.models.seeded import build_model
from mlet_bench.system import files, hardware
from mlet_bench.training.memory import MemoryPlan, plan
from mlet_bench.training.optimizers import Optimizers
from mlet_bench.training.speed import (
    PlainEmbedding,
    TimedModel,
    flops_per_sample,
    peak_flops,
    time_parts,
    time_steps,
    with_embedding,
)

BENCH = "bench.json"
BATCHES = 32
"""Different ones that are gone through again and again."""


def bench(config: BenchCommand, run_dir: str, say: Callable[[str], None]) -> tuple[Path, dict[str, Any]]:
    """Time the requested mode and the standard embedding of the same d in turn; returns the folder and the result."""
    models.settings_of(config.model)
    device = hardware.device_for(**config.hardware.machine)
    arms = _arms(config)
    planned = _planned_memory(config, arms)
    planned.check(device)
    folder = Path(run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    cardinalities, batch_size = CARDINALITIES[config.categories], config.train.batch_size
    say(f"bench: {config.model.name}, {sum(cardinalities):,} categories, batches of {batch_size:,}")
    peaks = [peak_flops(device)]
    split = rows_like_criteo(cardinalities, batch_size * BATCHES, config.seed)
    rows = MemoryRows(split, batch_size, config.seed, device)
    hardware.give_back_freed_memory()
    held = hardware.memory_bytes(device)
    timed = [_timed_model(config, emb, device) for emb in arms]
    time_steps(timed, rows, config.steps, config.hardware.precision)
    parts_ms = time_parts(timed[-1], rows, max(config.steps // 2, 1), config.hardware.precision)
    grown = hardware.memory_bytes(device) - held
    peaks.append(peak_flops(device))
    torch_mm, best = map(max, zip(*peaks, strict=True))
    result = {
        **_chosen(config),
        **_speed(config, timed, torch_mm, best),
        "parts_ms": parts_ms,
        "planned_memory_bytes": planned.bytes,
        "memory_grown_bytes": grown,
    }
    model = timed[-1].model
    timed.clear()  # what the optimisers keep makes room for the collapsed table
    result |= _evaluation(model, split.head(batch_size))
    result["peak_memory_bytes"] = hardware.peak_memory_bytes(device)
    result["hardware"] = hardware.describe_hardware(**config.hardware.machine)
    result["software"] = hardware.describe_software()
    files.write_json(folder / BENCH, result)
    return folder, result


def _arms(config: BenchCommand) -> list[EmbConfig]:
    """A standard embedding, and the requested mode where that is another one, after its search where it has one."""
    single, search = single_of(config.emb), config.emb.search
    searches = [] if search is None else [search]
    return [single] if config.emb == single else [single, *searches, config.emb]


def _planned_memory(config: BenchCommand, arms: list[EmbConfig]) -> MemoryPlan:
    """All embeddings are held at once and take their steps in turn."""
    plans = [
        plan(config.model, emb, config.train, CARDINALITIES[config.categories], NUMERIC, device=config.hardware.device)
        for emb in arms
    ]
    total = replace(plans[0], **{name: sum(asdict(one)[name] for one in plans) for name in asdict(plans[0])})
    return replace(total, batch=max(one.batch for one in plans), evaluation=plans[0].model)


def _timed_model(config: BenchCommand, emb: EmbConfig, device: torch.device) -> TimedModel:
    cardinalities = CARDINALITIES[config.categories]
    model = build_model(config.model, emb, cardinalities, NUMERIC, config.seed).to(device)
    return TimedModel(model, Optimizers(model, config.train, emb))


def _chosen(config: BenchCommand) -> dict[str, Any]:
    """What the result is of."""
    return {
        "version": 1,
        "model": {"name": config.model.name, **models.settings_of(config.model).model_dump(mode="json")},
        "emb": config.emb.described,
        "optimizer": config.train.optimizer,
        "update": config.train.update,
        "batch_size": config.train.batch_size,
        "categories": sum(CARDINALITIES[config.categories]),
        "steps": config.steps,
    }


def _speed(config: BenchCommand, timed: list[TimedModel], torch_mm_flops: float, peak: float) -> dict[str, Any]:
    """Of the standard embedding and of the requested mode, the last one."""
    single, requested = timed[0], timed[-1]
    flops = flops_per_sample(config.model, len(CARDINALITIES[config.categories]), config.emb.dim, NUMERIC)
    batch_flops = config.train.batch_size * flops
    return {
        "samples_per_s": 1000 * config.train.batch_size / requested.ms,
        "ms_per_step": requested.ms,
        "ms_per_step_10_90": requested.deciles_ms,
        "single_ms_per_step": single.ms,
        "single_ms_per_step_10_90": single.deciles_ms,
        "mlet_over_single": requested.ms / single.ms if len(timed) > 1 else None,
        "search_over_single": timed[1].ms / single.ms if config.emb.search is not None else None,
        "flops_per_sample": flops,
        "peak_flops": peak,
        "share_of_peak": 1000 * batch_flops / requested.ms / peak,
        "single_share_of_peak": 1000 * batch_flops / single.ms / peak,
        "torch_mm_flops": torch_mm_flops,
        "single_share_of_torch_mm": 1000 * batch_flops / single.ms / torch_mm_flops,
    }


def _evaluation(model: CTRModel, rows: Split) -> dict[str, Any]:
    """Milliseconds that a batch takes in the collapsed model, and in the same network around PyTorch's embedding."""
    collapsed = model.embedding.collapse()
    compared = [with_embedding(model, collapsed)]
    if isinstance(collapsed, SingleEmbedding) and type(collapsed.fields) is FieldOffsets:  # PyTorch's own hashes no ids
        compared.append(with_embedding(model, PlainEmbedding(collapsed)))
    collapsed_ms, *plain_ms = milliseconds(compared, rows, len(rows))
    return {
        "evaluate_ms": collapsed_ms,
        "plain_evaluate_ms": plain_ms[0] if plain_ms else None,
        "evaluate_over_plain": collapsed_ms / plain_ms[0] if plain_ms else None,
    }
