"""DLRM against the formula of its paper."""

import pytest
import torch

from mlet_bench.embedding import SingleEmbedding
from mlet_bench.models.dlrm import DLRM, DLRMSettings


def settings(bottom: tuple[int, ...], top: tuple[int, ...], interaction: str = "dot") -> DLRMSettings:
    return DLRMSettings(
        bottom_mlp=bottom, top_mlp=top, interaction=interaction, dropout=0.0, batch_norm=False, init="pytorch"
    )


def model(fields: int, numeric: int, interaction: str) -> DLRM:
    torch.manual_seed(0)
    embedding = SingleEmbedding.from_weights([5] * fields, torch.randn(5 * fields, 4))
    return DLRM(embedding, numeric, settings((6, 5), (7,), interaction))


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")  # one field alone makes no pair
@pytest.mark.parametrize(("rows", "fields", "numeric"), [(1, 1, 0), (1, 2, 3), (9, 1, 3), (9, 6, 0), (9, 6, 3)])
@pytest.mark.parametrize("interaction", ["dot", "cat"])
def test_forward_and_gradients_equal_the_slow_reference(interaction: str, rows: int, fields: int, numeric: int) -> None:
    dlrm = model(fields, numeric, interaction)
    ids_BF, numeric_BN = torch.randint(5, (rows, fields)), torch.randn(rows, numeric)
    found_B = dlrm(ids_BF, numeric_BN)
    expected = []
    for ids_F, numeric_N in zip(ids_BF, numeric_BN, strict=True):
        vectors = list(dlrm.embedding(ids_F[None])[0])
        inputs = []
        if numeric:
            hidden = numeric_N
            for layer in dlrm.bottom:
                hidden = torch.relu(layer.weight @ hidden + layer.bias)
            vectors.insert(0, hidden)
            inputs += list(hidden) if interaction == "dot" else []
        if interaction == "dot":
            inputs += [vectors[i] @ vectors[j] for i in range(len(vectors)) for j in range(i)]
        else:
            inputs += [value for vector in vectors for value in vector]
        x = torch.stack(inputs) if inputs else torch.empty(0)
        first, second = dlrm.top
        expected.append((second.weight @ torch.relu(first.weight @ x + first.bias) + second.bias)[0])
    torch.testing.assert_close(found_B, torch.stack(expected))
    dense = [p for p in dlrm.parameters() if p.requires_grad]
    weight_B = torch.randn(rows)
    found = torch.autograd.grad((found_B * weight_B).sum(), dense, allow_unused=True)
    slow = torch.autograd.grad((torch.stack(expected) * weight_B).sum(), dense, allow_unused=True)
    for weight, gradient, expected_gradient in zip(dense, found, slow, strict=True):
        zero = torch.zeros_like(weight)  # a single vector has no pairs
        torch.testing.assert_close(
            zero if gradient is None else gradient, zero if expected_gradient is None else expected_gradient
        )


def test_parameter_count_of_the_reference_sizes() -> None:
    embedding = SingleEmbedding.empty([10] * 26, 16)
    dlrm = DLRM(embedding, 13, settings((512, 256, 64), (512, 256)))
    layers = [(13, 512), (512, 256), (256, 64), (64, 16), (27 * 26 // 2 + 16, 512), (512, 256), (256, 1)]
    expected = 26 * 10 * 16 + sum((inputs + 1) * outputs for inputs, outputs in layers)
    assert sum(p.numel() for p in dlrm.parameters()) == expected
