"""Rows that a step reads: shared by tables, added up over passes, left behind by copies, and placed as on a GPU."""

import copy

import pytest
import torch
from torch import Tensor, nn

from mlet_bench.embedding import MLETEmbedding, SingleEmbedding
from mlet_bench.embedding.rows import FieldOffsets, PlacedRows, SharedRows, UniqueRows
from mlet_bench.models.fm import FM, FMSettings
from mlet_bench.training.adam import adam_, fused_adam_, plain_adam_
from mlet_bench.training.optimizers import Optimizers
from tests.training.test_optimizers import emb_config, train_config

CARDINALITIES = (7, 1, 40)
IDS_BF = torch.tensor([[1, 0, 5], [1, 0, 5], [6, 0, 39], [1, 0, 0]], dtype=torch.int32)


def model(mode: str) -> FM:
    """With first-order weights beside the embedding, in float64."""
    generator = torch.Generator().manual_seed(3)
    torch.manual_seed(3)
    embedding = (
        MLETEmbedding(CARDINALITIES, dim=3, inner=5, generator=generator)
        if mode == "mlet"
        else SingleEmbedding(CARDINALITIES, dim=3, generator=generator)
    )
    return FM(embedding, 0, FMSettings()).double()


def loss(fm: nn.Module, ids_BF: Tensor) -> Tensor:
    logit_B: Tensor = fm(ids_BF, torch.empty(len(ids_BF), 0, dtype=torch.float64))
    return (logit_B * torch.arange(1, len(ids_BF) + 1)).sum()


@pytest.fixture
def placed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows as a GPU has them: one for each place."""
    monkeypatch.setattr(
        FieldOffsets, "new_batch_rows", lambda self, ids_BF: PlacedRows(self.rows(ids_BF), self.offsets)
    )


def test_tables_of_equal_fields_sort_the_ids_of_a_step_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    monkeypatch.setattr(
        FieldOffsets,
        "new_batch_rows",
        lambda self, ids_BF: found.append(1) or UniqueRows(self.rows(ids_BF), self.offsets),
    )
    fm = model("mlet")
    optimizers = Optimizers(fm, train_config(update="lazy"), emb_config("mlet"))
    for _ in range(3):
        loss(fm, IDS_BF.clone()).backward()
        optimizers.step()
        optimizers.clear()
    assert len(found) == 3


def test_ids_that_were_changed_in_place_are_looked_at_anew() -> None:
    shared, fields, ids_BF = SharedRows(), FieldOffsets(CARDINALITIES), IDS_BF.clone()
    first = shared.batch_rows(fields, ids_BF)
    assert shared.batch_rows(fields, ids_BF) is first
    ids_BF[0, 0] = 2
    assert 2 in shared.batch_rows(fields, ids_BF).rows_U


@pytest.mark.parametrize("mode", ["single", "mlet"])
def test_evaluation_neither_sorts_nor_finds_different_rows(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fm = model(mode)
    Optimizers(fm, train_config(update="lazy"), emb_config(mode))
    for name in ("sort", "nonzero", "unique", "argsort"):
        monkeypatch.setattr(Tensor, name, lambda *_, **__: pytest.fail("sorted"))
    with torch.no_grad():
        fm.eval()
        loss(fm, IDS_BF)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adagrad", "rowwise_adagrad"])
@pytest.mark.parametrize("mode", ["single", "mlet"])
def test_gradients_of_several_passes_add_up(mode: str, optimizer: str) -> None:
    whole, parts = model(mode), model(mode)
    for fm, batches in ((whole, [IDS_BF]), (parts, [IDS_BF[:3], IDS_BF[3:]])):
        optimizers = Optimizers(fm, train_config(update="lazy", optimizer=optimizer), emb_config(mode))
        for _ in range(3):
            start = 0
            for ids_BF in batches:
                logit_B = fm(ids_BF, torch.empty(len(ids_BF), 0, dtype=torch.float64))
                weight_B = torch.arange(1, len(IDS_BF) + 1)[start : start + len(ids_BF)]
                (logit_B * weight_B).sum().backward()
                start += len(ids_BF)
            optimizers.step()
            optimizers.clear()
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(value, parts.state_dict()[name])


@pytest.mark.parametrize("clip_norm", [None, 0.3])
@pytest.mark.parametrize("update", ["lazy", "exact"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adagrad", "rowwise_adagrad"])
@pytest.mark.parametrize("mode", ["single", "mlet"])
def test_a_row_for_each_place_gives_what_different_rows_give(
    mode: str, optimizer: str, update: str, clip_norm: float | None, request: pytest.FixtureRequest
) -> None:
    trained = []
    for on_gpu in (False, True):
        if on_gpu:
            request.getfixturevalue("placed")
        fm = model(mode)
        config = train_config(update=update, optimizer=optimizer, clip_norm=clip_norm)
        optimizers = Optimizers(fm, config, emb_config(mode, l2=0.1))
        for ids_BF in (IDS_BF, IDS_BF.flip(0), IDS_BF[1:]):
            total = loss(fm, ids_BF)
            penalty = optimizers.batch_penalty()
            (total if penalty is None else total + penalty).backward()
            optimizers.step()
            optimizers.clear()
        trained.append(fm.state_dict())
    for name, value in trained[0].items():
        torch.testing.assert_close(value, trained[1][name])


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adagrad", "rowwise_adagrad"])
@pytest.mark.parametrize("mode", ["single", "mlet"])
def test_a_skipped_step_leaves_weights_and_state(mode: str, optimizer: str) -> None:
    fm = model(mode)
    optimizers = Optimizers(fm, train_config(update="lazy", optimizer=optimizer), emb_config(mode))
    skip = torch.tensor(False)
    optimizers.skip_from(skip)
    weights = [fm.state_dict()]
    for skipped in (False, True):
        skip.fill_(skipped)
        weights.append({name: value.clone() for name, value in fm.state_dict().items()})
        (loss(fm, IDS_BF) * (float("nan") if skipped else 1)).backward()
        optimizers.step()
        optimizers.clear()
    before, moved = weights[1], weights[2]
    assert any(not torch.equal(before[name], value) for name, value in moved.items())
    for name, value in fm.state_dict().items():
        assert torch.equal(value, moved[name]), name
    for name, value in optimizers.state().items():
        assert value.isfinite().all(), name


@pytest.mark.parametrize("mode", ["single", "mlet"])
def test_a_copy_after_a_forward_pass_is_a_model_of_its_own(mode: str) -> None:
    fm = model(mode)
    Optimizers(fm, train_config(), emb_config(mode))
    loss(fm, IDS_BF)
    copied = copy.deepcopy(fm)
    assert all(table.step is None for part in copied.modules() if hasattr(part, "tables") for table in part.tables())
    loss(copied, IDS_BF).backward()
    assert all(p.grad is not None for p in copied.embedding.parameters())


def test_finished_tables_are_ordinary_parameters_again() -> None:
    fm = model("mlet")
    optimizers = Optimizers(fm, train_config(), emb_config("mlet"))
    loss(fm, IDS_BF).backward()
    assert fm.embedding.w1.weight.grad is None
    optimizers.step()
    optimizers.finish()
    loss(fm, IDS_BF).backward()
    assert fm.embedding.w1.weight.grad is not None


def test_frozen_tables_stay() -> None:
    fm = model("single")
    fm.embedding.table.weight.requires_grad_(False)
    before = fm.embedding.table.weight.clone()
    optimizers = Optimizers(fm, train_config(update="lazy"), emb_config("single"))
    loss(fm, IDS_BF).backward()
    optimizers.step()
    assert torch.equal(fm.embedding.table.weight, before)


def test_without_the_fused_function_adam_follows_its_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fused_adam_ is not None
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(4, 3, generator=generator) for _ in range(2)] + [torch.zeros(4, 3) for _ in range(2)]
    fused, plain = [value.clone() for value in start], [value.clone() for value in start]
    for number in range(1, 4):
        fused[1] = plain[1] = torch.randn(4, 3, generator=generator)
        adam_(*fused, torch.tensor(float(number)), 0.1)
        with monkeypatch.context() as patch:
            patch.setattr("mlet_bench.training.adam.fused_adam_", None)
            adam_(*plain, torch.tensor(float(number)), 0.1)
    for value, expected in zip(plain, fused, strict=True):
        torch.testing.assert_close(value, expected)
    assert plain_adam_ is not fused_adam_
