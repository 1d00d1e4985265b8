"""Tables that TorchRec holds, each in shards on several processes; W2 and all else is a copy in every process.

A process finds the different rows of its part of a batch, fetches each of them once from where it is held, and sends
its gradient back, where TorchRec's optimiser moves it within the backward pass. Gradients of several processes for one
row are averaged there. A shard is some of a table's rows, each whole.
B batch, F sparse fields, V rows of all fields, W width of a table, U different rows of a batch, N some rows, K inner
width, D output width.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed._shard.sharded_tensor.api import ShardedTensor
from torchrec import KeyedJaggedTensor

from mlet_bench.config import EmbConfig
from mlet_bench.embedding import MODES
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.maker import TableMaker
from mlet_bench.embedding.mlet import COLLAPSE_ROWS, MLETEmbedding, initial_w2
from mlet_bench.embedding.placement import Placement
from mlet_bench.embedding.rows import FieldOffsets, UniqueRows
from mlet_bench.embedding.start import start_bound
from mlet_bench.embedding.table import RowTable

START_ROWS = 1 << 16


class ShardedTables:
    """A table of width W for each field, of which this process holds some rows.

    They are no parameters of any module: what moves them is not an optimiser of PyTorch's, and no process can list
    them all.
    """

    def __init__(self, counts: Sequence[int], width: int, placement: Placement, *, trained: bool = True) -> None:
        self.counts, self.width, self.placement = tuple(counts), width, placement
        self._collection = placement.shard(self.counts, width, trained=trained)
        self._keys = [placement.name(field) for field in range(len(self.counts))]

    def read(self, rows: UniqueRows, bounds: Sequence[int]) -> Tensor:
        """U × W: the rows of a batch, from wherever they are held; every process has to ask at the same time."""
        lengths_F = torch.tensor(rows.segments, device=rows.rows_U.device).diff()
        firsts_U = torch.tensor(bounds[:-1], device=rows.rows_U.device).repeat_interleave(lengths_F)
        asked = KeyedJaggedTensor(self._keys, rows.rows_U - firsts_U, lengths=lengths_F.int())
        found = self._collection(asked)
        return torch.cat([found[key].values() for key in self._keys])

    def held(self) -> Iterator[tuple[int, int, Tensor]]:
        """Field, first row within it, and rows that this process holds, each field's in rising order."""
        state = self._collection.state_dict()
        for field, key in enumerate(self._keys):
            for shard in state[f"embeddings.{key}.weight"].local_shards():
                yield field, shard.metadata.shard_offsets[0], shard.tensor

    def state(self) -> dict[str, ShardedTensor]:
        """Weights, and what the optimiser keeps, by name; a table's name is the number of its field."""
        named = {f"{key}.weight": self._collection.state_dict()[f"embeddings.{key}.weight"] for key in self._keys}
        for slots in self._collection.fused_optimizer.state_dict()["state"].values():
            named |= {name: slot for name, slot in slots.items() if isinstance(slot, ShardedTensor)}
        return named

    @property
    def lr(self) -> float:
        groups = self._collection.fused_optimizer.param_groups
        return float(groups[0]["lr"]) if groups else self.placement.lr

    @lr.setter
    def lr(self, lr: float) -> None:
        for group in self._collection.fused_optimizer.param_groups:
            group["lr"] = lr
        self._collection.fused_optimizer.step()  # moves nothing, but hands the rate on

    @torch.no_grad()
    def draw(self, fields: FieldOffsets, config: EmbConfig, seen_V: Tensor | None) -> None:
        """The start of one process: its numbers are drawn in its order, and those of rows held elsewhere are let go."""
        held = [[(first, rows) for of, first, rows in self.held() if of == field] for field in range(len(self.counts))]
        for field, count in enumerate(self.counts):
            bound = start_bound(count, self.width, config.table_init, config.init_std)
            for start in range(0, count, START_ROWS):
                size = min(START_ROWS, count - start)
                block_NW = torch.empty(size, self.width).uniform_(-bound, bound)
                if seen_V is not None:
                    first = fields.bounds[field] + start
                    block_NW *= seen_V[first : first + size, None]
                for first, rows_NW in held[field]:
                    begin, end = max(start, first), min(start + size, first + len(rows_NW))
                    if begin < end:
                        rows_NW[begin - first : end - first] = block_NW[begin - start : end - start]

    @torch.no_grad()
    def times(self, w2_FKD: Tensor) -> "ShardedTables":
        """Tables whose rows are these times their field's matrix, in float64, each where its row is held."""
        product = ShardedTables(self.counts, w2_FKD.shape[2], self.placement, trained=False)
        for (field, _, into_ND), (_, _, rows_NK) in zip(product.held(), self.held(), strict=True):
            w2_KD = w2_FKD[field].double()
            for start in range(0, len(rows_NK), COLLAPSE_ROWS):
                block_NK = rows_NK[start : start + COLLAPSE_ROWS]
                into_ND[start : start + COLLAPSE_ROWS] = (block_NK.double() @ w2_KD).to(block_NK.dtype)
        return product


class ShardedEmbedding(Embedding):
    """A standard embedding or, with W2, a product of two for each field, whose rows lie on several processes.

    `state_dict` and `parameters` are those of what every process has: W2.
    """

    sharded: ShardedTables

    def __init__(self, fields: FieldOffsets, rows: ShardedTables, w2_FKD: Tensor | None) -> None:
        super().__init__()
        self.cardinalities = fields.cardinalities
        self.dim = rows.width if w2_FKD is None else w2_FKD.shape[2]
        self.fields = fields
        self.w2_FKD = None if w2_FKD is None else nn.Parameter(w2_FKD)
        self.sharded = rows
        self.numbers_in_shards = sum(rows.counts) * rows.width

    def forward(self, ids_BF: Tensor) -> Tensor:
        """emb_BFD for ids within their fields."""
        rows = UniqueRows(self.fields.rows(ids_BF), self.fields.offsets)
        values_UW = self.sharded.read(rows, self.fields.bounds)
        if self.w2_FKD is None:
            return rows.spread(values_UW)
        emb_BFD, _ = rows.vectors(values_UW, self.w2_FKD)
        return emb_BFD

    def tables(self) -> list[RowTable]:
        """None that our row optimisers could move."""
        return []

    def batch_l2(self, on: str) -> Tensor:
        raise NotImplementedError("the rows of a batch are moved before their L2 is known")

    def add_table_l2(self, strength: float, on: str) -> None:
        raise NotImplementedError("the rows of a batch are moved before the table's L2 is known")

    @property
    def bytes(self) -> int:
        return super().bytes + 4 * self.numbers_in_shards

    @torch.no_grad()
    def collapse(self) -> "ShardedEmbedding":
        """Sharded as it is; a standard embedding is its own product."""
        fields, order_V = self.fields.served()
        assert order_V is None  # of the modes that can be sharded
        return ShardedEmbedding(fields, self.sharded if self.w2_FKD is None else self.sharded.times(self.w2_FKD), None)


@dataclass(frozen=True)
class ShardedMaker(TableMaker):
    """Makes tables that TorchRec holds."""

    placement: Placement | None = None

    def table(
        self, fields: FieldOffsets, dim: int | None = None, *, product: type[MLETEmbedding] = MLETEmbedding
    ) -> Embedding:
        config = self.config
        assert self.placement is not None
        rows = ShardedTables(fields.counts, config.inner or config.dim, self.placement)
        rows.draw(fields, config, None if self.seen is None else fields.seen_rows(self.seen))
        w2_FKD = None if config.inner is None else initial_w2(fields, config.inner, config.dim, config.inner_std)
        return ShardedEmbedding(fields, rows, w2_FKD)


def builder(placement: Placement) -> Callable[[EmbConfig, Sequence[int], Tensor | None], Embedding]:
    """What `mlet_bench.embedding.build` is for tables of one process: the same start, sharded."""

    def build(config: EmbConfig, cardinalities: Sequence[int], seen: Tensor | None) -> Embedding:
        made: Any = MODES[type(config)]
        maker = ShardedMaker(config, tuple(cardinalities), seen, placement=placement)
        embedding: Embedding = made(config, cardinalities, maker)
        return embedding

    return build
