"""LR, FM, NFM, DeepFM and Wide & Deep, which share their pieces, against the formulas of their papers."""

import itertools

import pytest
import torch
from torch import Tensor

from mlet_bench.embedding import NoEmbedding
from tests.models.reference import Slow, Weights, compare, first_order, perceptron, shapes, vectors
from tests.models.small import rows, small_model


def pairs(weights: Weights, ids_F: Tensor, numeric_N: Tensor) -> Tensor:
    """Σ_(i<j) v_i ∘ v_j."""
    all_pairs = itertools.combinations(vectors(weights, ids_F, numeric_N), 2)
    return sum((one * other for one, other in all_pairs), torch.zeros(4, dtype=torch.float64))


def fm(weights: Weights, ids_F: Tensor, numeric_N: Tensor) -> Tensor:
    return first_order(weights, ids_F, numeric_N) + pairs(weights, ids_F, numeric_N).sum()


def nfm(weights: Weights, ids_F: Tensor, numeric_N: Tensor) -> Tensor:
    pooled = pairs(weights, ids_F, numeric_N)
    return first_order(weights, ids_F, numeric_N) + perceptron(weights, "deep.", pooled, output=True)


def widedeep(weights: Weights, ids_F: Tensor, numeric_N: Tensor) -> Tensor:
    x = torch.cat(vectors(weights, ids_F, numeric_N))
    return first_order(weights, ids_F, numeric_N) + perceptron(weights, "deep.", x, output=True)


def deepfm(weights: Weights, ids_F: Tensor, numeric_N: Tensor) -> Tensor:
    x = torch.cat(vectors(weights, ids_F, numeric_N))
    return fm(weights, ids_F, numeric_N) + perceptron(weights, "deep.", x, output=True)


@pytest.mark.parametrize(
    ("name", "slow"),
    [("lr", first_order), ("fm", fm), ("nfm", nfm), ("widedeep", widedeep), ("deepfm", deepfm)],
)
@shapes
def test_forward_and_gradients_equal_the_slow_reference(
    batch: int, fields: int, numeric: int, name: str, slow: Slow
) -> None:
    for widths in [{"mlp": [8, 7]}, {"mlp": []}] if "deep" in name or name == "nfm" else [{}]:
        compare(small_model(name, fields, numeric, **widths), slow, batch, fields, numeric)


def test_lr_leaves_the_embedding_out() -> None:
    model = small_model("lr", 2, 0)
    assert isinstance(model.embedding, NoEmbedding)
    assert model.embedding.collapse().cardinalities == (5, 5)
    assert model(*rows(3, 2, 0)).shape == (3,)
    assert model.embedding(rows(3, 2, 0)[0]).shape == (3, 2, 0)
