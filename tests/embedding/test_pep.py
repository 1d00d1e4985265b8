"""PEP: a search with learned thresholds, then a table of which only the numbers that it found are read."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mlet_bench.embedding import Embedding, build, empty_served
from mlet_bench.embedding.parts import PartedEmbedding
from mlet_bench.embedding.pep import MaskedEmbedding, SearchedEmbedding, largest
from mlet_bench.errors import UserError
from mlet_bench.training.optimizers import Optimizers
from tests.conftest import train_config
from tests.embedding import test_smaller
from tests.embedding.test_pool import CARDINALITIES, Toy, batch, trained

EVERY = torch.stack([torch.arange(90) % 40, torch.arange(90)], 1)
KINDS = {"global": (1, 1), "dimension": (1, 4), "feature": (130, 1), "feature_dimension": (130, 4)}
"""Their thresholds' shapes."""


def config(**changes: Any) -> Any:
    own = {"thresholds": "feature_dimension", "threshold_start": -3.0, "ratio": 0.4, "min_rows": 1}
    return test_smaller.config("pep", **{**own, "init_std": 0.3, **changes})


def built(given: Any) -> Embedding:
    torch.manual_seed(0)
    return build(given, CARDINALITIES)


@pytest.mark.parametrize("thresholds", KINDS)
def test_the_search_reads_and_moves_by_the_papers_formula(thresholds: str) -> None:
    given = config(thresholds=thresholds)
    emb = built(given.search)
    assert isinstance(emb, SearchedEmbedding)
    s = emb.thresholds.table.weight
    assert s.shape == KINDS[thresholds]
    with torch.no_grad():
        s += torch.randn(s.shape, generator=torch.Generator().manual_seed(1))
    v, s = emb.weight().requires_grad_(), s.detach().clone().requires_grad_()
    read = torch.sign(v) * torch.clamp(v.abs() - 1 / (1 + torch.exp(-s)), min=0)
    assert 0.05 < float((read == 0).float().mean()) < 0.5
    ids = batch(3) + torch.tensor([0, 40])
    torch.testing.assert_close(emb(batch(3)), read[ids])
    torch.testing.assert_close(emb.collapse()(batch(3)), read[ids])
    nn.functional.softplus((read[ids] * torch.linspace(-1, 2, 8).view(2, 4)).sum((1, 2))).sum().backward()
    model = Toy(emb).train()
    optimizers = Optimizers(model, train_config(optimizer="sgd", lr=0.5, update="lazy"), given.search)
    nn.functional.softplus(model(batch(3), torch.empty(24, 0))).sum().backward()
    optimizers.step()
    assert v.grad is not None
    assert s.grad is not None
    assert s.grad.any()
    torch.testing.assert_close(emb.weight(), (v - 0.5 * v.grad).detach())
    torch.testing.assert_close(emb.thresholds.table.weight.detach(), (s - 0.5 * s.grad).detach())
    torch.testing.assert_close(emb.above_thresholds(), emb.weight().abs() - emb.thresholds.table.weight.sigmoid())


@pytest.mark.parametrize(("optimizer", "update"), [("adam", "lazy"), ("adam", "exact"), ("rowwise_adagrad", "exact")])
def test_without_thresholds_both_trainings_are_a_standard_embedding_bit_for_bit(optimizer: str, update: str) -> None:
    given = config(threshold_start=-150)
    single = test_smaller.config("single", init_std=0.3)
    one = trained(built(single), single, 9, optimizer, update)
    found = trained(built(given.search), given.search, 9, optimizer, update)
    assert torch.equal(found.embedding(EVERY), one.embedding(EVERY))
    every = built(given)
    assert isinstance(every, MaskedEmbedding)
    every.kept_VD.fill_(True)
    assert torch.equal(trained(every, given, 9, optimizer, update).embedding(EVERY), one.embedding(EVERY))


@pytest.mark.parametrize("inner", [None, 3])
@pytest.mark.parametrize("min_rows", [1, 50])
def test_only_what_the_search_found_is_trained_and_served(inner: int | None, min_rows: int) -> None:
    given = config(inner=inner, min_rows=min_rows)
    searched = built(given.search)
    trained(searched, given.search, 8)
    emb, start = built(given), built(given.search)
    emb.take_over(searched)
    masked, of_search, of_start = (
        whole.embeddings[-1] if isinstance(whole, PartedEmbedding) else whole for whole in (emb, searched, start)
    )
    assert isinstance(masked, MaskedEmbedding)
    assert isinstance(of_search, SearchedEmbedding)
    assert isinstance(of_start, SearchedEmbedding)
    assert torch.equal(masked.weight(), of_start.weight())  # from the start of the search
    ranked = sorted(range(masked.kept_VD.numel()), key=lambda i: -float(of_search.above_thresholds().flatten()[i]))
    assert set(masked.kept_VD.flatten().nonzero().squeeze(1).tolist()) == set(ranked[: masked.kept])
    model = trained(emb, given, 9)
    assert torch.equal(masked(EVERY[:, -len(masked.cardinalities) :]) != 0, masked_at(masked))
    served = model.embedding.eval().collapse()
    torch.testing.assert_close(served(EVERY), model.embedding(EVERY), rtol=1e-5, atol=1e-6)
    single_bytes = 4 * 4 * sum(CARDINALITIES)
    assert 0.39 * single_bytes < served.bytes <= 0.4 * single_bytes
    empty = empty_served(given, CARDINALITIES)
    empty.load_state_dict(served.state_dict(), strict=True)
    assert torch.equal(empty(EVERY), served(EVERY))


def masked_at(emb: MaskedEmbedding) -> Tensor:
    return emb.kept_VD[EVERY[:, -len(emb.cardinalities) :] + emb.fields.offsets[:-1]]


def test_of_equal_numbers_the_first_are_the_largest() -> None:
    values = torch.tensor([[1.0, 3.0, 2.0], [2.0, 2.0, 0.0]])
    assert largest(values, 2).tolist() == [[False, True, True], [False, False, False]]
    assert largest(values, 3).tolist() == [[False, True, True], [True, False, False]]


def test_a_ratio_without_room_for_a_number_is_refused() -> None:
    with pytest.raises(UserError, match=r"^emb\.ratio=0\.31: too small for emb=pep .*; allowed: 0\.3116 to 1$"):
        build(config(ratio=0.31, min_rows=50), CARDINALITIES)
