"""Linear layers by oneDNN against PyTorch's own."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mlet_bench.models import linear as module
from mlet_bench.models.linear import Linear, linear, onednn_works


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1,), (300,), (5, 3)])
def test_forward_and_gradients_are_pytorchs(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], bias: bool, relu: bool, onednn: bool
) -> None:
    if onednn and not module.HAS_ONEDNN:
        pytest.skip("this PyTorch has no oneDNN")
    monkeypatch.setattr(module, "HAS_ONEDNN", onednn)
    torch.manual_seed(0)
    for inputs, outputs in ((1, 1), (13, 1), (33, 20), (80, 90)):
        values = [torch.randn(*shape, inputs), torch.randn(outputs, inputs), *([torch.randn(outputs)] if bias else [])]
        grad_BO = torch.randn(*shape, outputs)
        results = value_and_gradients(lambda *given: linear(*given, relu=relu), values, grad_BO)
        expected = value_and_gradients(
            lambda *given: F.linear(*given).relu() if relu else F.linear(*given), values, grad_BO
        )
        torch.testing.assert_close(results, expected, rtol=1e-5, atol=5e-5)
        again = value_and_gradients(lambda *given: linear(*given, relu=relu), values, grad_BO)
        assert all(torch.equal(one, other) for one, other in zip(results, again, strict=True))


def value_and_gradients(function, values: list[Tensor], grad_BO: Tensor) -> list[Tensor]:  # type: ignore[no-untyped-def]
    """The product, and the gradients of all that it is made of; the gradient that arrives is not contiguous."""
    leaves = [value.clone().requires_grad_() for value in values]
    y_BO = function(*leaves)
    (torch.stack([y_BO, y_BO], -1)[..., 0] * grad_BO).sum().backward()
    return [y_BO.detach(), *(leaf.grad for leaf in leaves)]


def refuse(*_: object) -> None:
    raise NotImplementedError("no such operator in this build")


@pytest.mark.parametrize(
    ("operator", "replacement"),
    [
        ("_multiply", refuse),
        ("_multiply", lambda x_BI, weight_OI, bias_O: F.linear(x_BI, weight_OI)),
        ("_onednn_weight_gradient", refuse),
    ],
)
def test_operators_that_are_missing_or_wrong_are_not_used(
    monkeypatch: pytest.MonkeyPatch, operator: str, replacement: object
) -> None:
    monkeypatch.setattr(module, operator, replacement)
    assert not onednn_works()


def test_only_what_needs_a_gradient_gets_one() -> None:
    layer, x_BI = Linear(3, 2, relu=True), torch.randn(4, 3)
    layer.bias.requires_grad_(False)
    layer(x_BI).sum().backward()
    assert layer.weight.grad is not None
    assert layer.bias.grad is None
    assert x_BI.grad is None


def test_no_rows() -> None:
    assert Linear(3, 2)(torch.empty(0, 3)).shape == (0, 2)


def test_a_number_that_is_none_is_not_hidden() -> None:
    layer = Linear(3, 2, relu=True)
    assert layer(torch.full((4, 3), torch.nan)).isnan().all()
