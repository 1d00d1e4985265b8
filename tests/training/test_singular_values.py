"""Singular values, effective rank and balance against NumPy on whole matrices."""

import numpy as np
import pytest
import torch

from mlet_bench.training import singular_values
from mlet_bench.training.singular_values import effective_rank, imbalance, spectrum, triangle


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(singular_values, "BLOCK", 7)


@pytest.mark.parametrize(("rows", "inner", "dim"), [(40, 6, 3), (40, 3, 6), (4, 6, 3), (1, 6, 3), (7, 7, 7)])
def test_singular_values_of_both_factors_and_their_product(rows: int, inner: int, dim: int) -> None:
    torch.manual_seed(0)
    w1_NK, w2_KD = torch.randn(rows, inner), torch.randn(inner, dim)
    found = spectrum((w1_NK, w2_KD))["singular_values"]
    whole = {"E": w1_NK.double() @ w2_KD.double(), "W1": w1_NK, "W2": w2_KD}
    for name, matrix in whole.items():
        expected = np.linalg.svd(matrix.double().numpy(), compute_uv=False)
        np.testing.assert_allclose(found[name], expected[: len(found[name])], rtol=1e-12)
        np.testing.assert_allclose(expected[len(found[name]) :], 0, atol=1e-12)
    single = spectrum((whole["E"].float(),))
    assert single["singular_values"].keys() == {"E"}
    assert single["imbalance"] is None


def test_small_singular_values_keep_their_digits() -> None:
    """Condition 1e12: from the Gram matrix, whose is 1e24, the smallest would be noise."""
    generator = np.random.default_rng(0)
    left, right = (np.linalg.qr(generator.normal(size=size))[0] for size in ((50, 4), (4, 4)))
    values = np.array([1.0, 1e-4, 1e-8, 1e-12])
    matrix = torch.from_numpy(left * values @ right)
    np.testing.assert_allclose(torch.linalg.svdvals(triangle(matrix)).numpy(), values, rtol=1e-3)


def test_triangle_has_the_gram_matrix() -> None:
    torch.manual_seed(0)
    matrix_NW = torch.randn(30, 5, dtype=torch.float64)
    r_WW = triangle(matrix_NW)
    torch.testing.assert_close(r_WW.t() @ r_WW, matrix_NW.t() @ matrix_NW)


def test_effective_rank_lies_between_one_and_the_rank() -> None:
    assert effective_rank(torch.tensor([3.0, 0.0])) == pytest.approx(1)
    assert effective_rank(torch.ones(5)) == pytest.approx(5)
    values = torch.tensor([4.0, 2.0, 1.0, 1.0], dtype=torch.float64)
    assert effective_rank(values) == pytest.approx(2**1.75)  # entropy: ½·1 + ¼·2 + 2·⅛·3 bits
    assert effective_rank(7 * values) == pytest.approx(2**1.75)
    assert effective_rank(torch.zeros(3)) is None


def test_imbalance_is_zero_in_balance_and_one_without_a_factor() -> None:
    torch.manual_seed(0)
    u_NK, v_DK = torch.linalg.qr(torch.randn(9, 4)).Q, torch.linalg.qr(torch.randn(4, 4)).Q
    roots_K = torch.tensor([2.0, 1.5, 1.0, 0.5])
    w1_NK, w2_KD = u_NK * roots_K, (v_DK * roots_K).t()
    assert spectrum((w1_NK, w2_KD))["imbalance"] < 1e-6
    assert spectrum((w1_NK, torch.zeros(4, 4)))["imbalance"] == pytest.approx(1)
    assert imbalance(torch.zeros(2, 2), torch.zeros(2, 2)) is None


def test_what_is_not_finite_is_unknown() -> None:
    table = torch.tensor([[1.0, float("inf")]])
    assert set(spectrum((table,)).values()) == {None}
    assert set(spectrum((torch.ones(1, 2), torch.full((2, 2), float("nan")))).values()) == {None}
    assert spectrum((torch.zeros(3, 2),))["effective_rank"] is None
