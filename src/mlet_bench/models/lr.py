"""LR, logistic regression: the linear part of the other models alone."""

from torch import Tensor

from mlet_bench.config import Section
from mlet_bench.embedding import Embedding, NoEmbedding
from mlet_bench.models.base import CTRModel
from mlet_bench.models.layers import FirstOrder


class LRSettings(Section):
    """It has none."""


class LR(CTRModel):
    """w_0 + Σ_i w_i x_i over fields and numeric columns; the embedding that it was handed is left out.

    Example:
        >>> import torch
        >>> from mlet_bench.embedding import SingleEmbedding
        >>> model = LR(SingleEmbedding.empty([3, 5], dim=4), num_numeric=2, settings=LRSettings())
        >>> sum(p.numel() for p in model.parameters())
        11
    """

    Settings = LRSettings

    def __init__(self, embedding: Embedding, num_numeric: int, settings: LRSettings) -> None:
        super().__init__(NoEmbedding(embedding.cardinalities))
        self.linear = FirstOrder(embedding.cardinalities, num_numeric, bias=True)

    def forward(self, ids_BF: Tensor, numeric_BN: Tensor) -> Tensor:
        """logit_B."""
        logit_B: Tensor = self.linear(ids_BF, numeric_BN)
        return logit_B
