"""The ordinary embedding: one n × d table per field."""

import itertools
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from mlet_bench.config import EmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.quantize import packed_bytes, quantize
from mlet_bench.embedding.rows import FieldOffsets, fields_of
from mlet_bench.embedding.start import TableInit, initial_rows
from mlet_bench.embedding.table import RowTable


class SingleEmbedding(Embedding):
    """Field tables of width d; a category that training never saw is a zero vector.

    `fields` are the cardinalities, or what says which rows the ids read (`HashedFields`). `seen` (V booleans, the ids
    of all fields one after the other) says which ids training will see; None: all. The start is uniform: DLRM's ±1/√n
    for a field of n rows ("dlrm"), Glorot's ("glorot"), or with standard deviation `init_std`. Numbers come from
    `generator`, or from PyTorch's global one.

    Example:
        >>> emb = SingleEmbedding([3, 5], dim=2)
        >>> emb(torch.tensor([[1, 4], [2, 0]])).shape
        torch.Size([2, 2, 2])
    """

    def __init__(
        self,
        fields: FieldOffsets | Sequence[int],
        dim: int,
        *,
        seen: Tensor | None = None,
        generator: torch.Generator | None = None,
        table_init: TableInit = "dlrm",
        init_std: float | None = None,
    ) -> None:
        super().__init__()
        fields = fields_of(fields)
        weight_VD = initial_rows(fields, dim, table_init=table_init, init_std=init_std, seen=seen, generator=generator)
        self._set(fields, weight_VD)

    def _set(self, fields: FieldOffsets, weight_VD: Tensor) -> None:
        self.cardinalities = fields.cardinalities
        self.dim = weight_VD.shape[1]
        self.fields = fields.to(weight_VD.device)
        self.table = RowTable(weight_VD)

    @classmethod
    def from_weights(cls, fields: FieldOffsets | Sequence[int], weight_VD: Tensor) -> Self:
        """Around the rows of all fields, one field after the other."""
        embedding = cls.__new__(cls)
        nn.Module.__init__(embedding)
        embedding._set(fields_of(fields), weight_VD)
        return embedding

    @classmethod
    def empty(cls, fields: FieldOffsets | Sequence[int], dim: int) -> Self:
        """All zeros: a place to load a collapsed model into."""
        fields = fields_of(fields)
        return cls.from_weights(fields, torch.zeros(fields.bounds[-1], dim))

    @classmethod
    def from_config(cls, config: EmbConfig, fields: FieldOffsets, seen: Tensor | None) -> Self:
        return cls(fields, config.dim, seen=seen, table_init=config.table_init, init_std=config.init_std)

    def forward(self, ids_BF: Tensor) -> Tensor:
        """emb_BFD for ids within their fields."""
        if not self.table.by_rows:
            return self.table(self.fields.rows(ids_BF))  # type: ignore[no-any-return]
        rows = self.fields.batch_rows(ids_BF)
        return rows.spread(self.table.read(rows).values_UW)

    def tables(self) -> list[RowTable]:
        return [self.table]

    def batch_l2(self, on: str) -> Tensor:
        """‖·‖² of the rows that the last batch held; a standard embedding is its own product."""
        read = self.table.last_read
        return read.rows.once(read.values_UW).square().sum()

    def add_table_l2(self, strength: float, on: str) -> None:
        """Add the gradient of strength/2·‖·‖² over all rows to that of the last batch."""
        self.table.densify().add_(self.table.weight.detach(), alpha=strength)

    def factors(self, field: int) -> tuple[Tensor, ...]:
        """(E,) of one field."""
        return (self.table.weight.detach()[self.fields.bounds[field] : self.fields.bounds[field + 1]],)

    def to_nn_embeddings(self) -> list[nn.Embedding]:
        """A table of PyTorch's own for each field, with copies of the rows; an id that shares its row has it too."""
        weight_VD = self.table.weight.detach()
        tables = [weight_VD[self.fields.rows_of_field(field)] for field in range(len(self.cardinalities))]
        return [nn.Embedding(len(table_ND), self.dim, _weight=table_ND) for table_ND in tables]

    @torch.no_grad()
    def compress(self, rank: int | None = None, bits: int | None = None) -> int:
        """Replace every field's table by what is left of it in less memory; returns the bytes that it then takes.

        `rank`: its best approximation of this rank (Eckart & Young 1936), taken in float64 and kept as two factors.
        `bits`: its numbers as integers, with a rank those of the factor that has a row for each of the table's.
        """
        size = 0
        for start, end in itertools.pairwise(self.fields.bounds):
            table_ND = self.table.weight[start:end]
            kept_DR = None
            if rank is not None:
                _, vectors_DD = torch.linalg.eigh(table_ND.t().double() @ table_ND.double())  # smallest first
                kept_DR = vectors_DD[:, -rank:]
                size += 4 * kept_DR.numel()
            rows_NR = table_ND.double() if kept_DR is None else table_ND.double() @ kept_DR
            size += 4 * rows_NR.numel() if bits is None else packed_bytes(rows_NR.numel(), bits)
            if bits is not None:
                integers_NR, scale = quantize(rows_NR.float(), bits)
                rows_NR = integers_NR.double() * scale
            table_ND.copy_(rows_NR if kept_DR is None else rows_NR @ kept_DR.t())
        return size

    def collapse(self) -> "SingleEmbedding":
        """A copy: there is nothing to multiply out."""
        fields, order_V = self.fields.served()
        weight_VD = self.table.weight.detach()
        return SingleEmbedding.from_weights(fields, weight_VD.clone() if order_V is None else weight_VD[order_V])
