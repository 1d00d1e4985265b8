"""The ordinary embedding: one n × d table per field."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from mlet_bench.config import EmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.table import FieldRows, RowTable, initial_rows


class SingleEmbedding(Embedding):
    """Field tables of width d; a category that training never saw is a zero vector.

    Example:
        >>> emb = SingleEmbedding.empty(cardinalities=[3, 5], dim=2)
        >>> emb(torch.tensor([[1, 4], [2, 0]])).shape
        torch.Size([2, 2, 2])
    """

    def __init__(self, cardinalities: Sequence[int], weight_VD: Tensor) -> None:
        super().__init__()
        self.cardinalities = tuple(cardinalities)
        self.dim = weight_VD.shape[1]
        self.fields = FieldRows(cardinalities)
        self.table = RowTable(weight_VD)

    @classmethod
    def empty(cls, cardinalities: Sequence[int], dim: int) -> "SingleEmbedding":
        """All zeros: a place to load a collapsed model into."""
        return cls(cardinalities, torch.zeros(sum(cardinalities), dim))

    @classmethod
    def initial(cls, cardinalities: Sequence[int], seen_V: Tensor, config: EmbConfig) -> "SingleEmbedding":
        """Drawn from PyTorch's global generator; rows where `seen_V` is false are zero."""
        weight_VD = initial_rows(cardinalities, config.dim, config.init_std)
        return cls(cardinalities, weight_VD.mul_(seen_V[:, None]))

    def forward(self, ids_BF: Tensor) -> Tensor:
        """emb_BFD for ids within their fields."""
        different = self.fields.different(ids_BF)
        return different.spread(self.table.take(different.rows_U))

    def tables(self) -> list[RowTable]:
        return [self.table]

    def batch_l2(self, on: str) -> Tensor:
        """‖·‖² of the rows that the last batch held; a single table is its own product."""
        assert self.table.taken_UW is not None
        return self.table.taken_UW.square().sum()

    def add_table_l2(self, strength: float, on: str) -> None:
        """Add the gradient of strength/2·‖·‖² over all rows to that of the last batch."""
        self.table.densify().add_(self.table.weight, alpha=strength)

    def factors(self, field: int) -> tuple[Tensor, ...]:
        """(E,) of one field."""
        return (self.table.weight[self.fields.bounds[field] : self.fields.bounds[field + 1]],)

    @staticmethod
    def table_widths(config: EmbConfig) -> list[int]:
        return [config.dim]

    @staticmethod
    def other_parameters(fields: int, config: EmbConfig) -> int:
        return 0

    @torch.no_grad()
    def cut(self, rank: int) -> None:
        """Replace every field's table by its best approximation of this rank (Eckart & Young 1936), in float64."""
        for start, end in itertools.pairwise(self.fields.bounds):
            table_ND = self.table.weight[start:end].double()
            _, vectors_DD = torch.linalg.eigh(table_ND.t() @ table_ND)  # smallest eigenvalue first
            kept_DR = vectors_DD[:, -rank:]
            self.table.weight[start:end] = (table_ND @ kept_DR @ kept_DR.t()).float()

    def collapse(self) -> "SingleEmbedding":
        """A copy: there is nothing to multiply out."""
        return SingleEmbedding(self.cardinalities, self.table.weight.detach().clone())
