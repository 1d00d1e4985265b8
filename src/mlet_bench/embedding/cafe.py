"""CAFE (arXiv 2312.03256): hot categories have a row of their own, the others share hashed ones.

Importance is the norm of a category's gradient, over the mean one of its field in the batch. A sketch keeps the sums of
the most important categories, about; one whose sum reaches a threshold becomes hot, as long as a row is free, and
starts as the hashed row that it had. Sums fade, and who falls below the threshold is no longer hot.

V ids of all fields, S rows of their own, C cells of the sketch, B batch, F sparse fields, D output width.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mlet_bench.config.emb import CAFEEmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.computed import PRIME
from mlet_bench.embedding.hash import LEAST, HashedFields, hashed_rows
from mlet_bench.embedding.maker import TableMaker
from mlet_bench.embedding.parts import Budget, beside_whole_fields
from mlet_bench.embedding.pool import KeyedFields, MapFields
from mlet_bench.embedding.pruned import PiecedEmbedding
from mlet_bench.embedding.table import RowTable

CELLS = 4
"""Of a bucket; there is a bucket for each row."""
FACTOR = 1_103_515_245
"""Of the hash that says which bucket an id is in."""
FADES_AFTER = 10.0
"""Sums fade whenever so many times the thresholds of all rows together were added to them, as in the paper's code."""
BY_RATIO = {
    **{0.5: (0.7, 10), 0.2: (0.5, 10), 0.1: (0.5, 20), 0.05: (0.5, 30), 0.02: (0.3, 50), 0.01: (0.3, 100)},
    **{0.005: (0.2, 200), 0.002: (0.2, 500), 0.001: (0.2, 500), 0.0005: (0.1, 500)},
}
"""Share of the hashed rows, and threshold: the paper's for Criteo."""


class Sketch(torch.nn.Module):
    """The ids with the largest sums, about; buckets of `CELLS` cells.

    An id that no cell of its bucket knows takes the one of the least sum, and inherits that sum (SpaceSaving); a hot
    category keeps its cell.
    """

    id_C: Tensor
    sum_C: Tensor
    added: Tensor
    """Since sums last faded."""

    def __init__(self, buckets: int) -> None:
        super().__init__()
        self.buckets = buckets
        self.register_buffer("id_C", torch.full((buckets * CELLS,), -1))
        self.register_buffer("sum_C", torch.zeros(buckets * CELLS))
        self.register_buffer("added", torch.zeros(()))

    def bucket(self, id_N: Tensor) -> Tensor:
        return id_N * FACTOR % PRIME % self.buckets

    def _cells(self, id_N: Tensor) -> Tensor:
        return self.bucket(id_N)[:, None] * CELLS + torch.arange(CELLS, device=id_N.device)

    def add(self, id_N: Tensor, value_N: Tensor, slot_V: Tensor) -> None:
        """To the sums of different ids: of known ones first, then of the others, the largest last.

        `slot_V` says of each id which row it has, if it is hot, or -1.
        """
        self.added += value_N.sum()
        cells_NC = self._cells(id_N)
        known_NC = self.id_C[cells_NC] == id_N[:, None]
        known_N = known_NC.any(1)
        self.sum_C[cells_NC[known_NC]] += value_N[known_N]
        id_N, value_N = id_N[~known_N], value_N[~known_N]
        for now_N in _turns(self.bucket(id_N), value_N.argsort(stable=True)):
            self._replace(id_N[now_N], value_N[now_N], slot_V)

    def _replace(self, id_N: Tensor, value_N: Tensor, slot_V: Tensor) -> None:
        """For new ids in different buckets."""
        cells_NC = self._cells(id_N)
        cell_N = cells_NC.gather(1, self.sum_C[cells_NC].argmin(1, keepdim=True)).squeeze(1)
        cold_N = slot_V[self.id_C[cell_N].clamp(min=0)] < 0
        cold_N |= self.id_C[cell_N] < 0
        cell_N = cell_N[cold_N]
        self.id_C[cell_N] = id_N[cold_N]
        self.sum_C[cell_N] += value_N[cold_N]


def _turns(bucket_N: Tensor, order_N: Tensor) -> tuple[Tensor, ...]:
    """Places in turns, in none of which two are of the same bucket: those of a bucket in this order."""
    sorted_N, place_N = bucket_N[order_N].sort(stable=True)
    count_N = torch.arange(len(bucket_N), device=bucket_N.device)
    begins_N = torch.where(sorted_N == sorted_N.roll(1), 0, count_N)
    turn_N = count_N - begins_N.cummax(0).values if len(count_N) else count_N
    """How many before it are of the same bucket."""
    return torch.split(order_N[place_N[turn_N.argsort(stable=True)]], torch.bincount(turn_N).tolist())


class CAFEEmbedding(PiecedEmbedding):
    """Of S rows and the hashed ones behind them."""

    def __init__(self, vectors: Embedding, slots: int, *, threshold: float, decay: float) -> None:
        super().__init__(vectors, 1)
        self.sketch = Sketch(slots)
        self.threshold, self.decay = threshold, decay
        self._accesses: list[tuple[Tensor, Tensor]] = []

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
        """The norms of the gradients go to the sketch."""
        for ids_BF, grad_BFD in self._accesses:
            norm_BF = grad_BFD.norm(dim=2).to(self.sketch.sum_C.dtype)
            norm_BF *= len(norm_BF) / norm_BF.sum(0).clamp(min=torch.finfo(norm_BF.dtype).tiny)
            ids = self.map.different(ids_BF)
            self.sketch.add(ids.rows_U, ids.sum(norm_BF.view(-1, 1)).squeeze(1), self.map.slot_V)
        self._accesses.clear()

    @torch.no_grad()
    def after_step(self) -> list[tuple[RowTable, Tensor]]:
        """Categories that become hot get a free row, the most important ones first."""
        sketch, (table,) = self.sketch, self.tables()
        due_N = (sketch.sum_C >= self.threshold).nonzero().squeeze(1)
        due_N = due_N[self.map.slot_V[sketch.id_C[due_N]] < 0]
        slot_N = (self.map.id_S < 0).nonzero().squeeze(1)[: len(due_N)]
        due_N = due_N[sketch.sum_C[due_N].argsort(descending=True, stable=True)][: len(slot_N)]
        id_N = sketch.id_C[due_N]
        field_N = self.map.field_of(id_N)
        assert isinstance(self.map.otherwise, HashedFields)
        had_N = self.map.otherwise.rows_of(id_N - self.map.firsts_F[field_N], field_N)
        table.weight[slot_N] = table.weight[self.map.slots + had_N]
        self.map.give(slot_N, id_N)
        if sketch.added > FADES_AFTER * self.threshold * self.map.slots:
            self._fade()
        return [(table, slot_N)]

    def _fade(self) -> None:
        sketch = self.sketch
        sketch.sum_C *= self.decay
        sketch.added.zero_()
        below_N = ((sketch.sum_C < self.threshold) & (sketch.id_C >= 0)).nonzero().squeeze(1)
        slot_N = self.map.slot_V[sketch.id_C[below_N]]
        slot_N = slot_N[slot_N >= 0].long()
        self.map.give(slot_N, torch.full_like(slot_N, -1))


def cafe(config: CAFEEmbConfig, cardinalities: Sequence[int], maker: TableMaker) -> Embedding:
    """As small as emb.ratio says, with the ids of the rows that are hot."""
    budget = Budget(config, tuple(cardinalities))
    hash_share, threshold = _settings(config)

    def small(own: TableMaker) -> Embedding:
        dim, ids = config.dim, own.cardinalities
        fewest = [min(LEAST, count) for count in ids]
        for_slots = budget.numbers - sum(fewest) * dim
        if for_slots < dim + 1:
            raise budget.refuse(sum(fewest) * dim + dim + 1)
        slots = max(1, int(min(for_slots, (1 - hash_share) * budget.numbers)) // (dim + 1))
        share = (budget.numbers - slots * (dim + 1)) / (sum(ids) * dim)
        otherwise = HashedFields(ids, hashed_rows(ids, min(share, 1.0), 0, config.shrink))
        if own.served:
            return PiecedEmbedding(own.table(KeyedFields(ids, slots, otherwise)), 1)
        vectors = own.with_start(1.0).table(MapFields(ids, slots, otherwise))
        _start(own, vectors, slots, otherwise)
        return CAFEEmbedding(vectors, slots, threshold=threshold, decay=config.decay)

    return beside_whole_fields(budget, maker, small)


def _settings(config: CAFEEmbConfig) -> tuple[float, float]:
    """Share of the hashed rows and threshold: as they are given, or the paper's for the nearest of its ratios."""
    nearest = min(BY_RATIO, key=lambda ratio: abs(math.log(ratio / config.ratio)))
    hash_share, threshold = BY_RATIO[nearest]
    return config.hash_share or hash_share, config.threshold or threshold


def _start(maker: TableMaker, vectors: Embedding, slots: int, otherwise: HashedFields) -> None:
    """Hashed rows start as `hash`'s do; those of hot categories are nobody's."""
    with torch.no_grad():
        for table in vectors.tables():
            table.weight[:slots] = 0
            shared = torch.split(table.weight[slots:], list(otherwise.counts))
            for rows_ND, count in zip(shared, otherwise.counts, strict=True):
                rows_ND.mul_(maker.start_std(count))
