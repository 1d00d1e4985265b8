"""Layers that several models share.

B batch, F sparse fields, N numeric columns, D embedding width, S = N + F vectors that interact.
"""

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mlet_bench.config import Section, Widths
from mlet_bench.embedding import SingleEmbedding
from mlet_bench.models.linear import Linear, linear

Init = Literal["xavier_normal", "pytorch"]


class DeepSettings(Section):
    """What every model with one MLP has."""

    mlp: Widths
    dropout: float = Field(ge=0, lt=1)
    batch_norm: bool
    init: Init


def mlp(
    inputs: int, widths: Sequence[int], *, output: int | None = None, dropout: float = 0.0, batch_norm: bool = False
) -> nn.Sequential:
    """A linear layer, batch norm, ReLU and dropout for each of `widths`, then one linear layer to `output` values.

    >>> [tuple(layer.weight.shape) for layer in mlp(3, [5], output=1) if hasattr(layer, "weight")]
    [(5, 3), (1, 5)]
    """
    layers: list[nn.Module] = []
    for width in widths:
        layers.append(Linear(inputs, width, relu=not batch_norm))
        if batch_norm:
            layers += [BatchNorm(width), nn.ReLU()]
        if dropout > 0:
            layers.append(nn.Dropout(dropout))
        inputs = width
    if output is not None:
        layers.append(Linear(inputs, output))
    return MLP(*layers)


class MLP(nn.Sequential):
    """Layers in their order; in evaluation the bias before a batch norm is taken off its running mean, not added.

    Both are the same but for rounding. Where a layer's inputs are small beside its bias, as dot products of embeddings
    under a strong L2 are, the sum would round them away, and batch norm would enlarge what rounding left.
    """

    def forward(self, input: Tensor) -> Tensor:
        layers, bias_O = list(self), None
        for layer, following in itertools.zip_longest(layers, layers[1:]):
            if self.training:
                input = layer(input)
            elif isinstance(layer, Linear) and isinstance(following, BatchNorm):
                input, bias_O = linear(input, layer.weight), layer.bias
            elif isinstance(layer, BatchNorm):
                input = layer.without_bias(input, bias_O)
            else:
                input = layer(input)
        return input


def deep(inputs: int, settings: DeepSettings, *, output: int | None = None) -> nn.Sequential:
    """The MLP that the settings describe."""
    return mlp(inputs, settings.mlp, output=output, dropout=settings.dropout, batch_norm=settings.batch_norm)


def initialise(model: nn.Module, init: Init) -> None:
    """Draw all linear layers outside the embedding anew by Glorot's normal, biases zero; or leave PyTorch's start.

    Glorot and Bengio 2010: a standard deviation of sqrt(2 / (inputs + outputs)).
    """
    if init == "pytorch":
        return
    for name, part in model.named_children():
        for layer in part.modules() if name != "embedding" else ():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)


class BatchNorm(nn.BatchNorm1d):
    """Batch norm that trains on a batch of one row, the rest of an epoch, by its running statistics.

    One row has no variance: PyTorch's own layer refuses it.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.training and len(input) == 1:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)

    def without_bias(self, product_BO: Tensor, bias_O: Tensor | None) -> Tensor:
        """The norm of `product_BO` + `bias_O` by the running statistics."""
        assert self.running_mean is not None
        assert self.running_var is not None
        mean_O = self.running_mean if bias_O is None else self.running_mean - bias_O
        return torch.addcmul(self.bias, product_BO - mean_O, self.weight * (self.running_var + self.eps).rsqrt())


class NumericVectors(nn.Module):
    """A vector for each numeric column, scaled by the column's value, before the vectors of the fields.

    The vectors start with `std`, or with that of a linear layer from 1 to D values under Glorot's normal.

    Example:
        >>> numeric = NumericVectors(num_numeric=1, dim=2, std=0.0)
        >>> numeric(torch.ones(1, 1), torch.ones(1, 1, 2)).tolist()
        [[[0.0, 0.0], [1.0, 1.0]]]
    """

    weight_ND: nn.Parameter | None

    def __init__(self, num_numeric: int, dim: int, std: float | None = None) -> None:
        super().__init__()
        if num_numeric == 0:
            self.weight_ND = None
            return
        std = (2 / (1 + dim)) ** 0.5 if std is None else std
        self.weight_ND = nn.Parameter(torch.empty(num_numeric, dim).normal_(std=std))

    def forward(self, numeric_BN: Tensor, emb_BFD: Tensor) -> Tensor:
        """vectors_BSD."""
        if self.weight_ND is None:
            return emb_BFD
        return torch.cat([numeric_BN[:, :, None] * self.weight_ND, emb_BFD], 1)


class FirstOrder(nn.Module):
    """One weight for each category and each numeric column: the linear part of a model.

    The categories' weights are a standard embedding of width one, whatever the mode of the model's embedding. All start
    at zero, so that a category that training never saw adds nothing.

    Example:
        >>> first = FirstOrder([3, 5], num_numeric=1, bias=True)
        >>> first(torch.tensor([[1, 4]]), torch.ones(1, 1)).tolist()
        [0.0]
    """

    def __init__(self, cardinalities: Sequence[int], num_numeric: int, *, bias: bool = False) -> None:
        super().__init__()
        self.fields = SingleEmbedding.empty(cardinalities, 1)
        self.numeric = NumericVectors(num_numeric, 1, std=0.0)
        self.bias = nn.Parameter(torch.zeros(())) if bias else None

    def forward(self, ids_BF: Tensor, numeric_BN: Tensor) -> Tensor:
        """logit_B."""
        weights_BS1: Tensor = self.numeric(numeric_BN, self.fields(ids_BF))
        logit_B = weights_BS1.sum((1, 2))
        return logit_B if self.bias is None else logit_B + self.bias


def bi_interaction(vectors_BSD: Tensor) -> Tensor:
    """B × D: the sum of the elementwise products of all pairs of vectors, ½((Σv)² - Σv²).

    >>> bi_interaction(torch.tensor([[[1.0, 2.0], [3.0, 5.0]]])).tolist()
    [[3.0, 10.0]]
    """
    return (vectors_BSD.sum(1).square() - vectors_BSD.square().sum(1)) / 2
