"""Tables as integers and a scale."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mlet_bench.embedding import SingleEmbedding
from mlet_bench.embedding.quantize import packed_bytes, quantize


@given(seed=st.integers(0, 1000), bits=st.sampled_from([2, 3, 4, 8]), heavy=st.booleans())
def test_no_scale_has_a_clearly_smaller_error(seed: int, bits: int, heavy: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    table_NW = torch.randn(40, 3, generator=generator) ** (5 if heavy else 1)
    integers_NW, scale = quantize(table_NW, bits)
    most = 2 ** (bits - 1) - 1
    assert integers_NW.dtype == torch.int8
    assert int(integers_NW.abs().max()) <= most
    table = table_NW.numpy().astype(np.float64)
    errors = [
        np.square(np.clip(np.round(table / other), -most, most) * other - table).sum()
        for other in np.linspace(0, np.abs(table).max() / most, 2001)[1:]
    ]
    error = np.square(integers_NW.numpy() * scale - table).sum()
    assert error <= 1.05 * min(errors)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_table_of_such_integers_is_kept_and_one_of_zeros(bits: int) -> None:
    most = 2 ** (bits - 1) - 1
    whole = torch.arange(-most, most + 1).float()[:, None]
    integers, scale = quantize(whole * 0.5, bits)
    assert (integers.flatten().tolist(), scale) == (whole.flatten().tolist(), 0.5)
    assert not quantize(torch.zeros(3, 2), bits)[0].any()


def test_every_field_has_its_own_scale_and_zero_stays_zero() -> None:
    embedding = SingleEmbedding([3, 2], dim=2, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        embedding.table.weight[0] = 0
        embedding.table.weight[3:] *= 1000
    whole = embedding.table.weight.detach().clone()
    assert embedding.compress(bits=8) == 6 + 4 + 4 + 4
    changed = embedding.table.weight.detach()
    for rows in (slice(0, 3), slice(3, 5)):
        assert (changed[rows] - whole[rows]).abs().max() <= whole[rows].abs().max() / 127
    assert not changed[0].any()


def test_with_a_rank_the_numbers_of_the_tall_factor_are_quantised() -> None:
    embedding = SingleEmbedding([50], dim=6, generator=torch.Generator().manual_seed(1))
    truncated = embedding.collapse()
    truncated.compress(rank=2)
    assert embedding.compress(rank=2, bits=8) == packed_bytes(100, 8) + 4 * 12
    assert torch.linalg.matrix_rank(embedding.table.weight, rtol=1e-5) == 2
    torch.testing.assert_close(
        embedding.table.weight, truncated.table.weight, rtol=0, atol=0.01 * float(truncated.table.weight.abs().max())
    )
