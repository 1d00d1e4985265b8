"""What a run on TorchRec would take on machines that need not be here: `train plan=true`. Nothing is created."""

from typing import TYPE_CHECKING

import torch

from mlet_bench import models
from mlet_bench.commands import together
from mlet_bench.config import TrainCommand
from mlet_bench.config.hardware import MOST_PROCESSES
from mlet_bench.data.sizes import sizes_of
from mlet_bench.embedding import build as build_embedding
from mlet_bench.errors import UserError
from mlet_bench.runs.run_plan import RunPlan
from mlet_bench.system import hardware, torchrec
from mlet_bench.system.launch import launched
from mlet_bench.system.limits import GIB
from mlet_bench.training.memory import plan as plan_memory

if TYPE_CHECKING:
    from mlet_bench.embedding.forecast import Tables, World

FEW = 2
"""Rows of each table where all but the tables is counted."""


def plan(config: TrainCommand) -> RunPlan:
    """UserError where TorchRec cannot hold the tables, and in one line where they do not fit: with what does."""
    if config.hardware.sharding is None:
        raise UserError("plan=true: is for hardware=torchrec; what one process takes is checked before it trains")
    models.settings_of(config.model)
    torchrec.check()
    together.check_sharded(config)
    sizes = sizes_of(config.dataset)
    from mlet_bench.embedding.forecast import Tables, World, forecast

    machines, on_each = _machines(config)
    world = World(machines, on_each, config.hardware.device, _memory_bytes(config, on_each))
    with torch.device("meta"):
        counts = build_embedding(config.emb, sizes.cardinalities).fields.counts
    width = config.emb.inner or config.emb.dim
    tables = Tables(counts, width, config.train.optimizer, config.hardware.sharding, config.train.batch_size)
    found = forecast(tables, world)
    if found is None:
        raise UserError(_too_large(tables, world))
    own = config.train.model_copy(update={"batch_size": max(config.train.batch_size // world.size, 1)})
    few = [FEW] * len(counts)
    beside = plan_memory(config.model, config.emb, own, few, sizes.numeric, device=world.device)
    if max(found.held) + beside.bytes > world.memory_bytes:
        raise UserError(
            f"the tables take {max(found.held):,} bytes of a process and all else about {beside.bytes:,}, together "
            f"more than its {world.memory_bytes:,}; more processes or a smaller train.batch_size helps"
        )
    replicated = beside.weights // 4 - FEW * len(counts) * width
    return RunPlan(sizes, tables, world, found, beside, replicated)


def _machines(config: TrainCommand) -> tuple[int, int]:
    if config.hardware.world is None:
        here = launched()
        return here.machines, here.local_size
    machines, _, on_each = config.hardware.world.partition("x")
    return int(machines), int(on_each)


def _memory_bytes(config: TrainCommand, on_each: int) -> int:
    device, given = config.hardware.device, config.hardware.memory_gib
    if given is not None:
        return int(given * GIB)
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("hardware.memory_gib=null: no GPU is here whose memory could be asked for; give it, as 80")
    free = hardware.free_memory_bytes(torch.device(device))
    return free if device == "cuda" else free // on_each


def _too_large(tables: "Tables", world: "World") -> str:
    from mlet_bench.embedding.forecast import smallest_memory, smallest_world

    machines = smallest_world(tables, world, MOST_PROCESSES)
    gib = smallest_memory(tables, world)
    ways = [
        *([] if machines is None else [f"hardware.world={machines}x{world.on_each}"]),
        *([] if gib is None else [f"hardware.memory_gib={gib}"]),
    ]
    smallest = f"the smallest that fits: {' or '.join(ways)}" if ways else "nor any number of such processes"
    return (
        f"the tables and what the optimiser keeps, {tables.bytes_of(sum(tables.counts)):,} bytes, do not fit "
        f"{world.machines}x{world.on_each} processes of {world.memory_bytes / GIB:,.4g} GiB, of which a tenth is left "
        f"for all else; {smallest}; or a smaller emb.inner or emb.dim, or a higher dataset.min_count"
    )
