"""NFM, the neural factorisation machine (He and Chua 2017, arXiv 1708.05027).

B batch, F sparse fields, N numeric columns, D embedding width.
"""

from torch import Tensor

from mlet_bench.embedding import Embedding
from mlet_bench.models.base import CTRModel
from mlet_bench.models.layers import DeepSettings, FirstOrder, NumericVectors, bi_interaction, deep, initialise


class NFM(CTRModel):
    """An MLP over the sum of the products of all pairs of vectors, and a linear part.

    Without widths in `mlp` one linear layer stands over the sum, the paper's NFM-0.

    Example:
        >>> import torch
        >>> from mlet_bench.embedding import SingleEmbedding
        >>> settings = DeepSettings(mlp=(8,), dropout=0.0, batch_norm=False, init="xavier_normal")
        >>> model = NFM(SingleEmbedding.empty([3, 5], dim=4), num_numeric=2, settings=settings)
        >>> model(torch.tensor([[1, 4]]), torch.zeros(1, 2)).shape
        torch.Size([1])
    """

    Settings = DeepSettings

    def __init__(self, embedding: Embedding, num_numeric: int, settings: DeepSettings) -> None:
        super().__init__(embedding)
        self.numeric = NumericVectors(num_numeric, embedding.dim)
        self.linear = FirstOrder(embedding.cardinalities, num_numeric)
        self.deep = deep(embedding.dim, settings, output=1)
        initialise(self, settings.init)

    def forward(self, ids_BF: Tensor, numeric_BN: Tensor) -> Tensor:
        """logit_B."""
        deep_B1: Tensor = self.deep(bi_interaction(self.numeric(numeric_BN, self.embedding(ids_BF))))
        first_B: Tensor = self.linear(ids_BF, numeric_BN)
        return first_B + deep_B1.squeeze(1)
