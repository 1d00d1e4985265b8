"""Hashed rows: one table, or MLET, over rows that ids share, against a slow reference."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mlet_bench.config import EMBEDDINGS
from mlet_bench.config.emb import HashEmbConfig, single_of
from mlet_bench.config.emb_base import EmbConfig
from mlet_bench.embedding import Embedding, HashedFields, MLETEmbedding, SingleEmbedding, build, empty_served
from mlet_bench.embedding.collapse import collapse
from mlet_bench.embedding.hash import hashed_rows
from mlet_bench.embedding.rows import FieldOffsets, PlacedRows
from mlet_bench.errors import UserError
from mlet_bench.training.optimizers import Optimizers
from tests.conftest import train_config
from tests.training.test_optimizers import Toy

CARDINALITIES = (30, 4)
IDS_BF = torch.tensor([[0, 0], [1, 3], [8, 2], [15, 1], [29, 3]])


def config(mode: str = "hash", **changes: Any) -> EmbConfig:
    values = {"mode": mode, "dim": 3, "inner": None, "lr": None, "l2": 0.0, "l2_on": "product", "l2_rows": "batch",
              "init_std": 0.5, **({"ratio": 0.353, "min_rows": 5} if mode == "hash" else {}), **changes}  # fmt: skip
    return EMBEDDINGS[mode].model_validate(values)


def slow_row(field: int, i: int) -> int:
    """Of a first field of 8 rows, and of a second one that stays whole behind it."""
    if field == 1:
        return 8 + i
    return 0 if i == 0 else 1 + (i - 1) % 7


def slow_vectors(emb: Embedding, ids_BF: Tensor) -> Tensor:
    rows = torch.tensor([[slow_row(field, int(i)) for field, i in enumerate(ids_F)] for ids_F in ids_BF])
    if isinstance(emb, SingleEmbedding):
        return emb.table.weight[rows]
    assert isinstance(emb, MLETEmbedding)
    return torch.stack([emb.w1.weight[rows[:, field]] @ emb.w2_FKD[field] for field in range(2)], 1)


@pytest.mark.parametrize("inner", [None, 5])
def test_vectors_and_gradients_equal_the_slow_reference(inner: int | None) -> None:
    torch.manual_seed(0)
    emb = build(config(inner=inner), CARDINALITIES)
    assert [len(table.weight) for table in emb.tables()] == [12]
    out_D = torch.randn(3)
    (emb(IDS_BF) @ out_D).square().sum().backward()
    gradients = [p.grad.clone() for p in emb.parameters() if p.grad is not None]
    emb.zero_grad()
    torch.testing.assert_close(emb(IDS_BF), slow_vectors(emb, IDS_BF))
    (slow_vectors(emb, IDS_BF) @ out_D).square().sum().backward()
    for gradient, p in zip(gradients, emb.parameters(), strict=True):
        torch.testing.assert_close(gradient, p.grad)


@pytest.mark.parametrize("inner", [None, 5])
@pytest.mark.parametrize("optimizer", ["adam", "adagrad", "sgd"])
def test_row_optimisers_move_shared_rows_as_the_dense_ones(inner: int | None, optimizer: str) -> None:
    dense_of = {"adam": torch.optim.Adam, "adagrad": torch.optim.Adagrad, "sgd": torch.optim.SGD}[optimizer]
    torch.manual_seed(0)
    model, slow = (Toy(build(config(inner=inner), CARDINALITIES)) for _ in range(2))
    slow.load_state_dict(model.state_dict())
    ours = Optimizers(model, train_config(optimizer=optimizer, lr=0.05, update="exact"), config(inner=inner))
    theirs = dense_of(slow.parameters(), lr=0.05)
    for seed in range(20):
        ids_BF = torch.randint(0, 4, (9, 2), generator=torch.Generator().manual_seed(seed)) * torch.tensor([7, 1])
        for both in (model, slow):
            nn.functional.softplus(both(ids_BF, torch.empty(9, 0))).sum().backward()
        ours.step()
        theirs.step()
        ours.clear()
        theirs.zero_grad()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, slow.state_dict()[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inner", [None, 5])
def test_collapse_is_a_hashed_table_with_the_same_vectors(inner: int | None) -> None:
    torch.manual_seed(0)
    emb = build(config(inner=inner), CARDINALITIES)
    served = emb.collapse()
    assert isinstance(served, SingleEmbedding)
    assert served.table.weight.shape == (12, 3)
    torch.testing.assert_close(served(IDS_BF), emb(IDS_BF))
    empty = empty_served(config(inner=inner), CARDINALITIES)
    empty.load_state_dict(served.state_dict(), strict=True)
    assert torch.equal(empty(IDS_BF), served(IDS_BF))
    tables = served.to_nn_embeddings()
    plain_BFD = torch.stack([table(IDS_BF[:, field]) for field, table in enumerate(tables)], 1)
    assert torch.equal(plain_BFD, served(IDS_BF))


def test_a_row_for_every_id_is_the_standard_embedding_bit_for_bit() -> None:
    torch.manual_seed(0)
    hashed = build(config(ratio=1.0), CARDINALITIES)
    torch.manual_seed(0)
    single = build(config("single"), CARDINALITIES)
    assert torch.equal(hashed(IDS_BF), single(IDS_BF))


def test_rows_that_training_reads_for_none_of_their_ids_are_zero() -> None:
    seen_V = torch.zeros(34, dtype=torch.bool)
    seen_V[[3, 10, 30]] = True  # of the first field ids 3 and 10, which share row 3; of the second id 0
    emb = build(config(), CARDINALITIES, seen_V)
    nonzero = emb.tables()[0].weight.abs().sum(1).nonzero().flatten().tolist()
    assert nonzero == [3, 8]


@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.29, 0.1, 0.01])
def test_numbers_served_are_the_ratio_of_the_standard_embeddings(ratio: float) -> None:
    cardinalities = [100_000, 40, 250_000, 947, 13]
    rows = hashed_rows(cardinalities, ratio, 1000)
    assert sum(rows) == round(ratio * 351_000)
    assert [rows[1], *rows[3:]] == [40, 947, 13]
    assert rows[0] / 100_000 == pytest.approx(rows[2] / 250_000, rel=0.01)


@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.1, 0.006])
def test_a_cap_shrinks_the_largest_fields_alone(ratio: float) -> None:
    cardinalities = [100_000, 40, 250_000, 947, 13]
    rows = hashed_rows(cardinalities, ratio, 20, "cap")
    assert sum(rows) == round(ratio * 351_000)
    cap = max(rows)
    assert all(count in (min(ids, cap), min(ids, cap - 1)) for ids, count in zip(cardinalities, rows, strict=True))
    assert rows[4] == 13


def test_where_a_cap_shrinks_no_field_the_table_is_the_single_one() -> None:
    assert hashed_rows([5, 9, 2], 1.0, 0, "cap") == [5, 9, 2]
    assert hashed_rows([5, 9, 2], 0.4, 0, "cap") == [2, 2, 2]
    assert hashed_rows([5, 9, 3], 0.59, 0, "cap") == [4, 3, 3]


def test_the_smallest_ratio_is_two_rows_a_field_and_less_is_refused_with_it() -> None:
    assert hashed_rows([900, 50, 50], 0.006, 0) == [2, 2, 2]
    assert hashed_rows([989, 10, 1], 0.013, 11) == [2, 10, 1]
    assert hashed_rows([3, 1, 2], 5 / 6, 0) == [2, 1, 2]
    with pytest.raises(UserError, match=r"emb.ratio=0.012: .* emb.min_rows=11 ids stay whole; .*: 0.013 to 1$"):
        hashed_rows([989, 10, 1], 0.012, 11)


@pytest.mark.parametrize("rows", [[31, 4], [1, 4]])
def test_rows_that_no_hashing_gives_are_refused(rows: list[int]) -> None:
    with pytest.raises(ValueError, match=r"rows=.*: allowed for each field: 2 to its cardinality"):
        HashedFields([30, 4], rows)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize("l2_on", ["factors", "product"])
@pytest.mark.parametrize("inner", [None, 5])
def test_l2_is_that_of_the_shared_rows(
    inner: int | None, l2_on: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of a batch once each, however many of its ids share them; on a GPU a row for each place."""
    if device == "gpu":
        monkeypatch.setattr(
            FieldOffsets, "new_batch_rows", lambda self, ids_BF: PlacedRows(self.rows(ids_BF), self.offsets)
        )
    own = config(inner=inner, l2=0.1, l2_on=l2_on)
    model = Toy(build(own, CARDINALITIES))
    optimizers = Optimizers(model, train_config(optimizer="sgd", update="lazy"), own)
    model(IDS_BF, torch.empty(5, 0))
    emb = model.embedding
    of_field = [sorted({slow_row(field, int(i)) for i in IDS_BF[:, field]}) for field in (0, 1)]
    if inner is None:
        expected = sum(emb.table.weight[rows].square().sum() for rows in of_field)
    elif l2_on == "product":
        expected = sum((emb.w1.weight[rows] @ emb.w2_FKD[field]).square().sum() for field, rows in enumerate(of_field))
    else:
        expected = sum(emb.w1.weight[rows].square().sum() for rows in of_field) + emb.w2_FKD.square().sum()
    torch.testing.assert_close(optimizers.batch_penalty(), 0.05 * expected)


def test_without_inner_the_keys_of_factors_make_the_same_run() -> None:
    given = config(l2_on="factors", inner_std=0.5)
    assert given == config()
    assert config(inner=5, l2_on="factors", inner_std=0.5).inner_std == 0.5


def test_hashed_rows_in_the_library() -> None:
    emb = MLETEmbedding(HashedFields([30, 4], rows=[8, 4]), dim=3, inner=5)
    plain = collapse(nn.Sequential(emb))[0]
    torch.testing.assert_close(plain(IDS_BF), slow_vectors(emb, IDS_BF))
    plain.fields.to("meta")
    assert emb.fields.offsets.device.type == "cpu"  # a copy's rows are its own


def test_the_mode_has_no_section_but_its_own() -> None:
    assert type(config()) is HashEmbConfig
    assert single_of(config()).mode == "single"
