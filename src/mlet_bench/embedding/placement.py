"""Which process holds which rows of which table, as TorchRec's planner finds it, and TorchRec's tables laid out so."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed._shard.metadata import ShardMetadata
from torch.distributed._shard.sharding_spec.api import EnumerableShardingSpec
from torch.distributed.optim import (  # type: ignore[attr-defined]
    _apply_optimizer_in_backward as apply_optimizer_in_backward,
)
from torchrec import EmbeddingCollection, EmbeddingConfig
from torchrec.distributed.embedding import EmbeddingCollectionSharder
from torchrec.distributed.embedding_types import EmbeddingComputeKernel
from torchrec.distributed.planner import EmbeddingShardingPlanner, ParameterConstraints
from torchrec.distributed.planner.storage_reservations import FixedPercentageStorageReservation
from torchrec.distributed.planner.types import (
    HardwareConfig,
    KernelConfig,
    PlannerError,
    Topology,
    TopologyFactory,
    TrainerConfig,
)
from torchrec.distributed.types import ParameterSharding, ShardingEnv
from torchrec.optim import RowWiseAdagrad

from mlet_bench.errors import UserError

Sharding = Literal["auto", "row_wise", "table_wise"]
KINDS: dict[str, list[str]] = {
    "auto": ["row_wise", "table_wise"],
    "row_wise": ["row_wise"],
    "table_wise": ["table_wise"],
}
FUSED: dict[str, tuple[type[Any], dict[str, float]]] = {
    "sgd": (torch.optim.SGD, {}),
    "adagrad": (torch.optim.Adagrad, {"eps": 1e-10}),
    "rowwise_adagrad": (RowWiseAdagrad, {"eps": 1e-8}),
    "adam": (torch.optim.Adam, {"eps": 1e-8}),
}
"""TorchRec's names for our optimisers, with the epsilon of ours."""
RESERVED = 0.1
"""Of a process's memory, for all but tables."""


class PlannedModel(nn.Module):
    """What the planner looks through for tables."""

    def __init__(self, tables: nn.Module) -> None:
        super().__init__()
        self.tables = tables


@dataclass
class Placement:
    """How the tables of a run are laid out; found when the first are, and kept for what is made of them."""

    device: torch.device
    sharding: Sharding
    optimizer: str
    lr: float
    batch_rows: int
    """Of a process."""
    memory_bytes: int
    """Of a process."""
    local_size: int = 1
    """Processes on a machine."""
    plan: dict[str, ParameterSharding] = field(default_factory=dict)

    @staticmethod
    def name(field: int) -> str:
        return f"field_{field}"

    def shard(self, counts: Sequence[int], width: int, *, trained: bool) -> Any:
        """TorchRec's tables of these rows and this width, of which each process has what the plan gives it.

        For what is not `trained` no state of an optimiser is kept.
        """
        be_quiet()
        collection = collection_of(counts, width, self.optimizer if trained else "sgd", self.lr)
        if not self.plan:
            self.plan = self._planned(collection, counts)
        env = ShardingEnv.from_process_group(dist.group.WORLD)
        plan = {name: _of_width(part, width) for name, part in self.plan.items()}
        with torch.random.fork_rng(devices=[]):  # it draws a start of its own
            return EmbeddingCollectionSharder().shard(collection, plan, env, self.device)

    def _planned(self, collection: EmbeddingCollection, counts: Sequence[int]) -> dict[str, ParameterSharding]:
        size = dist.get_world_size()
        topology = topology_of(size, self.local_size, self.device.type, self.memory_bytes)
        planner = planner_of(topology, self.sharding, counts, self.batch_rows)
        try:
            found = planner.collective_plan(PlannedModel(collection), [EmbeddingCollectionSharder()], dist.group.WORLD)
        except PlannerError as error:
            raise too_large(error, size, self.memory_bytes) from None
        return dict(found.plan["tables"])


def collection_of(counts: Sequence[int], width: int, optimizer: str, lr: float) -> EmbeddingCollection:
    """Tables without memory, that their optimiser is known of."""
    names = [Placement.name(number) for number in range(len(counts))]
    tables = [
        EmbeddingConfig(name=name, embedding_dim=width, num_embeddings=rows, feature_names=[name])
        for name, rows in zip(names, counts, strict=True)
    ]
    collection = EmbeddingCollection(tables=tables, device=torch.device("meta"))
    kind, settings = FUSED[optimizer]
    with torch.enable_grad():  # it looks into the graph
        apply_optimizer_in_backward(kind, collection.parameters(), {"lr": lr, **settings})
    return collection


def topology_of(size: int, local_size: int, device: str, memory_bytes: int) -> Topology:
    """So many processes, each with so much memory for what it holds."""
    cuda = device == "cuda"
    here = HardwareConfig(hbm_cap_bytes=memory_bytes) if cuda else HardwareConfig(ddr_cap_bytes=memory_bytes)
    return TopologyFactory.create_topology(
        trainer_config=TrainerConfig(world_size=size, local_world_size=local_size),
        hardware_config=here,
        kernel_config=KernelConfig(compute_device=device),
    )


def planner_of(
    topology: Topology, sharding: Sharding, counts: Sequence[int], batch_rows: int
) -> EmbeddingShardingPlanner:
    """TorchRec's planner; a batch reads a row of a table at most once, since different ids alone are asked for.

    Tables lie in the processes' own memory: none is left to the machine's beside a GPU's, of which the planner would
    have to guess how much there is. A table of few rows is not split whatever is asked for: the last processes would
    get none of them, and FBGEMM's kernels fail on tables without rows.
    """
    return EmbeddingShardingPlanner(
        topology=topology,
        batch_size=batch_rows,
        storage_reservation=FixedPercentageStorageReservation(RESERVED),
        constraints={
            Placement.name(number): ParameterConstraints(
                sharding_types=KINDS[sharding if rows > topology.world_size**2 else "table_wise"],
                compute_kernels=[EmbeddingComputeKernel.FUSED.value],
                pooling_factors=[min(rows, batch_rows) / batch_rows],
            )
            for number, rows in enumerate(counts)
        },
    )


def too_large(error: PlannerError, size: int, memory_bytes: int) -> UserError:
    reason = str(error.error_type.value).replace("_", " ")
    return UserError(
        f"the tables do not fit {size} processes of {memory_bytes:,} bytes each (TorchRec's planner: {reason}); more "
        "processes, a smaller emb.inner or emb.dim or a higher dataset.min_count helps"
    )


def _of_width(part: ParameterSharding, width: int) -> ParameterSharding:
    """The same rows in the same places, of another width."""
    assert isinstance(part.sharding_spec, EnumerableShardingSpec)
    shards = [
        ShardMetadata(shard.shard_offsets, [shard.shard_sizes[0], width], shard.placement)
        for shard in part.sharding_spec.shards
    ]
    return ParameterSharding(part.sharding_type, part.compute_kernel, part.ranks, EnumerableShardingSpec(shards))


def be_quiet() -> None:
    """Hide messages of TorchRec and FBGEMM that a user cannot act on."""
    for name in ("torchrec", "torch.fx._symbolic_trace", "fbgemm_gpu"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="torchrec|fbgemm_gpu|torch.distributed")
