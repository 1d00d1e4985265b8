"""The user's own Parquet against the plain reference."""

import random
import tempfile
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv

from mlet_bench.data.sources import parquet_table
from mlet_bench.errors import UserError
from tests.conftest import prepare
from tests.data import reference
from tests.data.reference import Row
from tests.data.sources.test_rows_of_criteo import LABELS, quick
from tests.data.sources.test_rows_of_movielens import by_time

CATEGORICAL = ["text", "coded", "whole", "flag", "small"]
NUMERIC = ["real", "single", "count"]
TEXT = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=3))


def as_category(value: Any) -> str:
    if value is None:
        return ""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def as_number(value: Any) -> float | None:
    return None if value is None or value != value else float(value)


@quick
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(20, 60),
    labels=LABELS,
    texts=st.lists(TEXT, max_size=6),
    reals=st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(float("nan"))), max_size=4),
    label_type=st.sampled_from([pa.bool_(), pa.int8(), pa.uint64(), pa.float32()]),
    group_rows=st.sampled_from([7, 1000]),
    batch_rows=st.sampled_from([3, 1 << 17]),
    split=st.sampled_from(["random", "order", "time", "column"]),
    size=st.sampled_from(reference.TINY_SIZES),
    options=st.fixed_dictionaries(
        {"numeric_as": st.sampled_from(["standard", "bucket", "log1p", "as_is"]), "min_count": st.integers(1, 3)}
    ),
)
def test_parquet(
    workplace: Path, seed: int, rows: int, labels: str, texts: list[Any], reals: list[Any], label_type: pa.DataType,
    group_rows: int, batch_rows: int, split: str, size: dict[str, int], options: dict[str, Any],
) -> None:  # fmt: skip
    place, rng = Path(tempfile.mkdtemp(dir=workplace)), random.Random(seed)

    def column(pool: list[Any]) -> list[Any]:
        return [rng.choice(pool) for _ in range(rows)]

    label = [int(cell) for cell in column(list(labels))]
    values = {
        "text": column(["a", "b", *texts]),
        "coded": column(["x", "y", None, *texts]),
        "whole": column([1, 2, 2, -3, None, 2**40]),
        "flag": column([True, False, None]),
        "small": column([0, 1, 255]),
        "real": column([0.5, None, float("nan"), *reals]),
        "single": column([0.25, 3.0, None]),
        "count": column([0, 1, 40, None, 2**53 + 1]),
    }
    when = column(list(reference.SPLITS)) if split == "column" else column(list(range(40)))
    types = {"coded": pa.dictionary(pa.int8(), pa.string()), "small": pa.uint8(), "single": pa.float32(),
             "count": pa.int64()}  # fmt: skip
    arrays = {name: pa.array(cells, types.get(name), from_pandas=False) for name, cells in values.items()}
    arrays["label"] = pa.array(label).cast(label_type)
    arrays["when"] = pa.array(when)
    names = rng.sample(list(arrays), len(arrays))
    pq.write_table(pa.table({name: arrays[name] for name in names}), place / "a.parquet", row_group_size=group_rows)
    found = [
        Row(
            label[i],
            [as_number(values[name][i]) for name in NUMERIC],
            [as_category(values[name][i]) for name in CATEGORICAL],
            when[i],
        )
        for i in range(rows)
    ]
    if split == "time" and len(set(when)) < 3:
        return
    rule = {"order": reference.in_order, "time": by_time, "column": reference.given}.get(split, reference.stratified)
    by = {"time": {"time_column": "when"}, "column": {"split_column": "when"}}.get(split, {"drop": ["when"]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_table, "BATCH_ROWS", batch_rows)
        reference.assert_prepares_as_reference(
            place, "table", place / "a.parquet", found, rule(found), NUMERIC, CATEGORICAL, size, label="label",
            numeric=NUMERIC, categorical=CATEGORICAL, split=split, **by, **options,
        )  # fmt: skip


def test_parquet_and_csv_of_one_table_are_the_same(workplace: Path) -> None:
    rng = np.random.default_rng(0)
    kind = [None if i % 7 == 0 else cell for i, cell in enumerate(rng.choice(["a", "b", "c"], 300).tolist())]
    size = [None if i % 5 == 0 else cell for i, cell in enumerate(rng.normal(size=300).round(3).tolist())]
    frame = pa.table({"y": rng.integers(0, 2, 300), "kind": kind, "size": size})
    pq.write_table(frame, "frame.parquet")
    csv.write_csv(frame, "frame.csv")
    one, other = (prepare("table", workplace / f"frame.{suffix}") for suffix in ("parquet", "csv"))
    assert one.manifest["vocabulary"] == other.manifest["vocabulary"]
    assert one.manifest["missing"] == other.manifest["missing"] == {"kind": 43, "size": 60}
    np.testing.assert_allclose(one.split("train").numeric_BN, other.split("train").numeric_BN, rtol=1e-6)


def columns_of(rows: int) -> dict[str, list[Any]]:
    return {"label": [i % 2 for i in range(rows)], "c": ["xyz"[i % 3] for i in range(rows)],
            "n": [i + 0.5 for i in range(rows)], "t": list(range(rows))}  # fmt: skip


BAD = {
    "label": ("label", 2, "line 40, column label: '2.0' is neither 0 nor 1"),
    "no label": ("label", None, "line 40, column label: 'None' is neither 0 nor 1"),
    "infinite": ("n", float("inf"), "line 40, column n: 'inf' is no finite number"),
    "beyond 32 bits": ("n", -1e300, "line 40, column n: '-1e+300' is no finite number of 32 bits"),
    "no time": ("t", None, "line 40, column t: 'None' is neither a whole number"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("batch_rows", [1 << 17, 11])
def test_bad_row_is_named_or_set_aside(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, name: str, batch_rows: int
) -> None:
    monkeypatch.setattr(parquet_table, "BATCH_ROWS", batch_rows)
    column, value, said = BAD[name]
    columns = columns_of(60)
    columns[column][39] = value
    pq.write_table(pa.table(columns), "bad.parquet")
    by: dict[str, Any] = {"split": "time", "time_column": "t"}
    with pytest.raises(UserError) as caught:
        prepare("table", workplace / "bad.parquet", **by)
    assert f"bad.parquet: {said}" in str(caught.value)
    assert not (workplace / "data" / "prepared").exists()
    with pytest.raises(UserError, match=r"1 bad rows of .* more than dataset.max_bad_share=0.01"):
        prepare("table", workplace / "bad.parquet", bad_rows="skip", **by)
    pq.write_table(pa.table({key: cells[:39] + cells[40:] for key, cells in columns_of(60).items()}), "good.parquet")
    skipped = prepare("table", workplace / "bad.parquet", bad_rows="skip", max_bad_share=0.02, **by)
    good = prepare("table", workplace / "good.parquet", **by)
    (entry,) = reference.bad_rows(skipped)
    assert (entry["file"], entry["line"], entry["column"]) == ("bad.parquet", 40, column)
    assert skipped.manifest["bad_rows"] == 1
    for split in reference.SPLITS:
        np.testing.assert_array_equal(skipped.split(split).ids_BF, good.split(split).ids_BF)
        np.testing.assert_array_equal(skipped.split(split).numeric_BN, good.split(split).numeric_BN)


@pytest.mark.parametrize(
    "times",
    [
        [f"2020-01-01T00:{i:02d}:00" for i in range(60)],
        [date(2020, 1, 1).replace(month=i // 10 + 1, day=i % 10 + 1) for i in range(60)],
        [datetime(2020, 1, 1, i // 60, i % 60) for i in range(60)],
    ],
    ids=["text", "dates", "timestamps"],
)
def test_times_of_other_types(workplace: Path, times: list[Any]) -> None:
    folders = []
    for number, cells in enumerate((list(range(60)), times)):
        pq.write_table(pa.table({**columns_of(60), "t": cells[::-1]}), f"{number}.parquet")
        folders.append(prepare("table", workplace / f"{number}.parquet", split="time", time_column="t"))
    for split in reference.SPLITS:
        np.testing.assert_array_equal(*(folder.split(split).numeric_BN for folder in folders))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n": ["many"] * 60}, r"a.parquet: column n of type string cannot be read as a number"),
        ({"c": [[1]] * 60}, r"a.parquet: column c of type list<.*> cannot be read as text"),
        ({"t": ["soon"] * 60}, r"a.parquet: line 1, column t: 'soon' is neither"),
    ],
)
def test_columns_of_the_wrong_type(workplace: Path, change: dict[str, list[Any]], said: str) -> None:
    pq.write_table(pa.table({**columns_of(60), **change}), "a.parquet")
    with pytest.raises(UserError, match=said):
        prepare("table", workplace / "a.parquet", label="label", numeric=["n"], categorical=["c"], split="time",
                time_column="t")  # fmt: skip
    assert not (workplace / "data" / "prepared").exists()


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"PAR1" + b[4:-8] + b"x" * 8])
def test_file_that_is_no_parquet(workplace: Path, damage: Any) -> None:
    pq.write_table(pa.table(columns_of(60)), "a.parquet")
    path = workplace / "a.parquet"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"a.parquet: cannot be read as Parquet"):
        prepare("table", path)
    assert [path.name for path in workplace.iterdir()] == ["a.parquet"]


@pytest.mark.parametrize(
    "times",
    [
        [1_700_000_000_000_000_000 + i for i in range(60)],  # nanoseconds, finer than 64-bit floats
        [1_700_000_000.0 + i for i in range(60)],
        [1.7e18 + 1e12 * i for i in range(60)],
        [Decimal(f"{1_700_000_000 + i}.00") for i in range(60)],
        [-i for i in range(60, 0, -1)],
    ],
    ids=["19 digits", "whole floats", "exponents", "decimals", "before 1970"],
)
def test_times_are_the_same_in_csv_and_parquet(workplace: Path, times: list[Any]) -> None:
    frame = pa.table({**columns_of(60), "t": times[::-1]})
    pq.write_table(frame, "a.parquet")
    lines = [",".join(frame.column_names), *(",".join(map(str, row.values())) for row in frame.to_pylist())]
    reference.write(workplace / "a.csv", "\n".join(lines).encode())
    by: dict[str, Any] = {"split": "time", "time_column": "t", "numeric_as": "as_is"}
    for suffix in ("csv", "parquet"):
        found = prepare("table", workplace / f"a.{suffix}", **by)
        first = sorted(np.concatenate([found.split("valid").numeric_BN[:, 0], found.split("test").numeric_BN[:, 0]]))
        assert first == [i + 0.5 for i in range(12)]  # the latest fifth, which stands first in the file
