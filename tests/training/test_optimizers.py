"""Row-wise optimizers against PyTorch's dense ones on nn.Embedding and nn.Linear."""

import pytest
import torch
from torch import nn

from mlet_bench.config import EMBEDDINGS, EmbConfig, TrainConfig
from mlet_bench.embedding import MLETEmbedding, SingleEmbedding
from mlet_bench.embedding.mlet_frozen import FrozenMLETEmbedding
from mlet_bench.models.base import CTRModel
from mlet_bench.training.optimizers import Optimizers
from tests import conftest

OWN_ROWS = ["single", "mlet", "mlet_frozen"]
"""Modes in which every id has a row of its own."""

CARDINALITIES = (30, 4)
STEPS = 50


class Toy(CTRModel):
    """The logit is a weighted sum of the vectors."""

    def __init__(self, embedding: nn.Module) -> None:
        super().__init__(embedding)
        self.out_FD = nn.Parameter(torch.randn(2, 3))

    def forward(self, ids_BF: torch.Tensor, numeric_BN: torch.Tensor) -> torch.Tensor:
        return (self.embedding(ids_BF) * self.out_FD).sum((1, 2))


class Slow(nn.Module):
    """The same with nn.Embedding and, for MLET, a product of two matrices."""

    def __init__(self, toy: Toy) -> None:
        super().__init__()
        emb = toy.embedding
        self.factorised = isinstance(emb, MLETEmbedding)
        weight_VW = emb.w1.weight if self.factorised else emb.table.weight
        self.table = nn.Embedding.from_pretrained(weight_VW.clone(), freeze=False)
        self.w2_FKD = None
        if self.factorised:
            self.w2_FKD = nn.Parameter(emb.w2_FKD.detach().clone(), requires_grad=emb.w2_FKD.requires_grad)
        self.out_FD = nn.Parameter(toy.out_FD.detach().clone())

    def vectors(self, ids_BF: torch.Tensor) -> torch.Tensor:
        rows_BFW = self.table(ids_BF + torch.tensor([0, CARDINALITIES[0]]))
        return torch.einsum("bfk,fkd->bfd", rows_BFW, self.w2_FKD) if self.factorised else rows_BFW

    def forward(self, ids_BF: torch.Tensor) -> torch.Tensor:
        return (self.vectors(ids_BF) * self.out_FD).sum((1, 2))

    def l2(self, on: str) -> torch.Tensor:
        if self.factorised and on == "factors":
            return self.table.weight.square().sum() + self.w2_FKD.square().sum()
        if not self.factorised:
            return self.table.weight.square().sum()
        first, second = self.table.weight.split(CARDINALITIES)
        return (first @ self.w2_FKD[0]).square().sum() + (second @ self.w2_FKD[1]).square().sum()


def toy(mode: str) -> Toy:
    torch.manual_seed(3)
    if mode == "single":
        return Toy(SingleEmbedding.from_weights(CARDINALITIES, torch.randn(34, 3)))
    product = FrozenMLETEmbedding if mode == "mlet_frozen" else MLETEmbedding
    return Toy(product.from_weights(CARDINALITIES, torch.randn(34, 5), torch.randn(2, 5, 3)))


def train_config(**changes: object) -> TrainConfig:
    return conftest.train_config(**{"batch_size": 8, "lr": 0.01, "update": "exact", "patience": None, **changes})


def emb_config(mode: str, **changes: object) -> EmbConfig:
    values = {"mode": mode, "dim": 3, "inner": 5, "lr": None, "l2": 0.0, "l2_on": "product", "l2_rows": "batch",
              "init_std": None, **changes}  # fmt: skip
    return EMBEDDINGS[mode].model_validate(values)


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(5)
    return [
        (torch.stack([torch.randint(n, (8,), generator=generator) for n in CARDINALITIES], 1),
         torch.randint(2, (8,), generator=generator).float())
        for _ in range(STEPS)
    ]  # fmt: skip


def run_fast(model: Toy, train: TrainConfig, emb: EmbConfig) -> None:
    optimizers = Optimizers(model, train, emb)
    for ids_BF, label_B in batches():
        loss = nn.functional.binary_cross_entropy_with_logits(model(ids_BF, torch.empty(8, 0)), label_B)
        penalty = optimizers.batch_penalty()
        (loss if penalty is None else loss + penalty).backward()
        optimizers.step()
        optimizers.clear()


def run_slow(slow: Slow, optimiser: torch.optim.Optimizer, l2: float = 0.0, on: str = "product") -> None:
    for ids_BF, label_B in batches():
        loss = nn.functional.binary_cross_entropy_with_logits(slow(ids_BF), label_B) + l2 / 2 * slow.l2(on)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def assert_same(model: Toy, slow: Slow) -> None:
    emb = model.embedding
    fast_VW = emb.w1.weight if slow.factorised else emb.table.weight
    torch.testing.assert_close(fast_VW.data, slow.table.weight.data, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.out_FD, slow.out_FD, rtol=1e-4, atol=1e-5)
    if slow.factorised:
        torch.testing.assert_close(emb.w2_FKD, slow.w2_FKD, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", OWN_ROWS)
@pytest.mark.parametrize(("l2", "on"), [(0.0, "product"), (0.1, "product"), (0.1, "factors")])
def test_exact_adam_follows_the_dense_optimiser(mode: str, l2: float, on: str) -> None:
    model = toy(mode)
    slow = Slow(model)
    run_slow(slow, torch.optim.Adam(slow.parameters(), lr=0.01), l2, on)
    run_fast(model, train_config(), emb_config(mode, l2=l2, l2_on=on, l2_rows="table"))
    assert_same(model, slow)


@pytest.mark.parametrize("mode", OWN_ROWS)
@pytest.mark.parametrize("update", ["exact", "lazy"])
def test_sgd_is_row_sparse_by_nature(mode: str, update: str) -> None:
    model = toy(mode)
    slow = Slow(model)
    run_slow(slow, torch.optim.SGD(slow.parameters(), lr=0.5))
    run_fast(model, train_config(optimizer="sgd", lr=0.5, update=update), emb_config(mode))
    assert_same(model, slow)


@pytest.mark.parametrize("mode", OWN_ROWS)
@pytest.mark.parametrize("update", ["exact", "lazy"])
def test_adagrad_is_that_of_pytorch_in_either_update(mode: str, update: str) -> None:
    model = toy(mode).double()
    slow = Slow(model)
    run_slow(slow, torch.optim.Adagrad(slow.parameters(), lr=0.05))
    run_fast(model, train_config(optimizer="adagrad", lr=0.05, update=update), emb_config(mode))
    tables = {"single": "embedding.table.weight"}
    moved = model.state_dict()
    torch.testing.assert_close(
        moved[tables.get(mode, "embedding.w1.weight")], slow.table.weight.data, rtol=0, atol=1e-10
    )
    torch.testing.assert_close(model.out_FD, slow.out_FD, rtol=0, atol=1e-10)
    if slow.factorised:
        torch.testing.assert_close(model.embedding.w2_FKD, slow.w2_FKD, rtol=0, atol=1e-10)


@pytest.mark.parametrize("mode", OWN_ROWS)
def test_rowwise_adagrad_is_the_same_lazy_and_exact(mode: str) -> None:
    lazy, exact = toy(mode), toy(mode)
    run_fast(lazy, train_config(optimizer="rowwise_adagrad", update="lazy"), emb_config(mode))
    run_fast(exact, train_config(optimizer="rowwise_adagrad", update="exact"), emb_config(mode))
    for name, value in lazy.state_dict().items():
        torch.testing.assert_close(value, exact.state_dict()[name])


def test_rowwise_adagrad_against_its_formula() -> None:
    model = toy("single")
    expected_VW = model.embedding.table.weight.detach().clone()
    sum_V = torch.zeros(34)
    optimizers = Optimizers(model, train_config(optimizer="rowwise_adagrad", lr=0.1), emb_config("single"))
    for ids_BF, label_B in batches():
        nn.functional.binary_cross_entropy_with_logits(model(ids_BF, torch.empty(8, 0)), label_B).backward()
        grad_VW = model.embedding.table.densify().clone()
        sum_V += grad_VW.square().mean(1)
        touched = sum_V > 0
        expected_VW[touched] -= 0.1 * grad_VW[touched] / (sum_V[touched].sqrt() + 1e-8)[:, None]
        optimizers.step()
        optimizers.clear()
    torch.testing.assert_close(model.embedding.table.weight.data, expected_VW)


def test_small_gradients_move_lazy_rows_as_adam_and_not_as_sparse_adam() -> None:
    """SparseAdam adds epsilon before the bias correction, Adam and we after it."""
    weights = {}
    for kind in ("lazy", "adam", "sparse"):
        table = nn.Embedding.from_pretrained(torch.ones(1, 1), freeze=False, sparse=kind == "sparse")
        if kind == "lazy":
            model = Toy(SingleEmbedding.from_weights([1, 1], torch.ones(2, 3)))
            ours = Optimizers(model, train_config(lr=0.01, update="lazy"), emb_config("single"))
        theirs = (torch.optim.SparseAdam if kind == "sparse" else torch.optim.Adam)(table.parameters(), lr=0.01)
        for _ in range(10):
            if kind == "lazy":
                (model.embedding(torch.zeros(1, 2, dtype=torch.long))[0, 0, 0] * 1e-7).backward()
                ours.step()
                ours.clear()
            else:
                theirs.zero_grad()
                (table(torch.zeros(1, dtype=torch.long)).sum() * 1e-7).backward()
                theirs.step()
        weights[kind] = model.embedding.table.weight[0, 0].item() if kind == "lazy" else table.weight.item()
    assert weights["lazy"] == pytest.approx(weights["adam"], abs=1e-6)
    assert abs(weights["sparse"] - weights["adam"]) > 0.01


def test_lazy_adam_is_sparse_adam_for_gradients_of_usual_size() -> None:
    model = toy("single")
    slow = nn.Embedding.from_pretrained(model.embedding.table.weight.detach().clone(), freeze=False, sparse=True)
    out_FD = nn.Parameter(model.out_FD.detach().clone())
    sparse, dense = torch.optim.SparseAdam([slow.weight], lr=0.01), torch.optim.Adam([out_FD], lr=0.01)
    for ids_BF, label_B in batches():
        logit_B = (slow(ids_BF + torch.tensor([0, 30])) * out_FD).sum((1, 2))
        sparse.zero_grad()
        dense.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(logit_B, label_B).backward()
        sparse.step()
        dense.step()
    run_fast(model, train_config(update="lazy"), emb_config("single"))
    torch.testing.assert_close(model.embedding.table.weight.data, slow.weight.data, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["single", "mlet"])
@pytest.mark.parametrize("update", ["exact", "lazy"])
def test_absent_rows_stay_under_lazy_updates_only(mode: str, update: str) -> None:
    model = toy(mode)
    table = model.embedding.tables()[0]
    optimizers = Optimizers(model, train_config(update=update), emb_config(mode))
    for ids_BF in (torch.tensor([[1, 1]]), torch.tensor([[2, 2]])):
        before_W = table.weight[1].clone()
        model(ids_BF, torch.empty(1, 0)).sum().backward()
        optimizers.step()
        optimizers.clear()
    moved = not torch.equal(table.weight[1], before_W)  # row 1 is absent from the second step
    assert moved == (update == "exact")


@pytest.mark.parametrize("on", ["factors", "product"])
def test_batch_l2_acts_on_the_different_rows_once(on: str) -> None:
    model = toy("mlet")
    optimizers = Optimizers(model, train_config(), emb_config("mlet", l2=0.5, l2_on=on))
    model(torch.tensor([[1, 2], [1, 3]]), torch.empty(2, 0))
    w1_VK, w2_FKD = model.embedding.w1.weight, model.embedding.w2_FKD
    product = (w1_VK[[1]] @ w2_FKD[0]).square().sum() + (w1_VK[[32, 33]] @ w2_FKD[1]).square().sum()
    factors = w1_VK[[1, 32, 33]].square().sum() + w2_FKD.square().sum()
    expected = 0.25 * (product if on == "product" else factors)
    torch.testing.assert_close(optimizers.batch_penalty(), expected)


def test_embedding_learning_rate_moves_both_factors_alone() -> None:
    slow_emb, fast_emb = toy("mlet"), toy("mlet")
    start = toy("mlet")
    for model, lr in ((slow_emb, 1e-9), (fast_emb, 0.1)):
        optimizers = Optimizers(model, train_config(), emb_config("mlet", lr=lr))
        model(torch.tensor([[1, 2]]), torch.empty(1, 0)).sum().backward()
        optimizers.step()
        optimizers.clear()
    torch.testing.assert_close(slow_emb.out_FD, fast_emb.out_FD)
    torch.testing.assert_close(slow_emb.embedding.w2_FKD, start.embedding.w2_FKD)
    assert not torch.allclose(fast_emb.embedding.w2_FKD, start.embedding.w2_FKD)


def test_state_round_trip() -> None:
    first, second = toy("mlet"), toy("mlet")
    trained = Optimizers(first, train_config(), emb_config("mlet"))
    model_step(first, trained)
    other = Optimizers(second, train_config(), emb_config("mlet"))
    second.load_state_dict(first.state_dict())
    other.load_state({name: value.clone() for name, value in trained.state().items()})
    model_step(first, trained)
    model_step(second, other)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


def model_step(model: Toy, optimizers: Optimizers) -> None:
    model(torch.tensor([[1, 2], [4, 0]]), torch.empty(2, 0)).sum().backward()
    optimizers.step()
    optimizers.clear()
