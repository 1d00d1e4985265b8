"""DCN (Wang et al. 2017, arXiv 1708.05123).

B batch, F sparse fields, N numeric columns, D embedding width, S = N + F vectors, I = S·D inputs.
"""

import torch
from pydantic import Field
from torch import Tensor, nn

from mlet_bench.embedding import Embedding
from mlet_bench.models.base import CTRModel
from mlet_bench.models.layers import DeepSettings, NumericVectors, deep, initialise


class DCNSettings(DeepSettings):
    cross_layers: int = Field(ge=0)


class Cross(nn.Module):
    """A cross layer (section 2.2): x_(l+1) = x_0 (x_lᵀ w) + b + x_l."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Linear(inputs, 1, bias=False)
        self.bias_I = nn.Parameter(torch.zeros(inputs))

    def forward(self, x0_BI: Tensor, x_BI: Tensor) -> Tensor:
        """The next x_BI."""
        return torch.addcmul(x_BI + self.bias_I, x0_BI, self.weight(x_BI))


class DCN(CTRModel):
    """Cross layers and an MLP beside each other over all vectors, joined by a linear layer.

    Without widths in `mlp` the cross layers stand alone.

    Example:
        >>> from mlet_bench.embedding import SingleEmbedding
        >>> settings = DCNSettings(cross_layers=2, mlp=(8,), dropout=0.0, batch_norm=False, init="xavier_normal")
        >>> model = DCN(SingleEmbedding.empty([3, 5], dim=4), num_numeric=2, settings=settings)
        >>> model(torch.tensor([[1, 4]]), torch.zeros(1, 2)).shape
        torch.Size([1])
    """

    Settings = DCNSettings

    def __init__(self, embedding: Embedding, num_numeric: int, settings: DCNSettings) -> None:
        super().__init__(embedding)
        inputs = (num_numeric + len(embedding.cardinalities)) * embedding.dim
        self.numeric = NumericVectors(num_numeric, embedding.dim)
        self.cross = nn.ModuleList(Cross(inputs) for _ in range(settings.cross_layers))
        self.deep = deep(inputs, settings) if settings.mlp else None
        self.out = nn.Linear(inputs + (settings.mlp[-1] if settings.mlp else 0), 1)
        initialise(self, settings.init)

    def forward(self, ids_BF: Tensor, numeric_BN: Tensor) -> Tensor:
        """logit_B."""
        x0_BI = x_BI = self.numeric(numeric_BN, self.embedding(ids_BF)).flatten(1)
        for cross in self.cross:
            x_BI = cross(x0_BI, x_BI)
        if self.deep is not None:
            x_BI = torch.cat([x_BI, self.deep(x0_BI)], 1)
        logit_B1: Tensor = self.out(x_BI)
        return logit_B1.squeeze(1)
