"""xDeepFM (Lian et al. 2018, arXiv 1803.05170).

B batch, F sparse fields, N numeric columns, D embedding width, S = N + F vectors that interact, M feature maps.
"""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from mlet_bench.config import Widths
from mlet_bench.embedding import Embedding
from mlet_bench.models.base import CTRModel
from mlet_bench.models.layers import DeepSettings, FirstOrder, NumericVectors, deep, initialise
from mlet_bench.models.linear import Linear

CHUNK = 1 << 24
"""Products that prediction holds at a time (64 MB); many maps over a large batch would fill the memory."""


class XDeepFMSettings(DeepSettings):
    cin_layers: Annotated[Widths, Field(min_length=1)]


class CINLayer(nn.Module):
    """x^k_m = Σ_ij W_mij (x^(k-1)_i ∘ x^0_j) + b_m, for each of the D entries alone (R = B·D rows)."""

    def __init__(self, vectors: int, last: int, maps: int) -> None:
        super().__init__()
        bound = (last * vectors) ** -0.5  # PyTorch's start of a linear layer with as many inputs
        self.weight_MLS = nn.Parameter(torch.empty(maps, last, vectors).uniform_(-bound, bound))
        self.bias_M = nn.Parameter(torch.empty(maps).uniform_(-bound, bound))

    def forward(self, last_RL: Tensor, x0_RS: Tensor) -> Tensor:
        """maps_RM."""
        maps, last, vectors = self.weight_MLS.shape
        if maps < vectors:  # the sum over j first: fewer values to hold than the products of all pairs
            part_RML = (x0_RS @ self.weight_MLS.flatten(0, 1).t()).view(-1, maps, last)
            maps_RM = torch.bmm(part_RML, last_RL[:, :, None]).squeeze(2)
        else:
            maps_RM = (last_RL[:, :, None] * x0_RS[:, None]).flatten(1) @ self.weight_MLS.flatten(1).t()
        return maps_RM + self.bias_M


class CIN(nn.Module):
    """The compressed interaction network (section 3.1), with identity activation, as the paper advises.

    Each layer makes so many vectors of width D; the sums over D of all layers' vectors are what comes out.
    """

    def __init__(self, vectors: int, maps: Sequence[int]) -> None:
        super().__init__()
        inputs = [vectors, *maps[:-1]]
        self.layers = nn.ModuleList(CINLayer(vectors, last, next_) for last, next_ in zip(inputs, maps, strict=True))
        self._held = max(last * min(vectors, next_) for last, next_ in zip(inputs, maps, strict=True))

    def forward(self, vectors_BSD: Tensor) -> Tensor:
        """B × M, M the maps of all layers."""
        if torch.is_grad_enabled() or torch.compiler.is_exporting():
            return self._pooled(vectors_BSD)
        rows = max(1, CHUNK // (self._held * vectors_BSD.shape[2]))
        return torch.cat([self._pooled(part_BSD) for part_BSD in torch.split(vectors_BSD, rows)])

    def _pooled(self, vectors_BSD: Tensor) -> Tensor:
        x0_RS = maps_RM = vectors_BSD.transpose(1, 2).flatten(0, 1)
        pooled = []
        for layer in self.layers:
            maps_RM = layer(maps_RM, x0_RS)
            pooled.append(maps_RM.view(vectors_BSD.shape[0], -1, maps_RM.shape[1]).sum(1))
        return torch.cat(pooled, 1)


class XDeepFM(CTRModel):
    """A compressed interaction network, an MLP and a linear part over the same vectors, their logits added.

    Without widths in `mlp` there is no MLP.

    Example:
        >>> from mlet_bench.embedding import SingleEmbedding
        >>> settings = XDeepFMSettings(cin_layers=(6, 5), mlp=(8,), dropout=0.0, batch_norm=False,
        ...                            init="xavier_normal")
        >>> model = XDeepFM(SingleEmbedding.empty([3, 5], dim=4), num_numeric=2, settings=settings)
        >>> model(torch.tensor([[1, 4]]), torch.zeros(1, 2)).shape
        torch.Size([1])
    """

    Settings = XDeepFMSettings

    def __init__(self, embedding: Embedding, num_numeric: int, settings: XDeepFMSettings) -> None:
        super().__init__(embedding)
        vectors = num_numeric + len(embedding.cardinalities)
        self.numeric = NumericVectors(num_numeric, embedding.dim)
        self.linear = FirstOrder(embedding.cardinalities, num_numeric)
        self.cin = CIN(vectors, settings.cin_layers)
        self.out = Linear(sum(settings.cin_layers), 1)
        self.deep = deep(vectors * embedding.dim, settings, output=1) if settings.mlp else None
        initialise(self, settings.init)

    def forward(self, ids_BF: Tensor, numeric_BN: Tensor) -> Tensor:
        """logit_B."""
        vectors_BSD = self.numeric(numeric_BN, self.embedding(ids_BF))
        logit_B: Tensor = self.linear(ids_BF, numeric_BN) + self.out(self.cin(vectors_BSD)).squeeze(1)
        if self.deep is not None:
            logit_B = logit_B + self.deep(vectors_BSD.flatten(1)).squeeze(1)
        return logit_B
