"""Fast lookup, projection and collapse against nn.Embedding and nn.Linear."""

import pytest
import torch
from torch import nn

from mlet_bench.config import EMBEDDINGS, EmbConfig
from mlet_bench.embedding import MLETEmbedding, SingleEmbedding, build
from mlet_bench.embedding.rows import _Project

CARDINALITIES = (7, 1, 40, 3)
IDS = {
    "repeated": [[1, 0, 5, 2], [1, 0, 5, 2], [6, 0, 0, 0]],
    "one row": [[3, 0, 39, 1]],
    "unsorted": [[6, 0, 39, 2], [0, 0, 0, 0], [3, 0, 17, 1]],
    "all rows": [[i % 7, 0, i, i % 3] for i in range(40)],
    "no rows": torch.empty(0, 4, dtype=torch.int64).tolist(),
}


def ids_of(name: str) -> torch.Tensor:
    return torch.tensor(IDS[name], dtype=torch.int32).reshape(-1, 4)


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("inner", [1, 5, 12])
def test_mlet_equals_embedding_then_linear(name: str, inner: int) -> None:
    torch.manual_seed(0)
    dim = 5
    emb = MLETEmbedding.from_weights(CARDINALITIES, torch.randn(sum(CARDINALITIES), inner), torch.randn(4, inner, dim))
    ids_BF = ids_of(name)
    slow = slow_mlet(emb, inner, dim)
    emb_BFD = emb(ids_BF)
    expected_BFD = torch.stack([linear(table(ids_BF[:, f].long())) for f, (table, linear) in enumerate(slow)], 1)
    torch.testing.assert_close(emb_BFD, expected_BFD)
    if not len(ids_BF):
        return
    weight_BFD = torch.randn_like(emb_BFD)
    (emb_BFD * weight_BFD).sum().backward()
    (expected_BFD * weight_BFD).sum().backward()
    grad_VK = torch.cat([table.weight.grad for table, _ in slow])
    torch.testing.assert_close(emb.w1.weight.grad, grad_VK)
    torch.testing.assert_close(emb.w2_FKD.grad, torch.stack([linear.weight.grad.t() for _, linear in slow]))


def slow_mlet(emb: MLETEmbedding, inner: int, dim: int) -> list[tuple[nn.Embedding, nn.Linear]]:
    bounds, slow = emb.fields.bounds, []
    for f, rows in enumerate(CARDINALITIES):
        table, linear = nn.Embedding(rows, inner), nn.Linear(inner, dim, bias=False)
        table.weight.data = emb.w1.weight[bounds[f] : bounds[f + 1]].clone()
        linear.weight.data = emb.w2_FKD[f].detach().t().clone()
        slow.append((table, linear))
    return slow


@pytest.mark.parametrize("name", IDS)
def test_single_equals_embedding(name: str) -> None:
    torch.manual_seed(0)
    emb = SingleEmbedding.from_weights(CARDINALITIES, torch.randn(sum(CARDINALITIES), 5))
    table = nn.Embedding.from_pretrained(emb.table.weight.detach().clone(), freeze=False)
    ids_BF = ids_of(name)
    emb_BFD, expected_BFD = emb(ids_BF), table(ids_BF + emb.fields.offsets[:-1])
    assert torch.equal(emb_BFD, expected_BFD)
    if len(ids_BF):
        emb_BFD.square().sum().backward()
        expected_BFD.square().sum().backward()
        torch.testing.assert_close(emb.table.weight.grad, table.weight.grad)


def test_projection_gradient_in_float64() -> None:
    torch.manual_seed(0)
    rows_UK = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    w2_FKD = torch.randn(3, 3, 2, dtype=torch.float64, requires_grad=True)
    segments = [0, 2, 2, 6]  # the middle field has no row in the batch
    assert torch.autograd.gradcheck(lambda rows, w2: _Project.apply(rows, w2, segments), (rows_UK, w2_FKD))


OWN_ROWS = ["single", "mlet", "mlet_frozen"]
"""Modes in which every id has a row of its own."""


def config(mode: str, **changes: object) -> EmbConfig:
    values = {"mode": mode, "dim": 16, "inner": 64, "lr": None, "l2": 0.0, "l2_on": "product", "l2_rows": "batch",
              "init_std": None, **changes}  # fmt: skip
    return EMBEDDINGS[mode].model_validate(values)


@pytest.mark.parametrize("inner", [1, 8, 16, 64])
def test_product_starts_with_the_variance_of_the_standard_embedding(inner: int) -> None:
    cardinalities = (2_000, 50_000)
    seen_V = torch.ones(sum(cardinalities), dtype=torch.bool)
    torch.manual_seed(0)
    single = build(config("single"), cardinalities, seen_V).collapse().table.weight.detach()
    product = build(config("mlet", inner=inner), cardinalities, seen_V).collapse().table.weight.detach()
    for field, tolerance in ((slice(0, 2_000), 0.1), (slice(2_000, 52_000), 0.03)):
        assert product[field].var() / single[field].var() == pytest.approx(1, abs=tolerance)


def test_the_papers_start() -> None:
    """W1 as Glorot, W2 normal with the deviation that is asked for, whatever k."""
    rows, inner = 40_000, 64
    torch.manual_seed(0)
    emb = build(config("mlet", inner=inner, table_init="glorot", inner_std=0.25), (rows, 2))
    assert isinstance(emb, MLETEmbedding)
    w1_NK = emb.w1.weight[:rows]
    assert w1_NK.std().item() == pytest.approx((2 / (rows + inner)) ** 0.5, rel=0.01)
    assert w1_NK.abs().max().item() <= (6 / (rows + inner)) ** 0.5
    assert emb.w2_FKD.std().item() == pytest.approx(0.25, rel=0.05)
    single = build(config("single", table_init="glorot", inner_std=0.25), (rows, 2))
    assert single.collapse().table.weight[:rows].std().item() == pytest.approx((2 / (rows + 16)) ** 0.5, rel=0.01)


def test_two_starts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"emb.init_std=0.1 and emb.table_init=glorot: give one of them"):
        config("single", table_init="glorot", init_std=0.1)


@pytest.mark.parametrize("mode", OWN_ROWS)
def test_unseen_category_is_a_zero_vector(mode: str) -> None:
    seen_V = torch.tensor([False, True, True, False, True])
    emb = build(config(mode), (3, 2), seen_V)
    emb_BFD = emb(torch.tensor([[0, 0], [1, 1]]))
    assert torch.equal(emb_BFD[0], torch.zeros(2, 16))
    assert (emb_BFD[1] != 0).all()


@pytest.mark.parametrize("mode", OWN_ROWS)
def test_collapse_is_a_new_single_embedding_with_the_same_vectors(mode: str) -> None:
    torch.manual_seed(0)
    seen_V = torch.ones(sum(CARDINALITIES), dtype=torch.bool)
    emb = build(config(mode), CARDINALITIES, seen_V)
    collapsed = emb.collapse()
    assert type(collapsed) is SingleEmbedding
    torch.testing.assert_close(collapsed(ids_of("all rows")), emb(ids_of("all rows")))
    before = emb(ids_of("all rows")).clone()
    with torch.no_grad():
        collapsed.table.weight.zero_()
    assert torch.equal(emb(ids_of("all rows")), before)
    SingleEmbedding.empty(CARDINALITIES, 16).load_state_dict(collapsed.state_dict(), strict=True)
