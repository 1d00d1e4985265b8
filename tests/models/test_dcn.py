"""DCN against the formula of its paper."""

import torch
from torch import Tensor

from tests.models.reference import Weights, compare, first_order, perceptron, shapes, vectors
from tests.models.small import rows, small_model


def slow(weights: Weights, ids_F: Tensor, numeric_N: Tensor) -> Tensor:
    if "numeric.weight_ND" in weights or not len(numeric_N):
        x0 = torch.cat(vectors(weights, ids_F, numeric_N))
    else:
        x0 = torch.cat([numeric_N, *vectors(weights, ids_F, numeric_N[:0])])
    x = x0
    for layer in range(2):
        w, b = weights[f"cross.{layer}.weight.weight"][0], weights[f"cross.{layer}.bias_I"]
        product = sum(x[i] * w[i] for i in range(len(x)))
        x = torch.stack([x0[i] * product + b[i] + x[i] for i in range(len(x))])
    if "deep.0.weight" in weights:
        x = torch.cat([x, perceptron(weights, "deep.", x0, output=False)])
    logit = weights["out.weight"][0] @ x + weights["out.bias"][0]
    return logit + first_order(weights, ids_F, numeric_N) if "linear.fields.table.weight" in weights else logit


@shapes
def test_forward_and_gradients_equal_the_slow_reference(batch: int, fields: int, numeric: int) -> None:
    for mlp in ([8, 7], []):
        for how in ("values", "vectors"):
            model = small_model("dcn", fields, numeric, batch_norm=False, mlp=mlp, numeric_input=how)
            compare(model, slow, batch, fields, numeric)


@shapes
def test_first_order_weights_beside_the_cross_layers(batch: int, fields: int, numeric: int) -> None:
    compare(small_model("dcn", fields, numeric, batch_norm=False, use_wide=True), slow, batch, fields, numeric)


def test_cross_layers_do_not_round_to_bfloat16_under_autocast() -> None:
    """Without an MLP nothing of the network is left that autocast could make bfloat16."""
    model = small_model("dcn", 3, 2, batch_norm=False, mlp=[], cross_layers=6).float()
    batch = rows(50, 3, 2)
    expected_B = model(*batch)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(model(*batch), expected_B)
