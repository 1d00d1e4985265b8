"""Slow references of models: one row at a time, straight from the formulas, on the weights of a state dict."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mlet_bench.embedding import RowTable
from mlet_bench.embedding.table import RowStep
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
    compare_gradients({name: p.grad for name, p in model.named_parameters()}, weights)
    model.zero_grad()
    tables = {f"{name}.weight": part for name, part in model.named_modules() if isinstance(part, RowTable)}
    for table in tables.values():
        table.step = RowStep()
    rows_B = model(ids_BF, numeric_BN)
    torch.testing.assert_close(rows_B, expected_B)
    (rows_B * weight_B).sum().backward()
    assert all(table.weight.grad is None for table in tables.values())
    of_rows = {name: table.densify() for name, table in tables.items()}
    compare_gradients({name: of_rows.get(name, p.grad) for name, p in model.named_parameters()}, weights)


def compare_gradients(gradients: dict[str, Tensor | None], weights: Weights) -> None:
    for name, gradient in gradients.items():
        expected = weights[name].grad
        zero = torch.zeros_like(weights[name])
        torch.testing.assert_close(
            zero if gradient is None else gradient, zero if expected is None else expected, msg=name
        )


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
