"""The batches of an epoch: every row once, in an order that seed and epoch alone decide."""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from mlet_bench.data import Prepared
from mlet_bench.data import batches as rows_module
from mlet_bench.data.batches import (
    Batch,
    MemoryRows,
    TrainingRows,
    WindowRows,
    bytes_held,
    row_bytes,
    shuffle_of,
    training_rows,
    validation_rows,
    window_groups,
)
from mlet_bench.errors import UserError
from tests.conftest import prepare, train_config
from tests.counts import every
from tests.data import reference

CPU = torch.device("cpu")
ROWS = 103  # of the training split: no multiple of anything
KINDS = ["memory", "windows of 1", "windows of 4", "one window"]


@pytest.fixture
def prepared(workplace: Path) -> Prepared:
    """A row's category, number and label tell which row it is; parts and row groups are uneven."""
    text = "".join(f"{i % 2},{i},{i}.25\n" for i in range(ROWS))
    for split in reference.SPLITS:
        reference.write(workplace / "raw" / f"{split}.csv", f"label,row,number\n{text}".encode())
    with reference.sizes(part_rows=40, row_group_rows=7):
        return prepare("table", workplace / "raw", numeric=["number"], categorical=["row"], numeric_as="as_is")


def made(kind: str, prepared: Prepared, batch_size: int, seed: int = 1) -> TrainingRows:
    if kind == "memory":
        return MemoryRows(prepared.split("train", counts=False), batch_size, seed, CPU)
    groups = {"windows of 1": 1, "windows of 4": 4, "one window": 1_000}[kind]
    return WindowRows(prepared, batch_size, seed, CPU, groups)


def visited(batches: Sequence[Batch]) -> list[int]:
    return [int(number) for _, numeric_BN, _ in batches for number in numeric_BN[:, 0].tolist()]


def assert_equal(found: Sequence[Batch], wanted: Sequence[Batch]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        for ours, theirs in zip(one, other, strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("batch_size", every(2, [1, 2, 7, 16, 50, ROWS, 1_000]))
@pytest.mark.parametrize("kind", KINDS)
def test_every_row_once_in_full_batches(prepared: Prepared, kind: str, batch_size: int) -> None:
    rows = made(kind, prepared, batch_size)
    for epoch in range(3):
        batches = list(rows.batches(epoch, 0))
        assert len(batches) == rows.steps == -(-ROWS // batch_size)
        assert sorted(visited(batches)) == list(range(ROWS))
        assert all(len(label_B) == batch_size for _, _, label_B in batches[:-1])
        for ids_BF, numeric_BN, label_B in batches:
            assert (ids_BF.dtype, numeric_BN.dtype, label_B.dtype) == (torch.int32, torch.float32, torch.float32)
            number_B = numeric_BN[:, 0].long()
            assert (numeric_BN[:, 0] - number_B == 0.25).all()
            assert torch.equal(ids_BF[:, 0].long(), number_B + 1)  # numbered in order of appearance
            assert torch.equal(label_B, (number_B % 2).float())


@pytest.mark.parametrize("kind", KINDS)
def test_order_comes_from_seed_and_epoch(prepared: Prepared, kind: str) -> None:
    orders = {
        (seed, epoch): visited(list(made(kind, prepared, 16, seed).batches(epoch, 0)))
        for seed in (1, 2)
        for epoch in (0, 1)
    }
    assert len({tuple(order) for order in orders.values()}) == 4
    assert list(range(ROWS)) not in orders.values()
    rows = made(kind, prepared, 16)
    for epoch in (1, 0, 1):  # whatever was visited before
        assert visited(list(rows.batches(epoch, 0))) == orders[1, epoch]


@pytest.mark.parametrize("batch_size", every(2, [1, 3, 7, 10, 16, 50, 1_000]))
@pytest.mark.parametrize("kind", KINDS)
def test_from_a_step_on_the_batches_are_the_same(prepared: Prepared, kind: str, batch_size: int) -> None:
    rows = made(kind, prepared, batch_size)
    whole = list(rows.batches(3, 0))
    for start in range(rows.steps + 1):
        assert_equal(list(rows.batches(3, start)), whole[start:])


@pytest.mark.parametrize("groups", [1, 2, 5])
def test_window_holds_the_rows_of_its_groups_alone(prepared: Prepared, groups: int) -> None:
    """Rows of one group stay within the window that the group fell into; groups come from all parts."""
    seen = visited(list(WindowRows(prepared, 16, 1, CPU, groups).batches(0, 0)))
    first_rows = [*range(0, 40, 7), *range(40, 80, 7), *range(80, ROWS, 7)]
    group_of = np.searchsorted(first_rows, np.arange(ROWS), "right") - 1
    order = list(dict.fromkeys(group_of[seen].tolist()))
    assert sorted(order) == list(range(len(first_rows)))
    assert order != sorted(order)
    found, windows = [group_of[row] for row in seen], []
    while found:
        window: set[int] = set()
        while found and (found[0] in window or len(window) < groups):
            window.add(int(found.pop(0)))
        windows.append(window)
    assert sum(map(len, windows)) == len(first_rows)
    assert max(map(len, windows)) == groups


def test_windows_follow_from_the_memory_that_is_set(prepared: Prepared) -> None:
    assert row_bytes(prepared) == 12
    whole = 12 * ROWS
    fits, scarce, least = (train_config(shuffle_gb=size / 1e9) for size in (whole, whole - 1, 1))
    assert shuffle_of(prepared, fits) == "full"
    assert isinstance(training_rows(prepared, fits, 1, CPU), MemoryRows)
    assert shuffle_of(prepared, scarce) == {"window_groups": (whole - 1) // 3 // (12 * 7)}
    assert isinstance(training_rows(prepared, scarce, 1, CPU), WindowRows)
    assert window_groups(prepared, least) == 1
    held = bytes_held(prepared, fits) - bytes_held(prepared, scarce)
    assert held in (0, 1)


@pytest.mark.parametrize("groups", [1, 3])
def test_no_more_windows_are_held_than_stated(prepared: Prepared, monkeypatch: pytest.MonkeyPatch, groups: int) -> None:
    """Windows that were read and are not yet freed, counted while every batch is used slowly."""
    alive, most, lock = [0], [0], threading.Lock()
    read = WindowRows._read

    class Counted:
        def __del__(self) -> None:
            with lock:
                alive[0] -= 1

    def counted(self: WindowRows, window: list[int]) -> object:
        split = read(self, window)
        with lock:
            alive[0] += 1
            most[0] = max(most[0], alive[0])
        object.__setattr__(split, "counted", Counted())
        return split

    monkeypatch.setattr(WindowRows, "_read", counted)
    for _ in WindowRows(prepared, 5, 1, CPU, groups).batches(0, 0):
        threading.Event().wait(0.005)
    assert 1 < most[0] <= rows_module.WINDOWS_HELD
    assert alive[0] == 0


def test_left_early_no_thread_goes_on(prepared: Prepared) -> None:
    before = threading.active_count()
    batches = WindowRows(prepared, 5, 1, CPU, 1).batches(0, 0)
    next(batches)
    assert threading.active_count() == before + 1
    batches.close()
    assert threading.active_count() == before


def test_damaged_part_stops_the_epoch(prepared: Prepared) -> None:
    path = prepared.folder / "train" / "part-00001.parquet"
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"train/part-00001.parquet: its content is not what was prepared"):
        list(WindowRows(Prepared.open(prepared.folder), 5, 1, CPU, 1).batches(0, 0))


def test_validation_rows_are_held_where_they_fit_beside_the_training_rows(criteo_file: Path) -> None:
    prepared = prepare("criteo", criteo_file)
    expected = np.concatenate([piece.ids_BF for piece in prepared.pieces("valid")])
    held, read = (validation_rows(prepared, train_config(shuffle_gb=size)) for size in (4.0, 1e-9))
    assert isinstance(held, list)
    assert not isinstance(read, list)
    for rows in (held, read, read):  # again and again
        assert np.array_equal(np.concatenate([piece.ids_BF for piece in rows]), expected)
    large, small = (bytes_held(prepared, train_config(shuffle_gb=size)) for size in (4.0, 1e-9))
    assert large - small == row_bytes(prepared) * (prepared.rows["train"] + prepared.rows["valid"]) - 1
