"""Wide & Deep (Cheng et al. 2016, arXiv 1606.07792).

B batch, F sparse fields, N numeric columns, D embedding width, S = N + F vectors.
"""

from torch import Tensor

from mlet_bench.embedding import Embedding
from mlet_bench.models.base import CTRModel
from mlet_bench.models.layers import DeepSettings, FirstOrder, NumericVectors, deep, initialise


class WideDeep(CTRModel):
    """A linear part and an MLP over the vectors, their logits added.

    The paper's wide part also has products of features that its authors chose by hand; here it has none.

    Example:
        >>> import torch
        >>> from mlet_bench.embedding import SingleEmbedding
        >>> settings = DeepSettings(mlp=(8,), dropout=0.0, batch_norm=False, init="xavier_normal")
        >>> model = WideDeep(SingleEmbedding.empty([3, 5], dim=4), num_numeric=2, settings=settings)
        >>> model(torch.tensor([[1, 4]]), torch.zeros(1, 2)).shape
        torch.Size([1])
    """

    Settings = DeepSettings

    def __init__(self, embedding: Embedding, num_numeric: int, settings: DeepSettings) -> None:
        super().__init__(embedding)
        vectors = num_numeric + len(embedding.cardinalities)
        self.numeric = NumericVectors(num_numeric, embedding.dim)
        self.linear = FirstOrder(embedding.cardinalities, num_numeric)
        self.deep = deep(vectors * embedding.dim, settings, output=1)
        initialise(self, settings.init)

    def forward(self, ids_BF: Tensor, numeric_BN: Tensor) -> Tensor:
        """logit_B."""
        vectors_BSD: Tensor = self.numeric(numeric_BN, self.embedding(ids_BF))
        deep_B1: Tensor = self.deep(vectors_BSD.flatten(1))
        wide_B: Tensor = self.linear(ids_BF, numeric_BN)
        return wide_B + deep_B1.squeeze(1)
