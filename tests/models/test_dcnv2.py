"""DCN-V2 against the formulas of its paper."""

import pytest
import torch
from torch import Tensor

from tests.models.reference import Weights, compare, perceptron, shapes, vectors
from tests.models.small import SMALL, small_model


def matrix(weights: Weights, x0: Tensor) -> Tensor:
    x = x0
    for layer in range(2):
        W, b = weights[f"cross.layers.{layer}.weight"], weights[f"cross.layers.{layer}.bias"]
        x = torch.stack([x0[i] * (W[i] @ x + b[i]) + x[i] for i in range(len(x))])
    return x


def mixture(weights: Weights, x0: Tensor) -> Tensor:
    x = x0
    for layer in range(2):
        u, c, v, b = (weights[f"cross.{name}.{layer}"] for name in ("u", "c", "v", "bias"))
        gates = [weights["cross.gate.weight"][e] @ x for e in range(SMALL["num_experts"])]
        total = sum(gate.exp() for gate in gates)
        x = x + sum(
            gate.exp() / total * (x0 * (u[e] @ torch.tanh(c[e] @ torch.tanh(v[e].T @ x)) + b))
            for e, gate in enumerate(gates)
        )
    return x


@pytest.mark.parametrize("structure", ["parallel", "stacked"])
@pytest.mark.parametrize("cross", ["matrix", "mixture"])
@shapes
def test_forward_and_gradients_equal_the_slow_reference(
    batch: int, fields: int, numeric: int, cross: str, structure: str
) -> None:
    def slow(weights: Weights, ids_F: Tensor, numeric_N: Tensor) -> Tensor:
        x0 = torch.cat(vectors(weights, ids_F, numeric_N))
        x = matrix(weights, x0) if cross == "matrix" else mixture(weights, x0)
        if "deep.0.weight" not in weights:
            inputs = x
        elif structure == "stacked":
            inputs = perceptron(weights, "deep.", x, output=False)
        else:
            inputs = torch.cat([x, perceptron(weights, "deep.", x0, output=False)])
        return weights["out.weight"][0] @ inputs + weights["out.bias"][0]

    for mlp in ([8, 7], []):
        model = small_model("dcnv2", fields, numeric, cross=cross, structure=structure, mlp=mlp)
        compare(model, slow, batch, fields, numeric)
