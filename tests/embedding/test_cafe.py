"""CAFE: who is hot, against a slow reference, and what it is where there is room for all."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mlet_bench.embedding import Embedding, build
from mlet_bench.embedding.cafe import BY_RATIO, CAFEEmbedding, Sketch
from mlet_bench.embedding.hash import HashedFields
from mlet_bench.embedding.pool import MapFields
from mlet_bench.embedding.single import SingleEmbedding
from mlet_bench.embedding.table import RowTable
from mlet_bench.errors import UserError
from mlet_bench.training.optimizers import Optimizers
from tests.conftest import train_config
from tests.embedding.test_pool import CARDINALITIES, Toy, batch, config, trained


class Squares(Toy):
    """Whose gradients differ in length from field to field, so that no two ids are of equal importance."""

    def forward(self, ids_BF: Tensor, numeric_BN: Tensor) -> Tensor:
        vectors: Tensor = self.embedding(ids_BF)
        return (vectors + vectors.square()).sum((1, 2))


EVERY = torch.stack([torch.arange(90) % 40, torch.arange(90)], 1)
FIRSTS = torch.tensor([0, 40])


def bucket_of(i: int, buckets: int) -> int:
    return i * 1_103_515_245 % (2**31 - 1) % buckets


class SlowSketch:
    """Buckets of four cells, each an id and its sum, in plain Python."""

    def __init__(self, buckets: int) -> None:
        self.cells = [[[-1, 0.0] for _ in range(4)] for _ in range(buckets)]

    def find(self, i: int) -> list[Any] | None:
        return next((cell for cell in self.cells[bucket_of(i, len(self.cells))] if cell[0] == i), None)

    def add(self, values: dict[int, float], hot: Sequence[int]) -> None:
        known = {i: self.find(i) for i in values}
        for i, cell in known.items():
            if cell is not None:
                cell[1] += values[i]
        for i in sorted((i for i in values if known[i] is None), key=lambda i: (values[i], i)):
            least = min(self.cells[bucket_of(i, len(self.cells))], key=lambda cell: cell[1])
            if least[0] not in hot:
                least[:] = [i, least[1] + values[i]]


def assert_equal(sketch: Sketch, slow: SlowSketch) -> None:
    found = sorted(zip(sketch.id_C.tolist(), sketch.sum_C.tolist(), strict=True))
    expected = sorted((i, total) for bucket in slow.cells for i, total in bucket)
    assert [i for i, _ in found] == [i for i, _ in expected]
    assert [total for _, total in found] == pytest.approx([total for _, total in expected], rel=1e-4)


def test_sketch_is_space_saving_and_hot_ones_keep_their_cells() -> None:
    generator = torch.Generator().manual_seed(3)
    sketch, slow = Sketch(5), SlowSketch(5)
    slot_V = torch.full((60,), -1)
    slot_V[7:20] = 0
    for _ in range(30):
        ids = torch.randperm(60, generator=generator)[:20].sort().values
        values = torch.rand(20, generator=generator)
        sketch.add(ids, values, slot_V)
        slow.add(dict(zip(ids.tolist(), values.tolist(), strict=True)), range(7, 20))
        assert_equal(sketch, slow)
    assert set(range(7, 20)) & set(sketch.id_C.tolist())


def test_hot_are_the_first_to_reach_the_threshold_until_they_fall_below_it() -> None:
    """A slow CAFE: importance over the mean of the field, rows while there are free ones, sums that fade."""
    torch.manual_seed(0)
    given = config("cafe", ratio=0.25, threshold=3.0, decay=0.5)
    emb = build(given, CARDINALITIES)
    assert isinstance(emb, CAFEEmbedding)
    slots = emb.map.slots
    model = Squares(emb).train()
    optimizers = Optimizers(model, train_config(optimizer="sgd", lr=0.05, update="lazy"), given)
    slow, hot, added = SlowSketch(slots), list[int](), 0.0
    were_full = fell = 0
    for step in range(1, 41):
        ids = batch(step) + FIRSTS
        vectors: list[Tensor] = []
        handle = emb.register_forward_hook(lambda _, __, out, kept=vectors: kept.append(out) or out.retain_grad())
        nn.functional.softplus(model(batch(step), torch.empty(24, 0))).sum().backward()
        handle.remove()
        norms = vectors[0].grad.norm(dim=2)
        importance = norms / norms.mean(0)
        values: dict[int, float] = {}
        for i, value in sorted(zip(ids.flatten().tolist(), importance.flatten().tolist(), strict=True)):
            values[i] = values.get(i, 0.0) + value
        slow.add(values, hot)
        due = [cell for bucket in slow.cells for cell in bucket if cell[1] >= 3.0 and cell[0] not in hot]
        hot += [i for i, _ in sorted(due, key=lambda cell: -cell[1])[: slots - len(hot)]]
        were_full += len(hot) == slots
        added += sum(values.values())
        if added > 10 * 3.0 * slots:
            added = 0.0
            for cell in (cell for bucket in slow.cells for cell in bucket):
                cell[1] *= 0.5
                if cell[1] < 3.0 and cell[0] in hot:
                    hot.remove(cell[0])
                    fell += 1
        optimizers.step()
        optimizers.clear()
        assert sorted(emb.map.id_S[emb.map.id_S >= 0].tolist()) == sorted(hot)
        assert_equal(emb.sketch, slow)
    assert were_full
    assert fell


def test_a_category_that_becomes_hot_starts_as_its_hashed_row() -> None:
    torch.manual_seed(0)
    given = config("cafe")
    emb = build(given, CARDINALITIES)
    assert isinstance(emb, CAFEEmbedding)
    before = emb.eval()(EVERY).detach().clone()
    model = Toy(emb).train()
    optimizers = Optimizers(model, train_config(optimizer="sgd", lr=1e-12, update="lazy"), given)
    nn.functional.softplus(model(batch(1), torch.empty(24, 0))).sum().backward()
    optimizers.step()
    assert int((emb.map.id_S >= 0).sum()) > 3
    torch.testing.assert_close(emb.eval()(EVERY), before)


def with_room_for_all(slots: int) -> tuple[CAFEEmbedding, SingleEmbedding]:
    """A hashed row for each id, so many rows of their own, and a single table of the same start."""
    torch.manual_seed(0)
    single = SingleEmbedding(CARDINALITIES, 4)
    fields = MapFields(CARDINALITIES, slots, HashedFields(CARDINALITIES, CARDINALITIES))
    weight = torch.cat([torch.zeros(slots, 4), single.table.weight.detach()])
    vectors = SingleEmbedding.from_weights(fields, weight)
    return CAFEEmbedding(vectors, slots, threshold=2.0, decay=0.9), single


@pytest.mark.parametrize("update", ["lazy", "exact"])
def test_with_a_hashed_row_for_each_id_it_is_a_single_table_bit_for_bit(update: str) -> None:
    """Whoever becomes hot goes on from the row that was its own."""
    emb, single = with_room_for_all(60)
    many = trained(emb, config("cafe"), 30, "sgd", update)
    assert int((emb.map.id_S >= 0).sum()) > 30
    one = trained(single, config("single"), 30, "sgd", update)
    assert torch.equal(many.embedding(EVERY), one.embedding(EVERY))


@pytest.mark.parametrize(
    ("optimizer", "update"), [("adam", "lazy"), ("adam", "exact"), ("adagrad", "exact"), ("sgd", "lazy")]
)
def test_with_a_hot_row_for_each_id_it_is_a_single_table_bit_for_bit(optimizer: str, update: str) -> None:
    emb, single = with_room_for_all(130)
    table = emb.tables()[0]
    assert isinstance(table, RowTable)
    with torch.no_grad():
        table.weight[:130] = table.weight[130:]
        table.weight[130:] = 7.0
    emb.map.give(torch.arange(130), torch.arange(130))
    many = trained(emb, config("cafe"), 20, optimizer, update)
    one = trained(single, config("single"), 20, optimizer, update)
    assert torch.equal(many.embedding(EVERY), one.embedding(EVERY))


@pytest.mark.parametrize("ratio", [0.5, 0.2, 0.1, 0.02])
@pytest.mark.parametrize("hash_share", [None, 0.01, 0.99])
def test_bytes_are_those_of_rows_ids_and_hashed_rows(ratio: float, hash_share: float | None) -> None:
    cardinalities, dim = (5000, 300, 40_000), 16
    given = config("cafe", dim=dim, ratio=ratio, hash_share=hash_share, threshold=None)
    with torch.device("meta"):
        emb: Embedding = build(given, cardinalities)
    assert isinstance(emb, CAFEEmbedding)
    numbers = ratio * sum(cardinalities) * dim
    hashed = sum(emb.map.otherwise.counts)
    served = emb.map.slots * (dim + 1) + hashed * dim
    assert numbers - 4 * dim < served <= numbers
    assert hashed >= 2 * 3
    if hash_share is None or hash_share > 0.01:
        assert hashed * dim == pytest.approx((hash_share or BY_RATIO[ratio][0]) * numbers, rel=0.05)
    assert emb.threshold == BY_RATIO[ratio][1]
    sketch = sum(value.numel() * value.element_size() for value in (emb.sketch.id_C, emb.sketch.sum_C))
    assert sketch == 48 * emb.map.slots


def test_a_little_more_than_two_rows_a_field_is_the_least() -> None:
    least = 4 * 4 + (4 + 1)  # two rows of each field, and one of a category's own with its id
    ratio = math.ceil(1e4 * least / (4 * 130)) / 1e4
    emb = build(config("cafe", ratio=ratio), CARDINALITIES)
    assert isinstance(emb, CAFEEmbedding)
    assert (emb.map.slots, emb.map.otherwise.counts) == (1, (2, 2))
    with pytest.raises(UserError, match=rf"allowed: {ratio:g} to 1$"):
        build(config("cafe", ratio=ratio - 2e-4), CARDINALITIES)
