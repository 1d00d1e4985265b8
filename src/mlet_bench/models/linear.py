"""Linear layers by the faster of PyTorch's two libraries for matrix products on CPU.

PyTorch multiplies float32 matrices with MKL, whose kernels for AVX-512 run on Intel's processors alone; oneDNN, which
PyTorch carries as well, has them for every processor (docs/performance.md has figures).

B batch (any number of leading dimensions), I inputs, O outputs.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Linear):
    """torch.nn.Linear, with the ReLU behind it if asked for.

    Example:
        >>> layer = Linear(2, 1, relu=True)
        >>> nn.init.constant_(layer.weight, -1.0), nn.init.zeros_(layer.bias)  # doctest: +ELLIPSIS
        (...)
        >>> layer(torch.tensor([[1.0, 2.0], [-3.0, 1.0]])).tolist()
        [[0.0], [2.0]]
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True, relu: bool = False) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.relu = relu

    def forward(self, x_BI: Tensor) -> Tensor:
        """y_BO."""
        return linear(x_BI, self.weight, self.bias, relu=self.relu)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, relu={self.relu}"


def linear(x_BI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None, *, relu: bool = False) -> Tensor:
    """x Wᵀ + b, and ReLU behind it if asked for: y_BO."""
    if HAS_ONEDNN and _suits_onednn(x_BI) and _suits_onednn(weight_OI):
        rows_RI = x_BI.reshape(-1, x_BI.shape[-1])
        y_RO: Tensor = _OneDNN.apply(rows_RI, weight_OI, bias_O)  # type: ignore[no-untyped-call]
        if relu:  # oneDNN's own, within the product, makes a NaN 0 and so hides it
            y_RO.relu_()
        return y_RO.view(*x_BI.shape[:-1], len(weight_OI))
    y_BO = F.linear(x_BI, weight_OI, bias_O)
    return y_BO.relu_() if relu else y_BO


def _suits_onednn(values: Tensor) -> bool:
    """Under autocast PyTorch's own layer changes the type, and uses oneDNN for the narrow ones; an exported model
    has PyTorch's own operators alone."""
    if torch.compiler.is_exporting():
        return False
    kind = values.device.type
    return (
        kind == "cpu" and values.dtype == torch.float32 and values.numel() > 0 and not torch.is_autocast_enabled(kind)
    )


NARROW = 32
"""Work for each number that is copied, below which MKL's product alone is faster than oneDNN's with its copies."""


class _OneDNN(torch.autograd.Function):
    """The operators behind torch.compile's linear layers and behind those of mkldnn tensors."""

    @staticmethod
    def forward(ctx: Any, x_BI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
        ctx.save_for_backward(x_BI, weight_OI)
        ctx.has_bias = bias_O is not None
        return _multiply(x_BI, weight_OI, bias_O)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x_BI, weight_OI = ctx.saved_tensors
        grad_BO = gradients[0].contiguous()
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        grad_BI = _multiply(grad_BO, weight_OI.t(), None) if needs_x else None
        grad_OI = grad_O = None
        if needs_weight or needs_bias:
            grad_OI, grad_O = _weight_gradient(grad_BO, x_BI, weight_OI, bias=ctx.has_bias)
        return grad_BI, grad_OI, grad_O


def _multiply(x_BI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x_BI, weight_OI, bias_O, "none", [], "")
    return product


def _weight_gradient(grad_BO: Tensor, x_BI: Tensor, weight_OI: Tensor, *, bias: bool) -> tuple[Tensor, Tensor | None]:
    """oneDNN's operator copies both matrices first, which takes longer than the product where they are narrow."""
    outputs, inputs = weight_OI.shape
    if inputs * outputs < NARROW * (inputs + outputs):
        return grad_BO.t() @ x_BI, grad_BO.sum(0) if bias else None
    return _onednn_weight_gradient(grad_BO, x_BI, weight_OI, bias=bias)


def _onednn_weight_gradient(
    grad_BO: Tensor, x_BI: Tensor, weight_OI: Tensor, *, bias: bool
) -> tuple[Tensor, Tensor | None]:
    grad_OI, grad_O = torch.ops.aten.mkldnn_linear_backward_weights(
        grad_BO.to_mkldnn(), x_BI.contiguous().to_mkldnn(), weight_OI, bias
    )
    return _dense(grad_OI), _dense(grad_O) if bias else None


def _dense(gradient: Tensor) -> Tensor:
    return gradient.to_dense() if gradient.is_mkldnn else gradient


def onednn_works() -> bool:
    """Whether PyTorch's oneDNN operators are here and take what we give them; no documented interface promises it."""
    x_BI, weight_OI, bias_O = torch.eye(2, device="cpu"), torch.ones(3, 2, device="cpu"), torch.ones(3, device="cpu")
    try:
        y_BO = _multiply(x_BI, weight_OI, bias_O)
        grad_OI, grad_O = _onednn_weight_gradient(y_BO, x_BI, weight_OI, bias=True)
    except (AttributeError, RuntimeError, TypeError):  # not there, not built in, or another signature
        return False
    return bool((y_BO == 2).all() and (grad_OI == 2).all() and grad_O is not None and (grad_O == 4).all())


HAS_ONEDNN = onednn_works()
