"""What is counted and timed for bench."""

import itertools
from typing import Any

import pytest
import torch

from mlet_bench.config import ModelSection
from mlet_bench.embedding import MLETEmbedding
from mlet_bench.training import speed
from mlet_bench.training.speed import PlainEmbedding, flops_per_sample, peak_flops, with_embedding
from tests.models.small import ALL, rows, section, small_model

DEEP: dict[str, Any] = {"mlp": [400, 400, 400], "dropout": 0.5, "batch_norm": False, "init": "xavier_normal"}


def products(widths: list[int]) -> int:
    return sum(a * b for a, b in itertools.pairwise(widths))


def test_operations_are_those_of_the_products() -> None:
    """Forward, and backward by inputs and weights, two each; DLRM's numeric columns need no gradient."""
    dcn = section("dcn", cross_layers=3, numeric_input="values", mlp=[400, 400, 400])
    inputs = 26 * 16 + 13
    assert flops_per_sample(dcn, 26, 16, 13) == pytest.approx(
        6 * (4 * inputs + products([inputs, 400, 400, 400, 1])), rel=1e-3
    )
    bottom, top = [512, 256, 64], [512, 256]
    dlrm = section("dlrm", bottom_mlp=bottom, top_mlp=top)
    pairs = 27 * 26 // 2
    expected = 6 * (products([13, *bottom, 16]) + products([pairs + 16, *top, 1])) + 4 * 27 * 27 * 16 - 2 * 13 * 512
    assert flops_per_sample(dlrm, 26, 16, 13) == pytest.approx(expected, rel=1e-3)
    autoint = section("autoint", attention_layers=1, attention_heads=2, attention_dim=32, mlp=[])
    projections, attention = 4 * 39 * 16 * 32, 2 * 39 * 39 * 32
    assert flops_per_sample(autoint, 26, 16, 13) == pytest.approx(6 * (projections + attention + 39 * 32), rel=1e-3)


@pytest.mark.parametrize("name", ALL)
def test_every_model_is_counted(name: str) -> None:
    plain: ModelSection = section(name)
    assert flops_per_sample(plain, 3, 4, 2) >= 0 if name in ("lr", "fm") else flops_per_sample(plain, 3, 4, 2) > 0


def test_plain_embedding_gives_the_vectors_of_the_collapsed_one() -> None:
    model = small_model("dcn", 3, 2, factorised=True)
    assert isinstance(model.embedding, MLETEmbedding)
    collapsed = model.embedding.collapse()
    ours, plain = with_embedding(model, collapsed), with_embedding(model, PlainEmbedding(collapsed))
    with torch.no_grad():
        assert torch.equal(ours(*rows(9, 3, 2)), plain(*rows(9, 3, 2)))
        torch.testing.assert_close(ours(*rows(9, 3, 2)), model(*rows(9, 3, 2)))


def test_peak_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "PEAK_SIZE", 256)
    torch_mm, best = peak_flops(torch.device("cpu"))
    assert best >= torch_mm > 1e8
