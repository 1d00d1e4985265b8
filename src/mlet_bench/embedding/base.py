"""What a model, the optimisers and the recipe may ask of an embedding, whatever its mode."""

from abc import ABC, abstractmethod
from typing import Self

from torch import Tensor, nn

from mlet_bench.config import EmbConfig
from mlet_bench.embedding.rows import FieldOffsets
from mlet_bench.embedding.table import RowTable


class Embedding(nn.Module, ABC):
    """Turns ids of F sparse fields into vectors of width d."""

    cardinalities: tuple[int, ...]
    """Ids of each field, the reserved id 0 included."""
    dim: int
    """d, the width that a model sees."""
    fields: FieldOffsets
    """Which rows the ids read; of those that have tables."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: EmbConfig, fields: FieldOffsets, seen: Tensor | None) -> Self:
        """A fresh one, drawn from PyTorch's global generator; `seen` says which ids occur in the training split."""

    @abstractmethod
    def forward(self, ids_BF: Tensor) -> Tensor:
        """emb_BFD for ids within their fields."""

    @abstractmethod
    def tables(self) -> list[RowTable]:
        """The tables that row optimisers move; all other parameters have ordinary gradients."""

    @abstractmethod
    def batch_l2(self, on: str) -> Tensor:
        """‖·‖² of the different rows of the last batch; `on` says of the "factors" or of their "product"."""

    @abstractmethod
    def add_table_l2(self, strength: float, on: str) -> None:
        """Add the gradient of strength/2·‖·‖² over all rows to that of the last batch."""

    def factors(self, field: int) -> tuple[Tensor, ...]:
        """The matrices whose product is a field's table, without gradients; `fields.in_field` says who reads its rows.

        None where a field has no such table.
        """
        return ()

    @abstractmethod
    def collapse(self) -> "Embedding":
        """A new single-layer embedding with the same vectors, the product taken in float64."""
