"""Linear layers by oneDNN against PyTorch's own."""

import pytest
import torch
import torch.nn.functional as F

from mlet_bench.models import linear as module
from mlet_bench.models.linear import Linear, linear


@pytest.mark.skipif(not module.HAS_ONEDNN, reason="this PyTorch was built without oneDNN")
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1,), (7,), (300,), (5, 3)])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (13, 1), (33, 20)])
def test_forward_and_gradients_are_pytorchs(
    inputs: int, outputs: int, shape: tuple[int, ...], bias: bool, relu: bool
) -> None:
    torch.manual_seed(0)
    weight_OI = torch.randn(outputs, inputs)
    bias_O = torch.randn(outputs) if bias else None
    x_BI, grad_BO = torch.randn(*shape, inputs), torch.randn(*shape, outputs)
    found = results(x_BI, weight_OI, bias_O, grad_BO, relu, plain=False)
    for one, other in zip(found, results(x_BI, weight_OI, bias_O, grad_BO, relu, plain=True), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    again = results(x_BI, weight_OI, bias_O, grad_BO, relu, plain=False)
    assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))


def results(x_BI, weight_OI, bias_O, grad_BO, relu, *, plain):  # type: ignore[no-untyped-def]
    """The product and the gradients of all that it is made of; the slices are not contiguous."""
    leaves = [t.clone().requires_grad_() for t in (x_BI, weight_OI, bias_O) if t is not None]
    if plain:
        y_BO = F.linear(*leaves)
        y_BO = y_BO.relu() if relu else y_BO
    else:
        y_BO = linear(*leaves, relu=relu)
    (torch.stack([y_BO, y_BO], -1)[..., 0] * grad_BO).sum().backward()
    return [y_BO.detach(), *(leaf.grad for leaf in leaves)]


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
