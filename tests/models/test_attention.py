"""Attention in pieces of the batch against the same by PyTorch's own operators at once."""

import pytest
import torch
from torch import Tensor

from mlet_bench.models import attention
from mlet_bench.models.attention import ROWS, attend, fused_works, softmax_gradient


def plain(projected_BSP: Tensor, width: int, heads: int, scale: float) -> Tensor:
    query, key, value, *added = projected_BSP.split(width, 2)
    query, key, value = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in (query, key, value))
    out = ((scale * query @ key.transpose(2, 3)).softmax(3) @ value).transpose(1, 2).flatten(2)
    return out + added[0] if added else out


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("batch", [1, ROWS, 2 * ROWS + 5])
@pytest.mark.parametrize(("vectors", "width", "heads", "parts"), [(1, 4, 1, 3), (7, 6, 3, 4), (39, 8, 2, 3)])
def test_pieces_give_what_the_whole_gives(
    monkeypatch: pytest.MonkeyPatch, batch: int, vectors: int, width: int, heads: int, parts: int, fused: bool
) -> None:
    if not fused:
        monkeypatch.setattr(attention, "_softmax_gradient", softmax_gradient)
    generator = torch.Generator().manual_seed(batch + vectors)
    values = torch.randn(batch, vectors, parts * width, generator=generator, dtype=torch.float64)
    grad = torch.randn(batch, vectors, width, generator=generator, dtype=torch.float64)
    one, other = values.clone().requires_grad_(), values.clone().requires_grad_()
    result, expected = attend(one, width, heads, 0.5), plain(other, width, heads, 0.5)
    torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-12)
    result.backward(grad)
    expected.backward(grad)
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-10, atol=1e-12)


def test_gradients_by_finite_differences() -> None:
    values = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda given: attend(given, 2, 2, 0.7), (values,))


def test_an_operator_that_is_missing_or_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AttributeError("no such operator")

    for replacement in (refuse, lambda grad_RSS, weight_RSS: grad_RSS):
        monkeypatch.setattr(attention, "fused_softmax_gradient", replacement)
        assert not fused_works()
