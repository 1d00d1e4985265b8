"""Batch norm, dropout, the start of the weights."""

import copy
import math

import pytest
import torch
from torch import nn

from mlet_bench.models.layers import BatchNorm, FirstOrder, NumericVectors, initialise, mlp
from mlet_bench.models.linear import Linear


def test_mlp_is_linear_norm_relu_dropout() -> None:
    layers = mlp(3, [5, 4], output=1, dropout=0.5, batch_norm=True)
    hidden = [Linear, BatchNorm, nn.ReLU, nn.Dropout]
    assert [type(layer) for layer in layers] == [*hidden, *hidden, Linear]
    assert not any(layer.relu for layer in layers if isinstance(layer, Linear))
    assert [(type(layer), layer.relu) for layer in mlp(3, [5], output=1)] == [(Linear, True), (Linear, False)]


def test_evaluation_with_batch_norm_keeps_inputs_that_are_tiny_beside_a_bias() -> None:
    """As the dot products of embeddings under a strong L2 are; float64 layer by layer is the reference."""
    torch.manual_seed(0)
    layers, x_BI = mlp(6, [8, 8], output=1, batch_norm=True), 1e-5 * (1 + torch.randn(512, 6))
    for _ in range(200):
        layers(x_BI)
    layers.eval()
    exact_B1 = x_BI.double()
    for layer in copy.deepcopy(layers).double():
        exact_B1 = layer(exact_B1)
    spread = exact_B1.std().item()
    assert 0 < spread < 0.1
    torch.testing.assert_close(layers(x_BI).double(), exact_B1, rtol=0, atol=1e-6 * max(spread, 0.1))


def test_batch_norm_is_pytorchs() -> None:
    torch.manual_seed(0)
    ours, theirs = BatchNorm(4), nn.BatchNorm1d(4)
    for batch in (5, 2):
        x_BI = torch.randn(batch, 4)
        torch.testing.assert_close(ours(x_BI), theirs(x_BI))
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())


def test_batch_norm_of_one_row_uses_the_running_statistics_and_leaves_them() -> None:
    torch.manual_seed(0)
    norm, x_BI = BatchNorm(4), torch.randn(1, 4, requires_grad=True)
    norm(3 * torch.randn(6, 4) + 1)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    found_BI = norm(x_BI)
    torch.testing.assert_close(found_BI, (x_BI - norm.running_mean) / (norm.running_var + 1e-5).sqrt())
    found_BI.sum().backward()
    assert x_BI.grad.abs().min() > 0
    assert all(torch.equal(value, norm.state_dict()[name]) for name, value in before.items())


def test_linear_layers_start_by_glorot_outside_the_embedding() -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"embedding": nn.Linear(300, 200), "deep": mlp(300, [200])})
    held = model["embedding"].weight.clone()
    initialise(model, "xavier_normal")
    assert torch.equal(model["embedding"].weight, held)
    weight, bias = model["deep"][0].weight, model["deep"][0].bias
    assert weight.std().item() == pytest.approx(math.sqrt(2 / 500), rel=0.02)
    assert weight.abs().max() > 3.5 * weight.std()  # a normal, not PyTorch's uniform
    assert not bias.any()
    held = weight.clone()
    initialise(model, "pytorch")
    assert torch.equal(weight, held)


def test_numeric_vectors_start_as_a_linear_layer_and_first_order_weights_at_zero() -> None:
    torch.manual_seed(0)
    assert NumericVectors(2000, 9).weight_ND.std().item() == pytest.approx(math.sqrt(2 / 10), rel=0.02)
    first = FirstOrder([30, 4], 3, bias=True)
    assert sum(p.numel() for p in first.parameters()) == 30 + 4 + 3 + 1
    assert not any(p.any() for p in first.parameters())
