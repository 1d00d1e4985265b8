"""Modes that compute a vector from an id, with parameters that every category shares.

B batch, F sparse fields, U different rows of a batch, D output width.
"""

from abc import abstractmethod
from collections.abc import Sequence
from copy import deepcopy
from typing import Self

import torch
from torch import Tensor

from mlet_bench.config import EmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.rows import FieldOffsets
from mlet_bench.embedding.table import RowTable

PRIME = 2**31 - 1
"""Of the hash functions: products of two smaller numbers fit 64 bits."""


class ComputedEmbedding(Embedding):
    """Computes the vector of each different id of a batch once; served as it was trained."""

    def __init__(self, cardinalities: Sequence[int], dim: int) -> None:
        super().__init__()
        self.cardinalities, self.dim = tuple(cardinalities), dim
        self.fields = FieldOffsets(cardinalities)
        self.register_buffer("cardinalities_F", torch.tensor(self.cardinalities))

    @abstractmethod
    def vectors(self, ids_U: Tensor, field_U: Tensor) -> Tensor:
        """U × D: the vectors of ids within their fields."""

    def forward(self, ids_BF: Tensor) -> Tensor:
        """emb_BFD for ids within their fields."""
        if self.fields.shared is None or not torch.is_grad_enabled():
            field_BF = torch.arange(ids_BF.shape[1], device=ids_BF.device).expand(ids_BF.shape)
            vectors_PD = self.vectors(ids_BF.reshape(-1).long(), field_BF.reshape(-1))
            return vectors_PD.view(*ids_BF.shape, self.dim)
        rows = self.fields.batch_rows(ids_BF)
        field_U = torch.bucketize(rows.rows_U, self.fields.offsets[1:], right=True)
        return rows.spread(self.vectors(rows.rows_U - self.fields.offsets[field_U], field_U))

    def tables(self) -> list[RowTable]:
        return []

    def batch_l2(self, on: str) -> Tensor:
        """‖·‖² of the parameters: every category shares them."""
        return torch.stack([p.square().sum() for p in self.parameters()]).sum()

    def add_table_l2(self, strength: float, on: str) -> None:
        for p in self.parameters():
            if p.grad is not None:
                p.grad.add_(p.detach(), alpha=strength)

    def collapse(self) -> Self:
        """A copy."""
        return deepcopy(self)


def single_std(config: EmbConfig, cardinalities: Sequence[int]) -> float:
    """The standard deviation that all entries of the standard embeddings together would start with."""
    rows = sum(cardinalities)
    if config.init_std is not None:
        return config.init_std
    if config.table_init == "glorot":
        return float((sum(ids * 2 / (ids + config.dim) for ids in cardinalities) / rows) ** 0.5)
    return float((len(cardinalities) / (3 * rows)) ** 0.5)


def hashed(ids: Tensor, factor: Tensor | int, shift: Tensor | int) -> Tensor:
    """(factor · id + shift) mod a prime, in 64 bits; factor, shift and ids are smaller than the prime."""
    return (ids * factor + shift) % PRIME
