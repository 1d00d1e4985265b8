"""Multi-head attention of a few dozen short vectors to each other, in pieces of the batch that stay in the cache.

The attention weights of a whole batch are its largest tensor by far (B · H · S² numbers), and a step that writes and
reads it several times waits for memory. Here each piece of the batch is done with before the next begins, and the
backward pass computes the weights again instead of keeping them, as in FlashAttention (Dao et al. 2022,
arXiv 2205.14135), whose own kernels are made for long sequences (docs/performance.md has figures).

B batch, S vectors, A width of all heads together, H heads; P = 3A, queries, keys and values side by side, or 4A with
what is added to the result behind them.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

ROWS = 128
"""Of a piece: with 40 vectors its weights take 0.8 MB a head."""


def attend(projected_BSP: Tensor, width: int, heads: int, scale: float) -> Tensor:
    """softmax(scale · query keyᵀ) value within each head, and what is to be added: B × S × A, A being `width`.

    >>> attend(torch.ones(2, 3, 16), 4, 2, 1.0)[0, 0].tolist()
    [2.0, 2.0, 2.0, 2.0]
    """
    if torch.compiler.is_exporting():  # a graph for batches of any size has no pieces
        return _attend_at_once(projected_BSP, width, heads, scale)
    attended: Tensor = _Attend.apply(projected_BSP, width, heads, scale)  # type: ignore[no-untyped-call]
    return attended


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected_BSP: Tensor, width: int, heads: int, scale: float) -> Tensor:
        ctx.save_for_backward(projected_BSP)
        ctx.width, ctx.heads, ctx.scale = width, heads, scale
        out_BSA = projected_BSP.new_empty(*projected_BSP.shape[:2], width)
        for rows, columns in _pieces(len(projected_BSP), width, heads):
            query_RSA, key_RSA, value_RSA = _parts(projected_BSP, width, rows, columns)
            out_BSA[rows, :, columns] = torch.bmm(_weights(query_RSA, key_RSA, scale), value_RSA)
        return out_BSA.add_(projected_BSP[:, :, 3 * width :]) if projected_BSP.shape[2] > 3 * width else out_BSA

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (grad_BSA,) = gradients
        (projected_BSP,) = ctx.saved_tensors
        grad_BSP = torch.empty_like(projected_BSP)
        grad_BSP[:, :, 3 * ctx.width :] = grad_BSA if projected_BSP.shape[2] > 3 * ctx.width else 0
        for rows, columns in _pieces(len(projected_BSP), ctx.width, ctx.heads):
            query_RSA, key_RSA, value_RSA = _parts(projected_BSP, ctx.width, rows, columns)
            query_grad_RSA, key_grad_RSA, value_grad_RSA = _parts(grad_BSP, ctx.width, rows, columns)
            grad_RSA = grad_BSA[rows, :, columns]
            weight_RSS = _weights(query_RSA, key_RSA, ctx.scale)
            value_grad_RSA.copy_(torch.bmm(weight_RSS.transpose(1, 2), grad_RSA))
            score_grad_RSS = _softmax_gradient(torch.bmm(grad_RSA, value_RSA.transpose(1, 2)), weight_RSS)
            if ctx.scale != 1:
                score_grad_RSS.mul_(ctx.scale)
            query_grad_RSA.copy_(torch.bmm(score_grad_RSS, key_RSA))
            key_grad_RSA.copy_(torch.bmm(score_grad_RSS.transpose(1, 2), query_RSA))
        return grad_BSP, None, None, None


def _attend_at_once(projected_BSP: Tensor, width: int, heads: int, scale: float) -> Tensor:
    every, own = slice(None), width // heads
    parts = [_parts(projected_BSP, width, every, slice(start, start + own)) for start in range(0, width, own)]
    attended_BSA = torch.cat([torch.bmm(_weights(query, key, scale), value) for query, key, value in parts], 2)
    return attended_BSA + projected_BSP[:, :, 3 * width :] if projected_BSP.shape[2] > 3 * width else attended_BSA


def _weights(query_RSA: Tensor, key_RSA: Tensor, scale: float) -> Tensor:
    score_RSS = torch.bmm(query_RSA, key_RSA.transpose(1, 2))
    return (score_RSS if scale == 1 else score_RSS.mul_(scale)).softmax(2)


def softmax_gradient(grad_RSS: Tensor, weight_RSS: Tensor) -> Tensor:
    """The gradient of a softmax's input, from that of its output: w ⊙ (g - Σ w ⊙ g)."""
    product_RSS = grad_RSS.mul_(weight_RSS)
    return product_RSS.addcmul_(weight_RSS, product_RSS.sum(2, keepdim=True), value=-1)


def fused_softmax_gradient(grad_RSS: Tensor, weight_RSS: Tensor) -> Tensor:
    """The same by autograd's own operator, in one pass over the numbers."""
    gradient: Tensor = torch.ops.aten._softmax_backward_data(grad_RSS, weight_RSS, 2, weight_RSS.dtype)
    return gradient


def fused_works() -> bool:
    """Whether autograd's operator is here and takes what we give it; no documented interface promises it."""
    weight_RSS, grad_RSS = torch.full((1, 1, 2), 0.5, device="cpu"), torch.tensor([[[1.0, 3.0]]], device="cpu")
    try:
        return fused_softmax_gradient(grad_RSS, weight_RSS).tolist() == [[[-0.5, 0.5]]]
    except (AttributeError, RuntimeError, TypeError):  # not there, or another signature
        return False


_softmax_gradient = fused_softmax_gradient if fused_works() else softmax_gradient


def _pieces(batch: int, width: int, heads: int) -> Iterator[tuple[slice, slice]]:
    """Some rows, and the columns of a head."""
    own = width // heads
    for start in range(0, batch, ROWS):
        for head in range(heads):
            yield slice(start, start + ROWS), slice(head * own, (head + 1) * own)


def _parts(values_BSP: Tensor, width: int, rows: slice, columns: slice) -> list[Tensor]:
    """Queries, keys and values of a piece; batched products take such strided views without a copy."""
    return [values_BSP[rows, :, part * width + columns.start : part * width + columns.stop] for part in range(3)]
