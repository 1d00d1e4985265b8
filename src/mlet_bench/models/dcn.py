"""DCN (Wang et al. 2017, arXiv 1708.05123).

B batch, F sparse fields, N numeric columns, D embedding width, I inputs: F·D + N, or (F + N)·D where numeric columns
have vectors; L cross layers.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mlet_bench.embedding import Embedding
from mlet_bench.models.base import CTRModel
from mlet_bench.models.layers import DeepSettings, FirstOrder, NumericVectors, deep, initialise
from mlet_bench.models.linear import Linear, linear
from mlet_bench.system import hardware


class DCNSettings(DeepSettings):
    cross_layers: int = Field(ge=0)
    numeric_input: Literal["values", "vectors"]
    use_wide: bool = False
    """A default, because configs of runs made before it do not have it."""


class Cross(nn.Module):
    """The weights of a cross layer (section 2.2): x_(l+1) = x_0 (x_lᵀ w) + b + x_l."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Linear(inputs, 1, bias=False)
        self.bias_I = nn.Parameter(torch.zeros(inputs))


def crossed(x0_BI: Tensor, layers: Sequence[Cross], last_I: Tensor) -> Tensor:
    """x_Lᵀ v for the output x_L of the cross layers and a vector v (`last_I`): a value for each row.

    By induction x_l = a_l x_0 + c_l, with a_(l+1) = a_l + x_lᵀ w_l, which differs from row to row, and
    c_(l+1) = c_l + b_l, which does not. So x_0 times all the w_l and v is all the work, and no x_l is needed.

    Under autocast too all of it is float32: the a_l are sums over the layers, and what bfloat16 rounds off them stays.
    """
    with hardware.without_autocast(x0_BI.device):
        dots_BL = linear(x0_BI, torch.cat([*(layer.weight.weight for layer in layers), last_I[None]]))
        a_B, c_I = torch.ones_like(dots_BL[:, 0]), torch.zeros_like(last_I)
        for layer, dot_B in zip(layers, dots_BL.unbind(1), strict=False):
            a_B = a_B + a_B * dot_B + layer.weight.weight[0] @ c_I
            c_I = c_I + layer.bias_I
        return a_B * dots_BL[:, -1] + c_I @ last_I


class DCN(CTRModel):
    """Cross layers and an MLP beside each other over all vectors, joined by a linear layer.

    Without widths in `mlp` the cross layers stand alone. Numeric columns enter as they are, as in the paper, or by a
    vector each; first-order weights beside them are no part of the paper.

    Example:
        >>> from mlet_bench.embedding import SingleEmbedding
        >>> settings = DCNSettings(cross_layers=2, numeric_input="values", mlp=(8,), dropout=0.0, batch_norm=False,
        ...                        init="xavier_normal")
        >>> model = DCN(SingleEmbedding.empty([3, 5], dim=4), num_numeric=2, settings=settings)
        >>> model(torch.tensor([[1, 4]]), torch.zeros(1, 2)).shape
        torch.Size([1])
    """

    Settings = DCNSettings

    def __init__(self, embedding: Embedding, num_numeric: int, settings: DCNSettings) -> None:
        super().__init__(embedding)
        fields, dim = len(embedding.cardinalities), embedding.dim
        self.numeric = NumericVectors(num_numeric, dim) if settings.numeric_input == "vectors" else None
        self.inputs = (num_numeric + fields) * dim if self.numeric is not None else num_numeric + fields * dim
        self.cross = nn.ModuleList(Cross(self.inputs) for _ in range(settings.cross_layers))
        self.deep = deep(self.inputs, settings) if settings.mlp else None
        self.out = Linear(self.inputs + (settings.mlp[-1] if settings.mlp else 0), 1)
        self.linear = FirstOrder(embedding.cardinalities, num_numeric) if settings.use_wide else None
        initialise(self, settings.init)

    def forward(self, ids_BF: Tensor, numeric_BN: Tensor) -> Tensor:
        """logit_B."""
        emb_BFD = self.embedding(ids_BF)
        if self.numeric is not None:
            x0_BI = self.numeric(numeric_BN, emb_BFD).flatten(1)
        else:
            x0_BI = torch.cat([numeric_BN, emb_BFD.flatten(1)], 1)
        weight_I, bias = self.out.weight[0], self.out.bias
        logit_B = crossed(x0_BI, [*self.cross], weight_I[: self.inputs]) + bias
        if self.deep is not None:
            logit_B = logit_B + linear(self.deep(x0_BI), weight_I[None, self.inputs :]).squeeze(1)
        if self.linear is not None:
            logit_B = logit_B + self.linear(ids_BF, numeric_BN)
        return logit_B
