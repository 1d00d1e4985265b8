"""DLRM (Naumov et al. 2019, arXiv 1906.00091).

B batch, F sparse fields, N numeric columns, D embedding width, S = F + 1 vectors that interact (F without numeric
columns), P = S(S - 1)/2 pairs.
"""

import torch
from pydantic import Field
from torch import Tensor

from mlet_bench.config import Section, Widths
from mlet_bench.embedding import Embedding
from mlet_bench.models.base import CTRModel
from mlet_bench.models.layers import mlp


class DLRMSettings(Section):
    bottom_mlp: Widths
    top_mlp: Widths
    dropout: float = Field(ge=0, lt=1)


class DLRM(CTRModel):
    """Bottom MLP over the numeric columns, dot products of all pairs of vectors, top MLP.

    Without numeric columns there is no bottom MLP and its output is left out of the pairs and of the top's input.

    Example:
        >>> from mlet_bench.embedding import SingleEmbedding
        >>> settings = DLRMSettings(bottom_mlp=(8,), top_mlp=(8,), dropout=0.0)
        >>> model = DLRM(SingleEmbedding.empty([3, 5], dim=4), num_numeric=2, settings=settings)
        >>> model(torch.tensor([[1, 4]]), torch.zeros(1, 2)).shape
        torch.Size([1])
    """

    Settings = DLRMSettings
    pairs_P: Tensor

    def __init__(self, embedding: Embedding, num_numeric: int, settings: DLRMSettings) -> None:
        super().__init__(embedding)
        fields, dim = len(embedding.cardinalities), embedding.dim
        self.bottom = mlp(num_numeric, [*settings.bottom_mlp, dim]) if num_numeric else None
        vectors = fields + (num_numeric > 0)
        self.register_buffer("pairs_P", _pairs(vectors), persistent=False)
        top_inputs = vectors * (vectors - 1) // 2 + (dim if num_numeric else 0)
        self.top = mlp(top_inputs, [*settings.top_mlp, 1], dropout=settings.dropout, last_relu=False)

    def forward(self, ids_BF: Tensor, numeric_BN: Tensor) -> Tensor:
        """logit_B."""
        vectors_BSD = self.embedding(ids_BF)
        bottom_BD = None
        if self.bottom is not None:
            bottom_BD = self.bottom(numeric_BN)
            vectors_BSD = torch.cat([bottom_BD[:, None], vectors_BSD], 1)
        dots_BSS = torch.bmm(vectors_BSD, vectors_BSD.transpose(1, 2))
        dots_BP = dots_BSS.flatten(1).index_select(1, self.pairs_P)
        top_in = dots_BP if bottom_BD is None else torch.cat([bottom_BD, dots_BP], 1)
        logit_B1: Tensor = self.top(top_in)
        return logit_B1.squeeze(1)


def _pairs(vectors: int) -> Tensor:
    """Positions of the entries below the diagonal in a flattened S × S matrix."""
    row, column = torch.tril_indices(vectors, vectors, offset=-1)
    return torch.add(column, row, alpha=vectors)
