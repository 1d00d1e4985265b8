"""Layers that several models share."""

from collections.abc import Sequence

from torch import nn


def mlp(inputs: int, widths: Sequence[int], *, dropout: float = 0.0, last_relu: bool = True) -> nn.Sequential:
    """Linear layers of the given widths, ReLU and dropout after each (after the last only if `last_relu`).

    >>> [tuple(layer.weight.shape) for layer in mlp(3, [5, 1], last_relu=False) if hasattr(layer, "weight")]
    [(5, 3), (1, 5)]
    """
    layers: list[nn.Module] = []
    for position, width in enumerate(widths):
        layers.append(nn.Linear(inputs, width))
        if last_relu or position < len(widths) - 1:
            layers.append(nn.ReLU())
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
        inputs = width
    return nn.Sequential(*layers)
