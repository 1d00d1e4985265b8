"""Tables of integers while training, against slow references."""

from typing import Any

import pytest
import torch
from torch import nn

from mlet_bench.config import EMBEDDINGS
from mlet_bench.config.base import convert
from mlet_bench.embedding import build, empty_served
from mlet_bench.embedding.integers import IntegerEmbedding, IntegerProduct, IntegerTable
from mlet_bench.errors import UserError
from mlet_bench.training.optimizers import Optimizers
from tests.conftest import train_config
from tests.embedding import test_smaller
from tests.embedding.test_pool import CARDINALITIES, Toy, batch

EVERY = torch.stack([torch.arange(90) % 40, torch.arange(90)], 1)


def config(mode: str, **changes: Any) -> Any:
    own = {"bits": 8, "scale": 0.01, **({"scale_lr": 0.01} if mode == "alpt" else {})}
    return test_smaller.config(mode, **{"ratio": 1.0, "min_rows": 50, "init_std": 0.1, **own, **changes})


def built(mode: str, **changes: Any) -> tuple[IntegerTable, Any, Any]:
    torch.manual_seed(0)
    given = config(mode, **changes)
    emb = build(given, CARDINALITIES)
    (table,) = (part for part in emb.modules() if isinstance(part, IntegerTable))
    return table, emb, given


def test_rounding_is_right_on_average_and_the_same_again() -> None:
    values = torch.full((4000, 4), 0.0137)
    means = []
    for _ in range(2):
        table = IntegerTable(torch.zeros(4000, 4, dtype=torch.int8), torch.tensor(0.01), 8)
        for _ in range(3):
            table.write(torch.arange(4000), values, values)
            assert set(table.weight.unique().tolist()) == {1, 2}
            means.append(float(table(torch.arange(4000)).mean()))
    assert means[:3] == means[3:]
    assert len(set(means)) == 3
    for mean in means:  # of 16,000 numbers that are 0.01 or 0.02: five standard errors are 0.0002
        assert mean == pytest.approx(0.0137, abs=0.0002)


@pytest.mark.parametrize(("bits", "largest"), [(8, 127), (4, 7)])
def test_what_does_not_fit_is_clipped(bits: int, largest: int) -> None:
    table = IntegerTable(torch.zeros(2, 2, dtype=torch.int8), torch.tensor(0.01), bits)
    table.write(torch.arange(2), torch.tensor([[9.0, -9.0], [0.0, 0.05]]), torch.zeros(2, 2))
    assert table.weight.tolist() == [[largest, -largest], [0, 5]]


@pytest.mark.parametrize("mode", ["lpt", "alpt"])
@pytest.mark.parametrize("bits", [8, 4])
def test_a_step_is_that_of_ordinary_numbers_then_rounded(mode: str, bits: int) -> None:
    """SGD on the rows that were read; ALPT moves the scale first, by its gradient as the paper has it."""
    table, emb, given = built(mode, bits=bits, min_rows=1)
    model = Toy(emb).train()
    optimizers = Optimizers(model, train_config(optimizer="sgd", lr=0.5, update="lazy"), given)
    ids = batch(3) + torch.tensor([0, 40])
    rows = ids.unique()
    before = table(rows).clone().requires_grad_()
    scale = table.scale.clone()
    vectors = before[torch.searchsorted(rows, ids)]
    nn.functional.softplus((vectors * torch.linspace(-1, 2, 8).view(2, 4)).sum((1, 2))).sum().backward()
    moved = (before - 0.5 * before.grad).detach()
    if mode == "alpt":
        q = 2 ** (bits - 1) - 1
        for place, row in enumerate(rows.tolist()):
            total = 0.0
            for w, g in zip(moved[place].tolist(), before.grad[place].tolist(), strict=True):
                x = w / float(scale[row])
                total += g * (round(x) - x if abs(x) < q else (q if x > 0 else -q))
            scale[row] -= 0.01 * total / (len(rows) * 4 * q) ** 0.5
    others = torch.ones(130, dtype=torch.bool)
    others[rows] = False
    kept = table.weight[others].clone()
    nn.functional.softplus(model(batch(3), torch.empty(24, 0))).sum().backward()
    optimizers.step()
    assert torch.equal(table.weight[others], kept)
    if mode == "alpt":
        torch.testing.assert_close(table.scale, scale.clamp(min=1e-8))
    step = (table.scale[rows][:, None] if mode == "alpt" else table.scale).expand_as(moved)
    largest = 2 ** (bits - 1) - 1
    gap = (table(rows) - moved).abs()
    assert bool(((gap <= step * 1.0001) | (moved.abs() >= step * largest)).all())


@pytest.mark.parametrize("mode", ["lpt", "alpt"])
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adagrad", "rowwise_adagrad"])
def test_it_trains_and_what_is_served_has_the_same_vectors_and_the_bytes_of_its_bits(
    mode: str, bits: int, optimizer: str
) -> None:
    _, emb, given = built(mode, bits=bits)
    model = Toy(emb).train()
    optimizers = Optimizers(model, train_config(optimizer=optimizer, lr=0.05, update="lazy"), given)
    losses = []
    for _ in range(30):
        loss = nn.functional.softplus(model(batch(1), torch.empty(24, 0))).sum()
        losses.append(float(loss))
        loss.backward()
        optimizers.step()
        optimizers.clear()
    optimizers.finish()
    assert losses[-1] < 0.8 * losses[0]
    served = emb.eval().collapse()
    assert torch.equal(served(EVERY), emb(EVERY))
    whole, integers = 4 * 40 * 4, 90 * 4 * bits // 8
    assert served.bytes == whole + integers + (4 * 90 if mode == "alpt" else 4)
    empty = empty_served(given, CARDINALITIES)
    empty.load_state_dict(served.state_dict(), strict=True)
    assert torch.equal(empty(EVERY), served(EVERY))


@pytest.mark.parametrize("bits", [8, 4])
def test_a_product_is_read_and_served_as_integers(bits: int) -> None:
    """SGD on both factors by the gradient straight through; W1's rows are then rounded to their scale."""
    table, emb, given = built("lpt", inner=3, inner_std=0.5, bits=bits, scale=0.02, min_rows=1)
    assert isinstance(emb, IntegerProduct)
    model = Toy(emb).train()
    optimizers = Optimizers(model, train_config(optimizer="sgd", lr=0.5, update="lazy"), given)
    ids = batch(3) + torch.tensor([0, 40])
    rows = ids.unique()
    w1 = table(torch.arange(130)).requires_grad_()
    w2 = emb.w2_FKD.detach().clone().requires_grad_()
    largest = 2 ** (bits - 1) - 1
    vectors = torch.stack([w1[ids[:, field]] @ w2[field] for field in (0, 1)], 1)
    vectors = vectors.clamp(-0.02 * largest, 0.02 * largest)
    vectors = vectors + ((vectors / 0.02).round() * 0.02 - vectors).detach()
    nn.functional.softplus((vectors * torch.linspace(-1, 2, 8).view(2, 4)).sum((1, 2))).sum().backward()
    nn.functional.softplus(model(batch(3), torch.empty(24, 0))).sum().backward()
    optimizers.step()
    optimizers.finish()
    torch.testing.assert_close(emb.w2_FKD.detach(), w2.detach() - 0.5 * w2.grad)
    moved = (w1 - 0.5 * w1.grad).detach()
    gap = (table(rows) - moved[rows]).abs()
    assert bool(((gap <= 0.02001) | (moved[rows].abs() >= 0.02 * largest)).all())
    others = torch.ones(130, dtype=torch.bool)
    others[rows] = False
    assert torch.equal(table(torch.arange(130))[others], w1[others])
    product = torch.cat([table(torch.arange(40)) @ emb.w2_FKD[0], table(torch.arange(40, 130)) @ emb.w2_FKD[1]])
    nearest = (product / 0.02).round().clamp(-largest, largest) * 0.02
    served = emb.eval().collapse()
    torch.testing.assert_close(served(EVERY), nearest[EVERY + torch.tensor([0, 40])].detach())
    assert torch.equal(served(EVERY), emb(EVERY))
    assert served.bytes == 130 * 4 * bits // 8 + 4
    empty = empty_served(given, CARDINALITIES)
    empty.load_state_dict(served.state_dict(), strict=True)
    assert torch.equal(empty(EVERY), served(EVERY))


def test_learned_scales_take_no_product() -> None:
    with pytest.raises(UserError, match=r"emb=alpt learns scales of the rows that it serves; allowed: emb\.inner=null"):
        convert(EMBEDDINGS["alpt"], config("alpt").model_dump() | {"inner": 3}, "emb")


def test_unseen_categories_are_zero_vectors() -> None:
    seen = torch.arange(130) % 2 == 0
    emb = build(config("lpt", min_rows=1), CARDINALITIES, seen)
    assert isinstance(emb, IntegerEmbedding)
    assert not emb.table.weight[~seen].any()
    assert emb.table.weight[seen].any()


def test_bits_decide_and_a_smaller_ratio_is_refused() -> None:
    with pytest.raises(UserError, match=r"^emb\.ratio=0\.1: too small for emb=lpt .*; allowed: 0\.252 to 1; "
                                        r"with emb\.bits=4: 0\.127 to 1$"):  # fmt: skip
        build(config("lpt", ratio=0.1, min_rows=1), CARDINALITIES)
    with pytest.raises(UserError, match=r"^emb\.ratio=0\.1: too small for emb=alpt .*; allowed: 0\.375 to 1$"):
        build(config("alpt", ratio=0.1, min_rows=1, bits=4), CARDINALITIES)


def test_state_goes_on_where_it_stopped() -> None:
    def steps(emb: Any, given: Any, numbers: range) -> None:
        model = Toy(emb).train()
        optimizers = Optimizers(model, train_config(optimizer="sgd", lr=0.05, update="lazy"), given)
        for seed in numbers:
            nn.functional.softplus(model(batch(seed), torch.empty(24, 0))).sum().backward()
            optimizers.step()
            optimizers.clear()
        optimizers.finish()

    _, whole, given = built("alpt")
    steps(whole, given, range(10))
    _, first, _ = built("alpt")
    steps(first, given, range(5))
    torch.manual_seed(5)
    resumed = build(given, CARDINALITIES)
    resumed.load_state_dict(first.state_dict(), strict=True)
    steps(resumed, given, range(5, 10))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
