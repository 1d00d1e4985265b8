"""Rows that change hands while training: AdaEmbed, FIITED and CAFE against slow references."""

from collections import defaultdict
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mlet_bench.embedding import Embedding, build, empty_served
from mlet_bench.embedding.pruned import PrunedEmbedding
from mlet_bench.embedding.single import SingleEmbedding
from mlet_bench.embedding.table import RowTable
from mlet_bench.models import CTRModel
from mlet_bench.training.optimizers import Optimizers
from tests.conftest import train_config
from tests.embedding import test_smaller

CARDINALITIES = (40, 90)
OWN: dict[str, dict[str, Any]] = {
    "adaembed": {"pieces": 1, "check_every": 5, "decay": 0.9, "changed": 0.0},
    "fiited": {"pieces": 2, "check_every": 5, "decay": 0.9, "changed": 0.0},
    "cafe": {"hash_share": 0.5, "threshold": 2.0, "decay": 0.9},
}


class Toy(CTRModel):
    """The logit is a sum of the vectors, whose places weigh differently."""

    def forward(self, ids_BF: Tensor, numeric_BN: Tensor) -> Tensor:
        vectors: Tensor = self.embedding(ids_BF)
        return (vectors * torch.linspace(-1, 2, 8).view(2, 4)).sum((1, 2))


def config(mode: str, **changes: Any) -> Any:
    return test_smaller.config(mode, **{"ratio": 0.4, "min_rows": 1, **OWN.get(mode, {}), **changes})


def batch(seed: int, rows: int = 24) -> Tensor:
    """Ids of a few frequent categories and many rare ones."""
    generator = torch.Generator().manual_seed(seed)
    wide = torch.stack([torch.randint(0, count, (rows,), generator=generator) for count in CARDINALITIES], 1)
    return torch.where(torch.rand(rows, 2, generator=generator) < 0.5, wide % 5, wide)


def trained(emb: Embedding, given: Any, steps: int, optimizer: str = "adam", update: str = "lazy") -> Toy:
    model = Toy(emb).train()
    optimizers = Optimizers(model, train_config(optimizer=optimizer, lr=0.05, update=update), given)
    for seed in range(steps):
        nn.functional.softplus(model(batch(seed), torch.empty(24, 0))).sum().backward()
        optimizers.step()
        optimizers.clear()
    optimizers.finish()
    return model


@pytest.mark.parametrize("mode", OWN)
@pytest.mark.parametrize("inner", [None, 3])
def test_what_is_served_has_the_trained_ones_vectors_and_the_planned_bytes(mode: str, inner: int | None) -> None:
    torch.manual_seed(0)
    given = config(mode, inner=inner)
    emb = build(given, CARDINALITIES)
    before = batch(99)
    with torch.no_grad():
        emb.eval()(before)
    model = trained(emb, given, 17)
    every = torch.stack([torch.arange(90) % 40, torch.arange(90)], 1)
    served = emb.eval().collapse()
    torch.testing.assert_close(served(every), model.embedding(every), rtol=1e-5, atol=1e-6)
    assert int((served(every).flatten(1).abs().sum(1) > 0).sum()) > 5
    single_bytes = 4 * 4 * sum(CARDINALITIES)
    assert 0.33 * single_bytes < served.bytes <= 0.4 * single_bytes
    empty = empty_served(given, CARDINALITIES)
    empty.load_state_dict(served.state_dict(), strict=True)
    assert torch.equal(empty(every), served(every))


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize(
    ("optimizer", "update"), [("adam", "lazy"), ("adam", "exact"), ("adagrad", "exact"), ("sgd", "exact")]
)
def test_with_room_for_all_it_is_a_standard_embedding_bit_for_bit(pieces: int, optimizer: str, update: str) -> None:
    torch.manual_seed(0)
    given = config("fiited", pieces=pieces, ratio=0.999)
    emb = build(given, CARDINALITIES)
    assert isinstance(emb, PrunedEmbedding)
    width = 4 // pieces
    emb.pieces.fields.__init__([count for count in CARDINALITIES for _ in range(pieces)], 130 * pieces, pieces=pieces)
    emb.pieces.table = RowTable(torch.rand(130 * pieces + 1, width) * 2 - 1)
    emb.utility_V = torch.zeros(130 * pieces)
    every = torch.stack([torch.arange(90) % 40, torch.arange(90)], 1)
    emb.train()
    emb(every)  # everybody gets a row, before either trains
    emb._accesses.clear()
    single = SingleEmbedding(CARDINALITIES, 4)
    with torch.no_grad():
        for field, count in enumerate(CARDINALITIES):
            ids = torch.zeros(count, 2, dtype=torch.long)
            ids[:, field] = torch.arange(count)
            start = single.fields.bounds[field]
            single.table.weight[start : start + count] = emb.eval()(ids)[:, field]
    many = trained(emb, given, 12, optimizer, update)
    one = trained(single, config("single"), 12, optimizer, update)
    assert torch.equal(many.embedding(every), one.embedding(every))


def test_rows_go_to_the_largest_sums_of_norms() -> None:
    """By a slow reference: first come while there is room, then at each look the rows of the least useful move."""
    torch.manual_seed(0)
    given = config("adaembed", ratio=0.25)
    emb = build(given, CARDINALITIES)
    assert isinstance(emb, PrunedEmbedding)
    model = Toy(emb).train()
    optimizers = Optimizers(model, train_config(optimizer="sgd", lr=0.05, update="lazy"), given)
    slots, owners, utility = emb.map.slots, list[int](), defaultdict[int, float](float)
    for step in range(1, 21):
        ids = batch(step) + torch.tensor([0, 40])
        owners += [i for i in ids.unique().tolist() if i not in owners][: max(0, slots - len(owners))]
        vectors: list[Tensor] = []
        handle = emb.register_forward_hook(lambda _, __, out, kept=vectors: kept.append(out) or out.retain_grad())
        nn.functional.softplus(model(batch(step), torch.empty(24, 0))).sum().backward()
        handle.remove()
        for i, norm in zip(ids.flatten().tolist(), vectors[0].grad.norm(dim=2).flatten().tolist(), strict=True):
            utility[i] += norm
        optimizers.step()
        optimizers.clear()
        if step % 5 == 0:
            owners = sorted(utility, key=utility.__getitem__, reverse=True)[:slots]
            utility = defaultdict(float, {i: 0.9 * value for i, value in utility.items()})
        assert sorted(emb.map.id_S[emb.map.id_S >= 0].tolist()) == sorted(owners)
    rows = emb.map.slot_V[emb.map.slot_V >= 0].tolist()
    assert len(rows) == len(set(rows)) == slots


def test_a_row_that_changed_hands_starts_at_zero_and_the_optimiser_forgets() -> None:
    torch.manual_seed(0)
    given = config("adaembed", ratio=0.25)
    emb = build(given, CARDINALITIES)
    assert isinstance(emb, PrunedEmbedding)
    model = Toy(emb).train()
    optimizers = Optimizers(model, train_config(optimizer="adam", lr=0.05, update="lazy"), given)
    for step in range(1, 6):
        owner_S = emb.map.id_S.clone()
        nn.functional.softplus(model(batch(step), torch.empty(24, 0))).sum().backward()
        optimizers.step()
        optimizers.clear()
    moved = (owner_S != emb.map.id_S).nonzero().squeeze(1)
    assert len(moved)
    (table,) = emb.tables()
    assert not table.weight[moved].any()
    rows = next(rows for rows in optimizers.rows if rows.table is table)
    assert not rows.slots["mean"][moved].any()
    assert not table.weight[-1].any()


@pytest.mark.parametrize("mode", OWN)
def test_state_goes_on_where_it_stopped(mode: str) -> None:
    given = config(mode)
    torch.manual_seed(0)
    whole = build(given, CARDINALITIES)
    torch.manual_seed(0)
    first = build(given, CARDINALITIES)
    sgd = train_config(optimizer="sgd", lr=0.05, update="lazy")

    def steps(model: Toy, numbers: range) -> None:
        optimizers = Optimizers(model.train(), sgd, given)
        for seed in numbers:
            nn.functional.softplus(model(batch(seed), torch.empty(24, 0))).sum().backward()
            optimizers.step()
            optimizers.clear()
        optimizers.finish()

    one, two = Toy(whole), Toy(first)
    two.load_state_dict(one.state_dict())
    steps(one, range(16))
    steps(two, range(8))
    torch.manual_seed(7)
    resumed = Toy(build(given, CARDINALITIES))
    resumed.load_state_dict(two.state_dict(), strict=True)
    steps(resumed, range(8, 16))
    for name, value in one.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
