"""What a model, the optimisers and the recipe may ask of an embedding, whatever its mode."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Protocol

from torch import Tensor, nn

from mlet_bench.embedding.rows import FieldOffsets
from mlet_bench.embedding.table import RowTable


class Shards(Protocol):
    """Rows of which this process holds some, moved within the backward pass."""

    lr: float

    def state(self) -> dict[str, Any]:
        """Sharded tensors of PyTorch's by name: weights and what their optimiser keeps."""

    def held(self) -> Iterator[tuple[int, int, Tensor]]:
        """Field, number of the first row within it, and rows that this process holds."""


class Embedding(nn.Module, ABC):
    """Turns ids of F sparse fields into vectors of width d."""

    cardinalities: tuple[int, ...]
    """Ids of each field, the reserved id 0 included."""
    dim: int
    """d, the width that a model sees."""
    fields: FieldOffsets
    """Which rows the ids read; of those that have tables."""
    sharded: "Shards | None" = None
    """Rows that lie on several processes, which are among neither `tables` nor parameters."""
    numbers_in_shards: int = 0
    """Of those, on all processes."""

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

    @property
    def bytes(self) -> int:
        """Of all that is stored: weights, and what a lookup needs beside them, but for the number of each field's ids.

        After training that is what is served; before, what training keeps for the embedding without gradients and
        optimiser state.
        """
        state = self.state_dict().items()
        counted = [value for name, value in state if name.rpartition(".")[2] not in ("offsets", "cardinalities_F")]
        return sum(value.numel() * value.element_size() for value in counted)

    def take_over(self, found: "Embedding") -> None:
        """What the embedding of a run's search found, where the mode has one, before training begins."""

    def before_step(self) -> None:
        """What the mode does when the gradients of a step are there and nothing has moved."""

    def after_step(self) -> list[tuple[RowTable, Tensor]]:
        """And when everything has. Rows that start anew, of which the optimiser is to forget what it knew."""
        return []

    @abstractmethod
    def collapse(self) -> "Embedding":
        """A new single-layer embedding with the same vectors, the product taken in float64."""
