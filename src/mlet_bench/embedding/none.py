"""The embedding of a model without vectors."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.table import RowTable


class NoEmbedding(Embedding):
    """Vectors of width 0: nothing to train, nothing to collapse.

    Example:
        >>> NoEmbedding([3, 5])(torch.tensor([[1, 4]])).shape
        torch.Size([1, 2, 0])
    """

    nothing: Tensor

    def __init__(self, cardinalities: Sequence[int]) -> None:
        super().__init__()
        self.cardinalities = tuple(cardinalities)
        self.dim = 0
        self.register_buffer("nothing", torch.zeros(()), persistent=False)

    def forward(self, ids_BF: Tensor) -> Tensor:
        """emb_BFD with D = 0."""
        return self.nothing.new_empty(*ids_BF.shape, 0)

    def tables(self) -> list[RowTable]:
        return []

    def batch_l2(self, on: str) -> Tensor:
        return self.nothing

    def add_table_l2(self, strength: float, on: str) -> None:
        """There is nothing to add to."""

    def collapse(self) -> "NoEmbedding":
        return NoEmbedding(self.cardinalities)
