"""Quantised tables: the scale with the least squared error, and the bytes that are served."""

import pytest
import torch

from mlet_bench.embedding import SingleEmbedding
from mlet_bench.embedding.quantize import best_scale, quantize


def table(seed: int = 0) -> torch.Tensor:
    return torch.randn(500, 4, generator=torch.Generator().manual_seed(seed)) * 0.01


@pytest.mark.parametrize("bits", [8, 4])
def test_no_scale_on_a_finer_grid_is_much_better(bits: int) -> None:
    table_ND, most = table(), 2 ** (bits - 1) - 1

    def error(scale: float) -> float:
        return float(((table_ND / scale).round().clamp(-most, most) * scale - table_ND).square().sum())

    finest = min(error(float(scale)) for scale in torch.linspace(1e-6, float(table_ND.abs().max()) / most, 5000))
    assert error(best_scale(table_ND, bits)) <= finest * 1.02


@pytest.mark.parametrize("bits", [8, 4])
def test_weights_are_multiples_of_their_fields_scale_and_few(bits: int) -> None:
    weight_VD = torch.cat([table(), table(1) * 100])
    emb = SingleEmbedding.from_weights([500, 500], weight_VD.clone())
    assert quantize(emb, bits) == 1000 * 4 * bits // 8 + 2 * 4
    for field, before_ND in enumerate(weight_VD.split(500)):
        after_ND = emb.table.weight.detach()[500 * field : 500 * field + 500]
        scale = best_scale(before_ND, bits)
        steps_ND = (after_ND / scale).round()
        torch.testing.assert_close(after_ND, steps_ND * scale)
        assert steps_ND.abs().max() <= 2 ** (bits - 1) - 1
        inside_ND = before_ND.abs() <= scale * (2 ** (bits - 1) - 1)
        assert (after_ND - before_ND)[inside_ND].abs().max() <= scale / 2 * 1.001


def test_zeros_stay_zeros() -> None:
    emb = SingleEmbedding.from_weights([3], torch.zeros(3, 2))
    quantize(emb, 4)
    assert torch.equal(emb.table.weight, torch.zeros(3, 2))
