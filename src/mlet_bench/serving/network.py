"""The weights of a network's MLPs as integers of 8 bits, a scale for each output.

I inputs, O outputs, B batch.
"""

import torch
from torch import Tensor, nn

from mlet_bench.models.layers import MLP
from mlet_bench.models.linear import Linear, linear


class QuantizedLinear(nn.Module):
    """A linear layer that makes numbers of its integers whenever it is used.

    Example:
        >>> layer = Linear(2, 1)
        >>> layer.weight.data, layer.bias.data = torch.tensor([[1.0, -2.54]]), torch.tensor([0.5])
        >>> quantized = QuantizedLinear(layer)
        >>> quantized.integers_OI.tolist(), quantized(torch.tensor([[1.0, 1.0]])).tolist()
        ([[50, -127]], [[-1.0399999618530273]])
    """

    integers_OI: Tensor
    scale_O: Tensor

    def __init__(self, layer: Linear) -> None:
        super().__init__()
        weight_OI = layer.weight.detach()
        scale_O = weight_OI.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / 127
        self.register_buffer("integers_OI", (weight_OI / scale_O[:, None]).round().to(torch.int8))
        self.register_buffer("scale_O", scale_O)
        self.bias, self.relu = layer.bias, layer.relu

    def forward(self, x_BI: Tensor) -> Tensor:
        """y_BO."""
        return linear(x_BI, self.integers_OI * self.scale_O[:, None], self.bias, relu=self.relu)


def quantize_network(model: nn.Module) -> None:
    """Put integers into the place of the weights of every layer of every MLP, in place."""
    for part in [part for part in model.modules() if isinstance(part, MLP)]:
        for name, layer in part.named_children():
            if isinstance(layer, Linear):
                setattr(part, name, QuantizedLinear(layer))
