"""xDeepFM against the formulas of its paper."""

import pytest
import torch
from torch import Tensor

from mlet_bench.models import xdeepfm
from tests.models.reference import Weights, compare, first_order, perceptron, shapes, vectors
from tests.models.small import DIM, rows, small_model


def cin(weights: Weights, x0: list[Tensor]) -> list[Tensor]:
    """The pooled maps of both layers."""
    pooled, last = [], x0
    for layer in range(2):
        W, b = weights[f"cin.layers.{layer}.weight_MLS"], weights[f"cin.layers.{layer}.bias_M"]
        maps = []
        for h in range(len(W)):
            terms = [W[h, i, j] * last[i] * x0[j] for i in range(len(last)) for j in range(len(x0))]
            maps.append(sum(terms) + b[h])
        pooled += [sum(vector[d] for d in range(DIM)) for vector in maps]
        last = maps
    return pooled


def slow(weights: Weights, ids_F: Tensor, numeric_N: Tensor) -> Tensor:
    x0 = vectors(weights, ids_F, numeric_N)
    logit = first_order(weights, ids_F, numeric_N)
    logit = logit + weights["out.weight"][0] @ torch.stack(cin(weights, x0)) + weights["out.bias"][0]
    if "deep.0.weight" in weights:
        logit = logit + perceptron(weights, "deep.", torch.cat(x0), output=True)
    return logit


@shapes
def test_forward_and_gradients_equal_the_slow_reference(batch: int, fields: int, numeric: int) -> None:
    for mlp, cin_layers in (([8, 7], [5, 3]), ([], [2, 6]), ([8], [4, 2])):  # more maps than vectors, and fewer
        model = small_model("xdeepfm", fields, numeric, mlp=mlp, cin_layers=cin_layers)
        compare(model, slow, batch, fields, numeric)


def test_prediction_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("xdeepfm", 3, 2)
    with torch.no_grad():
        whole_B = model(*rows(7, 3, 2))
        monkeypatch.setattr(xdeepfm, "CHUNK", 3 * model.cin._held * DIM)  # three rows at a time
        torch.testing.assert_close(model(*rows(7, 3, 2)), whole_B)
