"""PEP (arXiv 2101.07577): the numbers of a table that are worth keeping, which a search finds.

In the search a number v is read as sign(v)·relu(|v| - σ(s)), with s learned beside it: one for the table, one for each
dimension, for each id or for each number. Then training begins anew from the same start with the K numbers of the
largest |v| - σ(s); all others are zero. The paper takes those that are left above their thresholds when they have
become few enough; K is what emb.ratio has room for, places counted.

V ids of all fields together, B batch, F sparse fields, D output width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mlet_bench.config.emb import PEPEmbConfig, PEPSearchEmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.maker import TableMaker
from mlet_bench.embedding.parts import Budget, beside_whole_fields
from mlet_bench.embedding.rows import FieldOffsets
from mlet_bench.embedding.single import SingleEmbedding
from mlet_bench.embedding.sparse import SparseEmbedding, most_kept
from mlet_bench.embedding.table import RowTable


class _Vectors(Embedding):
    """Vectors of another embedding, of which only some numbers are read."""

    def __init__(self, vectors: Embedding) -> None:
        super().__init__()
        self.vectors = vectors
        self.cardinalities, self.dim, self.fields = vectors.cardinalities, vectors.dim, vectors.fields

    def tables(self) -> list[RowTable]:
        return self.vectors.tables()

    def batch_l2(self, on: str) -> Tensor:
        return self.vectors.batch_l2(on)

    def add_table_l2(self, strength: float, on: str) -> None:
        self.vectors.add_table_l2(strength, on)

    def weight(self) -> Tensor:
        """V × D: a copy of the table, the product of its factors where it has them."""
        table = self.vectors.collapse()
        assert isinstance(table, SingleEmbedding)
        return table.table.weight.detach()


class SearchedEmbedding(_Vectors):
    """Every number is moved towards zero by its threshold, and learns beside it what that is."""

    def __init__(self, vectors: Embedding, thresholds: str, start: float) -> None:
        super().__init__(vectors)
        width = self.dim if thresholds.endswith("dimension") else 1
        self.of_ids = thresholds.startswith("feature")
        rows = sum(self.cardinalities) if self.of_ids else 1
        fields = self.fields if self.of_ids else FieldOffsets([1])
        self.thresholds = SingleEmbedding.from_weights(fields, torch.full((rows, width), start))

    def forward(self, ids_BF: Tensor) -> Tensor:
        """emb_BFD for ids within their fields."""
        return soft_threshold(self.vectors(ids_BF), self.thresholds(ids_BF if self.of_ids else ids_BF[:1, :1] * 0))

    def tables(self) -> list[RowTable]:
        return [*self.vectors.tables(), *self.thresholds.tables()]

    def above_thresholds(self) -> Tensor:
        """V × D: |v| - σ(s)."""
        return self.weight().abs_().sub_(self.thresholds.table.weight.detach().sigmoid())

    def collapse(self) -> SingleEmbedding:
        """What is left of every number."""
        return SingleEmbedding.from_weights(
            FieldOffsets(self.cardinalities), soft_threshold(self.weight(), self.thresholds.table.weight.detach())
        )


def soft_threshold(values: Tensor, s: Tensor) -> Tensor:
    """sign(v)·relu(|v| - σ(s))."""
    return values.sign() * (values.abs() - s.sigmoid()).relu()


class MaskedEmbedding(_Vectors):
    """Only `kept` numbers of the table are read and learn; until a search says which, those that start largest."""

    kept_VD: Tensor

    def __init__(self, vectors: Embedding, kept: int) -> None:
        super().__init__(vectors)
        self.kept = kept
        self.register_buffer("kept_VD", largest(self.weight().abs_(), kept))

    def forward(self, ids_BF: Tensor) -> Tensor:
        """emb_BFD for ids within their fields."""
        vectors: Tensor = self.vectors(ids_BF)
        return vectors * self.kept_VD[self.fields.rows(ids_BF).long()]

    def take_over(self, found: Embedding) -> None:
        assert isinstance(found, SearchedEmbedding)
        self.kept_VD.copy_(largest(found.above_thresholds(), self.kept))

    def collapse(self) -> SparseEmbedding:
        """The numbers that are kept, and their places."""
        return SparseEmbedding.of_table(self.cardinalities, self.weight(), self.kept_VD)


def largest(values: Tensor, number: int) -> Tensor:
    """Which are the `number` largest; of equal ones the first."""
    if values.is_meta:
        return values.bool()
    least = values.flatten().kthvalue(values.numel() - number + 1).values
    chosen = values > least
    equal_N = (values == least).flatten().nonzero().squeeze(1)
    chosen.view(-1)[equal_N[: number - int(chosen.sum())]] = True
    return chosen


def pep(config: PEPEmbConfig, cardinalities: Sequence[int], maker: TableMaker) -> Embedding:
    """As small as emb.ratio says, with a place for every number that is kept; or the search for them."""
    budget = Budget(config, tuple(cardinalities))

    def small(own: TableMaker) -> Embedding:
        kept = most_kept(sum(own.cardinalities), config.dim, budget.numbers)
        if kept < 1:
            raise budget.refuse(2)
        if own.served:
            return SparseEmbedding(own.cardinalities, config.dim, kept)
        vectors = own.table(FieldOffsets(own.cardinalities))
        if isinstance(config, PEPSearchEmbConfig):
            return SearchedEmbedding(vectors, config.thresholds, config.threshold_start)
        return MaskedEmbedding(vectors, kept)

    return beside_whole_fields(budget, maker, small)
