"""FM, the factorisation machine (Rendle 2010, equation 1)."""

from torch import Tensor

from mlet_bench.config import Section
from mlet_bench.embedding import Embedding
from mlet_bench.models.base import CTRModel
from mlet_bench.models.layers import FirstOrder, NumericVectors, bi_interaction


class FMSettings(Section):
    """It has none."""


class FM(CTRModel):
    """w_0 + Σ_i w_i x_i + Σ_(i<j) ⟨v_i, v_j⟩ x_i x_j over fields and numeric columns.

    Example:
        >>> import torch
        >>> from mlet_bench.embedding import SingleEmbedding
        >>> model = FM(SingleEmbedding.empty([3, 5], dim=4), num_numeric=2, settings=FMSettings())
        >>> model(torch.tensor([[1, 4]]), torch.zeros(1, 2)).shape
        torch.Size([1])
    """

    Settings = FMSettings

    def __init__(self, embedding: Embedding, num_numeric: int, settings: FMSettings) -> None:
        super().__init__(embedding)
        self.numeric = NumericVectors(num_numeric, embedding.dim)
        self.linear = FirstOrder(embedding.cardinalities, num_numeric, bias=True)

    def forward(self, ids_BF: Tensor, numeric_BN: Tensor) -> Tensor:
        """logit_B."""
        first_B: Tensor = self.linear(ids_BF, numeric_BN)
        return first_B + bi_interaction(self.numeric(numeric_BN, self.embedding(ids_BF))).sum(1)
