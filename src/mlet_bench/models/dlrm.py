"""DLRM (Naumov et al. 2019, arXiv 1906.00091).

B batch, F sparse fields, N numeric columns, D embedding width, S = F + 1 vectors that interact (F without numeric
columns), P = S(S - 1)/2 pairs.
"""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from mlet_bench.config import Section, Widths
from mlet_bench.embedding import Embedding
from mlet_bench.models.base import CTRModel
from mlet_bench.models.layers import Init, initialise, mlp


class DLRMSettings(Section):
    bottom_mlp: Widths
    top_mlp: Widths
    interaction: Literal["dot", "cat"]
    dropout: float = Field(ge=0, lt=1)
    batch_norm: bool
    init: Init


class DLRM(CTRModel):
    """Bottom MLP over the numeric columns, dot products of all pairs of vectors, top MLP.

    With `interaction="cat"` the top MLP sees the vectors themselves. Without numeric columns there is no bottom MLP
    and its output is left out of the pairs and of the top's input.

    Example:
        >>> from mlet_bench.embedding import SingleEmbedding
        >>> settings = DLRMSettings(bottom_mlp=(8,), top_mlp=(8,), interaction="dot", dropout=0.0, batch_norm=False,
        ...                         init="pytorch")
        >>> model = DLRM(SingleEmbedding.empty([3, 5], dim=4), num_numeric=2, settings=settings)
        >>> model(torch.tensor([[1, 4]]), torch.zeros(1, 2)).shape
        torch.Size([1])
    """

    Settings = DLRMSettings
    pairs_P: Tensor
    pair_of_SS: Tensor

    def __init__(self, embedding: Embedding, num_numeric: int, settings: DLRMSettings) -> None:
        super().__init__(embedding)
        dim, norm = embedding.dim, settings.batch_norm
        self.bottom = mlp(num_numeric, settings.bottom_mlp, output=dim, batch_norm=norm) if num_numeric else None
        vectors = len(embedding.cardinalities) + (num_numeric > 0)
        self.dot = settings.interaction == "dot"
        pairs_P, pair_of_SS = _pairs(vectors)
        self.register_buffer("pairs_P", pairs_P, persistent=False)
        self.register_buffer("pair_of_SS", pair_of_SS, persistent=False)
        top_inputs = vectors * (vectors - 1) // 2 + (dim if num_numeric else 0) if self.dot else vectors * dim
        self.top = mlp(top_inputs, settings.top_mlp, output=1, dropout=settings.dropout, batch_norm=norm)
        initialise(self, settings.init)

    def forward(self, ids_BF: Tensor, numeric_BN: Tensor) -> Tensor:
        """logit_B."""
        vectors_BSD = self.embedding(ids_BF)
        bottom_BD = None
        if self.bottom is not None:
            bottom_BD = self.bottom(numeric_BN).relu()
            vectors_BSD = torch.cat([bottom_BD[:, None], vectors_BSD], 1)
        logit_B1: Tensor = self.top(self._dots(vectors_BSD, bottom_BD) if self.dot else vectors_BSD.flatten(1))
        return logit_B1.squeeze(1)

    def _dots(self, vectors_BSD: Tensor, bottom_BD: Tensor | None) -> Tensor:
        """The bottom MLP's output, if there is one, and the dot products of all pairs."""
        dots_BP: Tensor = _PairDots.apply(vectors_BSD, self.pairs_P, self.pair_of_SS)  # type: ignore[no-untyped-call]
        return dots_BP if bottom_BD is None else torch.cat([bottom_BD, dots_BP], 1)


class _PairDots(torch.autograd.Function):
    """Dot products of all pairs of vectors; their gradient is one product with a symmetric matrix instead of two."""

    @staticmethod
    def forward(ctx: Any, vectors_BSD: Tensor, pairs_P: Tensor, pair_of_SS: Tensor) -> Tensor:
        ctx.save_for_backward(vectors_BSD, pair_of_SS)
        return torch.bmm(vectors_BSD, vectors_BSD.transpose(1, 2)).flatten(1).index_select(1, pairs_P)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        vectors_BSD, pair_of_SS = ctx.saved_tensors
        grad_BP = gradients[0]
        padded = torch.cat([grad_BP, grad_BP.new_zeros(len(grad_BP), 1)], 1)
        vectors = vectors_BSD.shape[1]
        grad_BSS = padded.index_select(1, pair_of_SS).view(-1, vectors, vectors)
        return torch.bmm(grad_BSS.to(vectors_BSD.dtype), vectors_BSD), None, None


def _pairs(vectors: int) -> tuple[Tensor, Tensor]:
    """Positions of the entries below the diagonal in a flattened S × S matrix, and for each entry of that matrix its
    pair, P on the diagonal."""
    row_P, column_P = torch.tril_indices(vectors, vectors, offset=-1)
    pair_of_SS = torch.full((vectors, vectors), len(row_P))
    pair_of_SS[row_P, column_P] = pair_of_SS[column_P, row_P] = torch.arange(len(row_P))
    return torch.add(column_P, row_P, alpha=vectors), pair_of_SS.flatten()
