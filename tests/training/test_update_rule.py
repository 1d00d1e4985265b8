"""The algebra of a step on factors, against steps that our optimizers take on real models in float64."""

import copy

import pytest
import torch
import torch.nn.functional as F

from mlet_bench import models
from mlet_bench.embedding import MLETEmbedding, SingleEmbedding
from mlet_bench.models import CTRModel
from mlet_bench.training import update_rule
from mlet_bench.training.optimizers import Optimizers
from mlet_bench.training.update_rule import SGDRule, compare_step, product
from tests.models.small import section
from tests.training.test_optimizers import emb_config, train_config

CARDINALITIES, DIM, NUMERIC = [30, 4, 11], 4, 2
BOUNDS = [0, 30, 34, 45]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update_rule, "BLOCK", 7)


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Eight rows: ids repeat in every field, and most rows of the first are absent."""
    generator = torch.Generator().manual_seed(1)
    ids_BF = torch.stack([torch.randint(min(size, 6), (8,), generator=generator) for size in CARDINALITIES], 1)
    numeric_BN = torch.randn(8, NUMERIC, generator=generator, dtype=torch.float64)
    return ids_BF, numeric_BN, torch.arange(8, dtype=torch.float64) % 2


def model_pair(name: str, inner: int) -> tuple[CTRModel, CTRModel]:
    """An MLET model in float64, and the single-layer model that computes the same."""
    torch.manual_seed(2)
    w1_VK, w2_FKD = torch.randn(45, inner).double(), torch.randn(3, inner, DIM).double()
    factorised = models.build(section(name), MLETEmbedding.from_weights(CARDINALITIES, w1_VK, w2_FKD), NUMERIC).double()
    tables = [w1_VK[BOUNDS[field] : BOUNDS[field + 1]] @ w2_KD for field, w2_KD in enumerate(w2_FKD)]
    single = copy.deepcopy(factorised)
    single.embedding = SingleEmbedding.from_weights(CARDINALITIES, torch.cat(tables))
    return factorised, single


def backward(model: CTRModel) -> None:
    ids_BF, numeric_BN, label_B = batch()
    F.binary_cross_entropy_with_logits(model(ids_BF, numeric_BN), label_B).backward()


def gradient(single: CTRModel) -> torch.Tensor:
    """G of all fields, by autograd with respect to E."""
    backward(single)
    assert isinstance(single.embedding, SingleEmbedding)
    gradient_VD = single.embedding.table.weight.grad
    assert gradient_VD is not None
    return gradient_VD


def factors(model: CTRModel) -> list[tuple[torch.Tensor, ...]]:
    return [tuple(part.clone() for part in model.embedding.factors(field)) for field in range(3)]


@pytest.mark.parametrize("update", ["exact", "lazy"])
@pytest.mark.parametrize("name", ["dlrm", "dcnv2", "deepfm"])
@pytest.mark.parametrize("inner", [3, 4, 9])
def test_a_step_of_sgd_follows_the_identity(name: str, inner: int, update: str) -> None:
    factorised, single = model_pair(name, inner)
    grad_VD, lr = gradient(single), 0.7
    before = factors(factorised)
    optimizers = Optimizers(factorised, train_config(optimizer="sgd", lr=lr, update=update), emb_config("mlet"))
    backward(factorised)
    optimizers.step()
    for field, ((w1_NK, w2_KD), after) in enumerate(zip(before, factors(factorised), strict=True)):
        grad_ND = grad_VD[BOUNDS[field] : BOUNDS[field + 1]]
        emb_ND = w1_NK @ w2_KD
        first_ND = -lr * (grad_ND @ w2_KD.t() @ w2_KD + w1_NK @ w1_NK.t() @ grad_ND)
        predicted_ND = emb_ND + first_ND + lr**2 * grad_ND @ emb_ND.t() @ grad_ND
        torch.testing.assert_close(after[0] @ after[1], predicted_ND, rtol=0, atol=1e-8)
        rows_U = batch()[0][:, field].unique()
        rule = SGDRule((w1_NK, w2_KD), rows_U, grad_ND[rows_U], lr)
        blocks = [rule.block(start, min(start + 5, len(w1_NK))) for start in range(0, len(w1_NK), 5)]
        torch.testing.assert_close(torch.cat([first for first, _ in blocks]), first_ND, rtol=0, atol=1e-12)
        whole_ND = torch.cat([whole for _, whole in blocks])
        torch.testing.assert_close(whole_ND, predicted_ND - emb_ND, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("lr", "error"), [(0.01, 1.7e-4), (0.1, 1.7e-3), (1.0, 1.7e-2), (10.0, 1.8e-1)])
def test_what_first_order_misses_grows_with_the_learning_rate(lr: float, error: float) -> None:
    """The table of docs/method.md: DLRM, k = 9, d = 4."""
    factorised, single = model_pair("dlrm", 9)
    grad_VD, before = gradient(single), factors(factorised)
    optimizers = Optimizers(factorised, train_config(optimizer="sgd", lr=lr), emb_config("mlet"))
    backward(factorised)
    optimizers.step()
    rows_U = batch()[0][:, 0].unique()
    found = compare_step(before[0], factors(factorised)[0], rows_U, grad_VD[rows_U], lr)
    assert found["error"] < 1e-8
    assert found["cosine"] == pytest.approx(1, abs=1e-12)
    assert found["first_order_error"] == pytest.approx(error, rel=0.05)


@pytest.mark.parametrize("mode", ["single", "mlet"])
def test_moves_of_held_and_absent_rows_are_those_of_the_tables(mode: str) -> None:
    factorised, single = model_pair("dlrm", 5)
    grad_VD = gradient(single).clone()
    model = factorised if mode == "mlet" else single
    before = factors(model)
    optimizers = Optimizers(model, train_config(optimizer="sgd", lr=0.5), emb_config(mode))
    backward(model)
    optimizers.step()
    after = factors(model)
    for field, rows in enumerate(CARDINALITIES):
        rows_U = batch()[0][:, field].unique()
        grad_ND = grad_VD[BOUNDS[field] : BOUNDS[field + 1]]
        found = compare_step(before[field], after[field], rows_U, grad_ND[rows_U], 0.5)
        length_N = (product(after[field], 0, rows) - product(before[field], 0, rows)).norm(dim=1)
        absent_N = torch.ones(rows, dtype=torch.bool)
        absent_N[rows_U] = False
        assert (found["held_rows"], found["absent_rows"]) == (len(rows_U), int(absent_N.sum()))
        assert found["held_rms"] == pytest.approx(float(length_N[~absent_N].square().mean().sqrt()))
        share = float(length_N[absent_N].square().sum() / length_N.square().sum())
        assert found["absent_share"] == pytest.approx(share)
        if absent_N.any():
            assert found["absent_rms"] == pytest.approx(float(length_N[absent_N].square().mean().sqrt()))
        else:
            assert found["absent_rms"] is None
        if mode == "single":
            assert found["absent_share"] == 0
            assert found["error"] == found["first_order_error"] < 1e-12


def test_in_balance_a_component_is_scaled_by_the_sum_of_its_singular_values() -> None:
    torch.manual_seed(4)
    u_NK = torch.linalg.qr(torch.randn(9, 4, dtype=torch.float64)).Q
    v_DK = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    turn_KK = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    sigma_K = torch.tensor([4.0, 2.0, 1.0, 0.5], dtype=torch.float64)
    balanced = (u_NK * sigma_K.sqrt() @ turn_KK, turn_KK.t() @ (v_DK * sigma_K.sqrt()).t())
    for i in range(4):
        for j in range(4):
            component_ND = torch.outer(u_NK[:, i], v_DK[:, j])
            first_ND, _ = SGDRule(balanced, torch.arange(9), component_ND, 0.1).block(0, 9)
            torch.testing.assert_close(first_ND, -0.1 * (sigma_K[i] + sigma_K[j]) * component_ND)


def test_nothing_moved_has_no_ratio() -> None:
    table = (torch.ones(5, 2),)
    found = compare_step(table, table, torch.tensor([1, 3]), torch.zeros(2, 2), 0.1)
    assert (found["held_rms"], found["absent_rms"]) == (0, 0)
    assert {found[name] for name in ("absent_share", "cosine", "error", "first_order_error")} == {None}
