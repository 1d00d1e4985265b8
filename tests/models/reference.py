"""Slow references of models: one row at a time, straight from the formulas, on the weights of a state dict."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mlet_bench.embedding import RowTable
from mlet_bench.models import CTRModel
from tests.models.small import rows

Weights = dict[str, Tensor]
Slow = Callable[[Weights, Tensor, Tensor], Tensor]
"""weights, ids_F, numeric_N → the logit of one row."""


shapes = pytest.mark.parametrize(("batch", "fields", "numeric"), [(1, 1, 0), (1, 3, 2), (3, 1, 2), (3, 3, 0)])
"""One row and several, one field and several, without numeric columns and with some: every pair of these."""


def compare(model: CTRModel, slow: Slow, batch: int, fields: int, numeric: int) -> None:
    """Logits and the gradients of all weights, the tables' included, in float64."""
    model.double()
    ids_BF, numeric_BN = rows(batch, fields, numeric)
    numeric_BN = numeric_BN.double()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    for value in weights.values():
        value.requires_grad_(value.is_floating_point())
    found_B = model(ids_BF, numeric_BN)
    expected_B = torch.stack([slow(weights, *row) for row in zip(ids_BF, numeric_BN, strict=True)])
    torch.testing.assert_close(found_B, expected_B)
    weight_B = torch.linspace(1, 2, batch, dtype=torch.float64)
    (found_B * weight_B).sum().backward()
    (expected_B * weight_B).sum().backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad}
    for name, part in model.named_modules():
        if isinstance(part, RowTable):
            gradients[f"{name}.weight"] = part.densify()
    assert gradients.keys() == dict(model.named_parameters()).keys()
    for name, found in gradients.items():
        expected = weights[name].grad
        torch.testing.assert_close(found, torch.zeros_like(weights[name]) if expected is None else expected, msg=name)


def vectors(weights: Weights, ids_F: Tensor, numeric_N: Tensor) -> list[Tensor]:
    """x_j v_j of the numeric columns, then the fields' vectors, from tables of five rows."""
    scaled = [x * weights["numeric.weight_ND"][j] for j, x in enumerate(numeric_N)]
    return scaled + [weights["embedding.table.weight"][5 * f + i] for f, i in enumerate(ids_F)]


def first_order(weights: Weights, ids_F: Tensor, numeric_N: Tensor) -> Tensor:
    """Σ w_i x_i, and w_0 if there is one."""
    total = weights.get("linear.bias", torch.zeros((), dtype=torch.float64))
    for j, x in enumerate(numeric_N):
        total = total + x * weights["linear.numeric.weight_ND"][j, 0]
    for f, i in enumerate(ids_F):
        total = total + weights["linear.fields.table.weight"][5 * f + i, 0]
    return total


def perceptron(weights: Weights, prefix: str, x: Tensor, *, output: bool) -> Tensor:
    """Linear layers and ReLUs in turn; with `output` the last layer is linear alone, and gives one number."""
    names = [name.removesuffix(".weight") for name in weights if name.startswith(prefix) and name.endswith(".weight")]
    for name in names:
        x = weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]
        if not output or name != names[-1]:
            x = torch.relu(x)
    return x[0] if output else x
