"""What columns are taken for when nothing is given, and the notes about it."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mlet_bench.data.sources import sample
from tests.conftest import prepare
from tests.data.sources.test_spelling import cycled, write_csv, write_parquet

LONG_IDS = [14_200_000_000_000_000_000 + i for i in range(40)]


def test_decimals_of_parquet_are_numbers_and_whole_ones_names() -> None:
    columns = {"label": cycled(0, 1), "price": cycled(Decimal("1.50"), Decimal("2.25"), Decimal("3.00")),
               "id": cycled(Decimal(1), Decimal(2))}  # fmt: skip
    raw = write_parquet("a.parquet", columns, price=pa.decimal128(9, 2), id=pa.decimal128(20, 0))
    found = prepare("table", raw)
    assert (found.numeric, found.fields) == (("price",), ("id",))


def test_whole_numbers_of_the_first_megabyte_do_not_make_a_category(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "HEAD_BYTES", 1_000)
    monkeypatch.setattr(sample, "PIECE_BYTES", 200)
    prices = [i % 7 if i < 300 else i % 7 + 0.5 for i in range(400)]
    found = prepare("table", write_csv("a.csv", {"label": cycled(0, 1), "c": cycled("x", "y"), "price": prices}))
    assert (found.numeric, found.fields) == (("price",), ("c",))


def test_long_identifiers_are_names_though_a_spreadsheet_spoilt_some() -> None:
    ids = ["1.42E+19" if i % 20 == 0 else str(LONG_IDS[i % 40]) for i in range(400)]
    found = prepare("table", write_csv("a.csv", {"label": cycled(0, 1), "user": ids}))
    assert (found.numeric, found.fields) == ((), ("user",))
    floats = [1.42e19 + 1e6 * i for i in cycled(*range(40))]
    found = prepare("table", write_parquet("a.parquet", {"label": cycled(0, 1), "user": floats}))
    assert (found.numeric, found.fields) == ((), ("user",))


def test_guesses_are_a_table() -> None:
    columns = {"": list(range(400)), "label": cycled(0, 1), "price": cycled(0.5, 1.5, None),
               "shop": cycled("a", "b", "c"),
               "day": cycled("2020-01-01", "2020-01-02")}  # fmt: skip
    found = prepare("table", write_csv("a.csv", columns))
    assert list(found.notes[1:]) == [
        "column     guess        why                           distinct values in 400 rows",
        "label      label        its name                      2",
        "price      numeric      numbers with a decimal point  2",
        "shop       categorical  text                          3",
        "(no name)  drop         whole numbers                 400",
        "day        drop         dates or times                2",
        "column day looks like a time: dataset.split=time dataset.time_column=day tests on the latest rows",
    ]
    assert found.fields == ("shop",)


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_keys_that_suit_a_column_are_named(write: Any) -> None:
    seconds = [1_600_000_000 + 60 * i for i in range(400)]
    columns = {"label": cycled(0, 1), "price": cycled(0.5, 1.5), "hour": cycled(*range(24)), "device": seconds[::-1],
               "movieId": cycled(*range(30)), "shop": cycled("a", "b")}  # fmt: skip
    raw: Path = write("a", columns)
    raw = raw.rename(raw.with_suffix(".csv" if write is write_csv else ".parquet"))
    item = "column movieId looks like the item: dataset.item_field=movieId shows results by how often an item occurs in"
    time = "column device looks like a time: dataset.split=time dataset.time_column=device tests on the latest rows"
    for changes, said in (
        ({}, [item, time]),
        ({"item_field": "shop"}, [time]),
        ({"split": "order"}, [item]),
        ({"split": "time", "time_column": "device"}, [item]),
        ({"drop": ["device"]}, [item]),
        ({"categorical": ["movieId", "shop"], "drop": ["device", "hour"]}, []),
    ):
        notes = [
            note
            for note in prepare("table", raw, **changes).notes
            if "looks like the item" in note or "a time:" in note
        ]
        assert len(notes) == len(said)
        assert all(note.startswith(start) for note, start in zip(notes, said, strict=True))


@pytest.mark.parametrize(
    ("name", "cells", "looks"),
    [
        ("timestamp", [978_300_760, 978_302_109], True),
        ("click_date", [20240101, 20240131], True),
        ("created_at", ["2024-01-01T00:00:00"], True),
        ("x", [1_600_000_000_123, 1_700_000_000_000], True),
        ("x", [1_600_000_000_123_456_789], True),
        ("hour", [0, 23], False),
        ("user_id", [978_300_760, 978_302_109], False),
        ("x", [1_600_000_000, 12], False),
        ("time", ["soon"], False),
        ("time", ["1" * 5000], False),
    ],
)
def test_what_looks_like_a_time(name: str, cells: list[Any], looks: bool) -> None:
    columns = {"label": cycled(0, 1), "c": cycled("x", "y"), name: cycled(*cells)}
    notes = prepare("table", write_csv("a.csv", columns)).notes
    assert any(f"dataset.time_column={name}" in note for note in notes) == looks


SUSPECTS: dict[str, tuple[list[Any], str]] = {
    "row": ([f"r{i}" for i in range(400)], "is nearly unique per row (400 values in 400 rows)"),
    "Unnamed: 0": (list(range(400)), "its name is that of a row's number"),
    "converted": (cycled(0, 0, 1), "looks like a second label"),
    "outcome": (["won" if i % 2 and i != 3 else "lost" for i in range(400)], "looks like a second label"),
}


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_columns_that_seem_not_to_belong_are_named(write: Any) -> None:
    columns = {
        "label": cycled(0, 1),
        "shop": cycled("a", "b", "c"),
        **{name: cells for name, (cells, _) in SUSPECTS.items()},
    }
    raw: Path = write("a", columns)
    raw = raw.rename(raw.with_suffix(".csv" if write is write_csv else ".parquet"))
    warnings = [note for note in prepare("table", raw).notes if "dataset.drop" in note]
    assert len(warnings) == len(SUSPECTS)
    for name, (_, said) in SUSPECTS.items():
        assert any(warning.startswith(f"column {name}: {said}") for warning in warnings)
    assert prepare("table", raw, label="label", categorical=["shop"], numeric=[]).notes == ()
