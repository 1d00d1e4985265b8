"""How TorchRec's planner would lay tables over processes that are not here, and what it counts for that.

Its milliseconds are those of its own model, with its own bandwidths (torchrec.distributed.planner.constants); nothing
is measured.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torchrec.distributed.embedding import EmbeddingCollectionSharder
from torchrec.distributed.planner.types import PlannerError, ShardingOption, Topology

from mlet_bench.embedding.placement import (
    RESERVED,
    PlannedModel,
    Sharding,
    be_quiet,
    collection_of,
    planner_of,
    topology_of,
)
from mlet_bench.embedding.table import state_numbers
from mlet_bench.system.limits import GIB

FLOAT = 4
ENDLESS = 1 << 50
"""Bytes of memory that any table fits."""


@dataclass(frozen=True)
class World:
    """Processes on machines, each with its GPU or with its part of the machine's memory."""

    machines: int
    on_each: int
    device: str
    memory_bytes: int
    """Of a process."""

    @property
    def size(self) -> int:
        return self.machines * self.on_each


@dataclass(frozen=True)
class Tables:
    """What is to be laid out; V rows of all tables."""

    counts: tuple[int, ...]
    """Rows of each table."""
    width: int
    optimizer: str
    sharding: Sharding
    batch_rows: int
    """Of a step, all processes together."""

    def bytes_of(self, rows: int) -> int:
        """Of the weights of so many rows, and of what the optimiser keeps for them."""
        numbers = rows * self.width
        return FLOAT * (numbers + state_numbers(self.optimizer, numbers, rows))

    def exchanged_bytes(self, size: int) -> int:
        """The most that a process fetches in a step: every different row of its part of the batch."""
        own = _own_rows(self.batch_rows, size)
        return FLOAT * self.width * sum(min(own, rows) for rows in self.counts)


@dataclass(frozen=True)
class Forecast:
    """What the planner found."""

    shardings: tuple[str, ...]
    """Of each table."""
    processes: tuple[tuple[int, ...], ...]
    """That hold each table's rows."""
    held: tuple[int, ...]
    """Bytes of each process: weights, optimiser state, and what a step exchanges."""
    milliseconds: float
    """Of a step of the slowest process: rows looked up, exchanged and moved; the network is not in it."""


def forecast(tables: Tables, world: World) -> Forecast | None:
    """None where they do not fit."""
    be_quiet()
    topology = topology_of(world.size, world.on_each, world.device, world.memory_bytes)
    planner = planner_of(topology, tables.sharding, tables.counts, _own_rows(tables.batch_rows, world.size))
    model = PlannedModel(collection_of(tables.counts, tables.width, tables.optimizer, lr=0.01))
    try:
        planner.plan(model, [EmbeddingCollectionSharder()])
    except PlannerError:
        return None
    chosen = planner._best_plan  # its own report is text, and the plan it gives has no figures
    assert chosen is not None
    return _read(chosen, topology)


def smallest_memory(tables: Tables, world: World) -> int | None:
    """The fewest GiB for each process with which so many processes hold the tables; None: no number was found."""
    even = replace(tables, sharding="row_wise") if tables.sharding == "auto" else tables
    found = forecast(even, replace(world, memory_bytes=ENDLESS))
    assert found is not None
    least = math.ceil(max(found.held) / (1 - RESERVED) / GIB)
    for gib in (least, least + 1, math.ceil(1.1 * least)):
        if forecast(tables, replace(world, memory_bytes=gib * GIB)) is not None:
            return gib
    return None


def smallest_world(tables: Tables, world: World, most: int) -> int | None:
    """The fewest machines of this kind that hold the tables; None: none of at most so many processes."""

    def fits(machines: int) -> bool:
        return forecast(tables, replace(world, machines=machines)) is not None

    usable = world.memory_bytes * (1 - RESERVED)
    if tables.sharding == "table_wise" and tables.bytes_of(max(tables.counts)) > usable:
        return None
    low = max(math.ceil(tables.bytes_of(sum(tables.counts)) / (usable * world.on_each)), 1) - 1  # do not fit
    step, last = 1, most // world.on_each
    while low < last and not fits(min(low + step, last)):
        low, step = min(low + step, last), 2 * step
    if low >= last:
        return None
    high = min(low + step, last)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _own_rows(batch_rows: int, size: int) -> int:
    return max(batch_rows // size, 1)


def _read(chosen: Sequence[ShardingOption], topology: Topology) -> Forecast:
    held, milliseconds = [0] * topology.world_size, [0.0] * topology.world_size
    for option in chosen:
        for shard in option.shards:
            assert shard.rank is not None
            assert shard.storage is not None
            assert shard.perf is not None
            held[shard.rank] += shard.storage.hbm + shard.storage.ddr
            milliseconds[shard.rank] += shard.perf.total
    in_order = sorted(chosen, key=lambda option: int(option.name.rpartition("_")[2]))
    return Forecast(
        tuple(option.sharding_type for option in in_order),
        tuple(tuple(sorted({shard.rank or 0 for shard in option.shards})) for option in in_order),
        tuple(held),
        max(milliseconds),
    )
