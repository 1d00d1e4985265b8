"""CAFE (arXiv 2312.03256): hot categories have a row of their own, the others share hashed ones.

A sketch of four cells a bucket keeps the categories of the largest sums of gradient norms: one that it does not know
takes the least cell of its bucket, and inherits its sum (SpaceSaving). A cell is also a row: its category reads it once
it is hot, and it starts as the hashed row that the category had.

V ids of all fields, S rows of their own, B batch, F sparse fields, D output width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mlet_bench.config.emb import CAFEEmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.computed import PRIME
from mlet_bench.embedding.hash import HashedFields, hashed_rows
from mlet_bench.embedding.maker import TableMaker
from mlet_bench.embedding.parts import Budget, beside_whole_fields
from mlet_bench.embedding.pool import KeyedFields, MapFields
from mlet_bench.embedding.pruned import PiecedEmbedding
from mlet_bench.embedding.table import RowTable

CELLS = 4
FACTOR = 1_103_515_245
"""Of the hash that says which bucket an id is in."""


class Sketch(torch.nn.Module):
    """The ids with the largest sums, about; buckets of `CELLS` cells."""

    id_S: Tensor
    sum_S: Tensor

    def __init__(self, buckets: int) -> None:
        super().__init__()
        self.buckets = buckets
        self.register_buffer("id_S", torch.full((buckets * CELLS,), -1))
        self.register_buffer("sum_S", torch.zeros(buckets * CELLS))

    def bucket(self, id_N: Tensor) -> Tensor:
        return id_N * FACTOR % PRIME % self.buckets

    def add(self, id_N: Tensor, value_N: Tensor) -> None:
        """To the sums of different ids; those of one bucket in the order given."""
        sorted_N, order_N = self.bucket(id_N).sort(stable=True)
        place_N = torch.arange(len(id_N), device=id_N.device)
        begins_N = torch.where(sorted_N == sorted_N.roll(1), 0, place_N)
        turn_N = place_N - begins_N.cummax(0).values
        """How many before it are of the same bucket."""
        turns = torch.bincount(turn_N).tolist()
        order_N = order_N[turn_N.argsort(stable=True)]
        for now_N in torch.split(order_N, turns):
            self._add_apart(id_N[now_N], value_N[now_N])

    def _add_apart(self, id_N: Tensor, value_N: Tensor) -> None:
        """Of ids in different buckets."""
        cells_NC = self.bucket(id_N)[:, None] * CELLS + torch.arange(CELLS, device=id_N.device)
        known_NC = self.id_S[cells_NC] == id_N[:, None]
        place_N = torch.where(known_NC, -1.0, self.sum_S[cells_NC]).argmin(1)
        cell_N = cells_NC.gather(1, place_N[:, None]).squeeze(1)
        self.id_S[cell_N] = id_N
        self.sum_S[cell_N] += value_N


class CAFEEmbedding(PiecedEmbedding):
    """Of S = buckets · 4 rows and the hashed ones behind them."""

    steps: Tensor

    def __init__(self, vectors: Embedding, buckets: int, *, threshold: float, decay: float, check_every: int) -> None:
        super().__init__(vectors, 1)
        self.sketch = Sketch(buckets)
        self.threshold, self.decay, self.check_every = threshold, decay, check_every
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self._accesses: list[tuple[Tensor, Tensor]] = []

    @property
    def map(self) -> MapFields:
        """Who has which row."""
        assert isinstance(self.pieces.fields, MapFields)
        return self.pieces.fields

    def forward(self, ids_BF: Tensor) -> Tensor:
        """emb_BFD for ids within their fields."""
        vectors: Tensor = self.pieces(ids_BF)
        if self.training and torch.is_grad_enabled():
            vectors.register_hook(  # type: ignore[no-untyped-call]
                lambda grad_BFD: self._accesses.append((ids_BF, grad_BFD))
            )
        return vectors

    @torch.no_grad()
    def before_step(self) -> None:
        """The norms of the gradients go to the sketch, the largest first."""
        for ids_BF, grad_BFD in self._accesses:
            ids = self.map.different(ids_BF)
            value_U = ids.sum(grad_BFD.norm(dim=2).view(-1, 1)).squeeze(1)
            order_U = value_U.argsort(descending=True, stable=True)
            self.sketch.add(ids.rows_U[order_U], value_U[order_U].to(self.sketch.sum_S.dtype))
        self._accesses.clear()

    @torch.no_grad()
    def after_step(self) -> list[tuple[RowTable, Tensor]]:
        """Hot categories get the rows of their cells, which start as the rows they had."""
        self.steps += 1
        sketch, (table,) = self.sketch, self.tables()
        known_S = sketch.id_S >= 0
        hot_S = known_S & (sketch.sum_S >= self.threshold * sketch.sum_S[known_S].mean())
        wanted_S = torch.where(hot_S, sketch.id_S, -1)
        changed_N = (wanted_S != self.map.id_S).nonzero().squeeze(1)
        self.map.give(changed_N, torch.full_like(changed_N, -1))
        new_N = changed_N[wanted_S[changed_N] >= 0]
        id_N = wanted_S[new_N]
        field_N = self.map.field_of(id_N)
        assert isinstance(self.map.otherwise, HashedFields)
        had_N = self.map.otherwise.rows_of(id_N - self.map.firsts_F[field_N], field_N)
        table.weight[new_N] = table.weight[self.map.slots + had_N]
        self.map.give(new_N, id_N)
        if int(self.steps) % self.check_every == 0:
            sketch.sum_S *= self.decay
        return [(table, new_N)]


def cafe(config: CAFEEmbConfig, cardinalities: Sequence[int], maker: TableMaker) -> Embedding:
    """As small as emb.ratio says, with the ids of the rows that are hot."""
    budget = Budget(config, tuple(cardinalities))

    def small(own: TableMaker) -> Embedding:
        dim, ids = config.dim, own.cardinalities
        if budget.numbers < (least := 2 * len(ids) * dim + CELLS * (dim + 1)):
            raise budget.refuse(least)
        buckets = max(1, int((1 - config.hash_share) * budget.numbers) // (CELLS * (dim + 1)))
        slots = buckets * CELLS
        share = (budget.numbers - slots * (dim + 1)) / (sum(ids) * dim)
        rows = hashed_rows(ids, max(share, 2 * len(ids) / sum(ids)), 0, config.shrink)
        otherwise = HashedFields(ids, rows)
        if own.served:
            return PiecedEmbedding(own.table(KeyedFields(ids, slots, otherwise)), 1)
        vectors = own.with_start(1.0).table(MapFields(ids, slots, otherwise))
        _start(own, vectors, slots, otherwise)
        return CAFEEmbedding(
            vectors, buckets, threshold=config.threshold, decay=config.decay, check_every=config.check_every
        )

    return beside_whole_fields(budget, maker, small)


def _start(maker: TableMaker, vectors: Embedding, slots: int, otherwise: HashedFields) -> None:
    """Hashed rows start as `hash`'s do; those of hot categories are nobody's."""
    with torch.no_grad():
        for table in vectors.tables():
            table.weight[:slots] = 0
            shared = torch.split(table.weight[slots:], list(otherwise.counts))
            for rows_ND, count in zip(shared, otherwise.counts, strict=True):
                rows_ND.mul_(maker.start_std(count))
