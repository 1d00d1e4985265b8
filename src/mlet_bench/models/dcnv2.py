"""DCN-V2 (Wang et al. 2021, arXiv 2008.13535).

B batch, F sparse fields, N numeric columns, D embedding width, S = N + F vectors, I = S·D inputs, E experts, R rank.
"""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mlet_bench.embedding import Embedding
from mlet_bench.models.base import CTRModel
from mlet_bench.models.layers import DeepSettings, NumericVectors, deep, initialise
from mlet_bench.models.linear import Linear


class DCNv2Settings(DeepSettings):
    structure: Literal["parallel", "stacked"]
    cross: Literal["matrix", "mixture"]
    cross_layers: int = Field(ge=0)
    low_rank: int = Field(ge=1)
    num_experts: int = Field(ge=1)


class MatrixCross(nn.Module):
    """Cross layers with a full matrix each (equation 1): x_(l+1) = x_0 ⊙ (W_l x_l + b_l) + x_l."""

    def __init__(self, inputs: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Linear(inputs, inputs) for _ in range(layers))

    def forward(self, x0_BI: Tensor) -> Tensor:
        """x_BI after the last layer."""
        x_BI = x0_BI
        for layer in self.layers:
            x_BI = torch.addcmul(x_BI, x0_BI, layer(x_BI))
        return x_BI


class MixtureCross(nn.Module):
    """Cross layers that mix experts of low rank (equations 3 and 4), g = tanh, gates by softmax.

    x_(l+1) = Σ_e G_e(x_l) x_0 ⊙ (U_l^e g(C_l^e g(V_l^eᵀ x_l)) + b_l) + x_l. As the equations have it, an expert's
    gate is the same in every layer.
    """

    def __init__(self, inputs: int, layers: int, rank: int, experts: int) -> None:
        super().__init__()
        self.gate = Linear(inputs, experts, bias=False)
        self.u = nn.ParameterList(_drawn(experts, inputs, rank) for _ in range(layers))
        self.c = nn.ParameterList(_drawn(experts, rank, rank) for _ in range(layers))
        self.v = nn.ParameterList(_drawn(experts, inputs, rank) for _ in range(layers))
        self.bias = nn.ParameterList(torch.zeros(inputs) for _ in range(layers))

    def forward(self, x0_BI: Tensor) -> Tensor:
        """x_BI after the last layer."""
        x_BI = x0_BI
        for u_EIR, c_ERR, v_EIR, bias_I in zip(self.u, self.c, self.v, self.bias, strict=True):
            low_BER = torch.einsum("bi,eir->ber", x_BI, v_EIR).tanh()
            low_BER = torch.einsum("ber,esr->bes", low_BER, c_ERR).tanh()
            gate_BE = self.gate(x_BI).softmax(1)
            mixed_BI = torch.einsum("ber,eir->bi", low_BER * gate_BE[:, :, None], u_EIR)
            x_BI = torch.addcmul(x_BI, x0_BI, mixed_BI + bias_I)  # the gates sum to one, so b_l is added once
        return x_BI


def _drawn(experts: int, outputs: int, inputs: int) -> Tensor:
    """A matrix per expert by Glorot's normal."""
    return torch.randn(experts, outputs, inputs) * math.sqrt(2 / (inputs + outputs))


class DCNv2(CTRModel):
    """Cross layers over all vectors, and an MLP beside them (parallel) or over their output (stacked).

    Without widths in `mlp` the cross layers stand alone.

    Example:
        >>> from mlet_bench.embedding import SingleEmbedding
        >>> settings = DCNv2Settings(structure="stacked", cross="mixture", cross_layers=2, low_rank=3, num_experts=2,
        ...                          mlp=(8,), dropout=0.0, batch_norm=False, init="xavier_normal")
        >>> model = DCNv2(SingleEmbedding.empty([3, 5], dim=4), num_numeric=2, settings=settings)
        >>> model(torch.tensor([[1, 4]]), torch.zeros(1, 2)).shape
        torch.Size([1])
    """

    Settings = DCNv2Settings

    def __init__(self, embedding: Embedding, num_numeric: int, settings: DCNv2Settings) -> None:
        super().__init__(embedding)
        inputs = (num_numeric + len(embedding.cardinalities)) * embedding.dim
        self.numeric = NumericVectors(num_numeric, embedding.dim)
        self.cross: nn.Module = (
            MatrixCross(inputs, settings.cross_layers)
            if settings.cross == "matrix"
            else MixtureCross(inputs, settings.cross_layers, settings.low_rank, settings.num_experts)
        )
        self.deep = deep(inputs, settings) if settings.mlp else None
        self.stacked = settings.structure == "stacked"
        deep_width = settings.mlp[-1] if settings.mlp else 0
        self.out = Linear(deep_width if self.stacked and settings.mlp else inputs + deep_width, 1)
        initialise(self, settings.init)

    def forward(self, ids_BF: Tensor, numeric_BN: Tensor) -> Tensor:
        """logit_B."""
        x0_BI = self.numeric(numeric_BN, self.embedding(ids_BF)).flatten(1)
        x_BI = self.cross(x0_BI)
        if self.deep is not None:
            x_BI = self.deep(x_BI) if self.stacked else torch.cat([x_BI, self.deep(x0_BI)], 1)
        logit_B1: Tensor = self.out(x_BI)
        return logit_B1.squeeze(1)
