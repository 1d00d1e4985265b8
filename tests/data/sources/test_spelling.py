"""The same table has the same categories and missing cells from csv and from Parquet, whoever wrote it."""

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlet_bench.data.prepared import Prepared
from tests.conftest import prepare
from tests.data import reference

ROWS = 400


def write_csv(name: str, columns: dict[str, list[Any]]) -> Path:
    """As Python spells the values, which is how pandas does; None is an empty cell."""
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join("" if cell is None else str(cell) for cell in row) for row in rows)]
    return reference.write(Path(name).absolute(), "\n".join(lines).encode())


def write_parquet(name: str, columns: dict[str, list[Any]], **types: pa.DataType) -> Path:
    arrays = {key: pa.array(cells, types.get(key), from_pandas=False) for key, cells in columns.items()}
    pq.write_table(pa.table(arrays), name)
    return Path(name).absolute()


def cycled(*cells: Any, rows: int = ROWS) -> list[Any]:
    return [cells[i % len(cells)] for i in range(rows)]


def both(columns: dict[str, list[Any]], **changes: Any) -> tuple[Prepared, Prepared]:
    return (
        prepare("table", write_csv("a.csv", columns), **changes),
        prepare("table", write_parquet("a.parquet", columns), **changes),
    )


def test_missing_cells_are_missing_in_parquet_as_in_csv() -> None:
    columns = {"label": cycled(0, 1), "s": cycled("-1", "None", "NA", "a", "b", r"\N", "12.0"), "i": cycled(-1, 1, 2),
               "x": cycled(0.5, -1.0, None, 7.25), "t": cycled("0.5", "NA", "-1")}  # fmt: skip
    csv, parquet = both(columns, missing=["-1", "NA"], categorical=["s", "i"], numeric=["x", "t"])
    assert csv.manifest["missing"] == parquet.manifest["missing"] == {"x": 200, "t": 266, "s": 115, "i": 134}
    assert csv.manifest["vocabulary"] == parquet.manifest["vocabulary"]


def test_default_missing_cells_and_nan_are_missing_in_parquet() -> None:
    columns = {"label": cycled(0, 1), "s": cycled("NA", "null", "NaN", "None", "a"), "f": cycled(float("nan"), 2.0)}
    parquet = prepare("table", write_parquet("a.parquet", columns), categorical=["s", "f"])
    assert parquet.manifest["missing"] == {"s": 320, "f": 200}
    assert parquet.vocabulary_table("f").column("value").to_pylist() == ["", "2"]


KINDS: dict[str, list[Any]] = {
    "flag": [True, False, None],
    "whole": [12.0, 13.0, -0.0, None, 1e15],
    "real": [0.1, 1e-05, 12.5],
    "integer": [1, -3, 2**60, None],
    "decimal": [Decimal("12.00"), Decimal("12.50"), Decimal("0.10")],
    "day": [date(2024, 1, 31), date(1999, 12, 1)],
    "time": [datetime(2024, 1, 31), datetime(2024, 1, 31, 3, 4, 5), datetime(2024, 1, 31, 3, 4, 5, 500_000)],
    "version": ["1.10", "1.1", "012", "012.0", "1e5"],
}


def test_every_type_has_one_spelling_in_csv_and_parquet() -> None:
    columns = {"label": cycled(0, 1), **{name: cycled(*cells) for name, cells in KINDS.items()}}
    csv, parquet = both(columns, categorical=list(KINDS), numeric=[])
    values = {name: set(csv.vocabulary_table(name).column("value").to_pylist()) for name in KINDS}
    assert values == {name: set(parquet.vocabulary_table(name).column("value").to_pylist()) for name in KINDS}
    assert csv.manifest["vocabulary"] == parquet.manifest["vocabulary"]
    assert values["flag"] == {"true", "false", ""}
    assert values["whole"] == {"12", "13", "0", "", "1000000000000000"}
    assert values["decimal"] == {"12", "12.50", "0.10"}
    assert values["time"] == {"2024-01-31", "2024-01-31 03:04:05", "2024-01-31 03:04:05.5"}
    assert values["version"] == {"1.10", "1.1", "012", "012.0", "1e5"}  # names, not numbers


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64(), pa.int16(), pa.decimal128(22, 3), pa.string()])
def test_whole_numbers_of_any_type_are_known_to_the_vocabulary_of_a_csv(kind: pa.DataType) -> None:
    raw = write_csv("a.csv", {"label": cycled(0, 1), "c": cycled(1.0, 2.0, 3.0)})
    known = prepare("table", raw, label="label", categorical=["c"])
    raw = write_parquet("b.parquet", {"label": cycled(0, 1)})
    table = pq.read_table(raw).append_column("c", pa.array(cycled(1, 2, 3)).cast(kind))
    pq.write_table(table, raw)
    found = prepare("table", raw, label="label", categorical=["c"], split="test", vocab=known.folder)
    assert np.count_nonzero(found.split("test").ids_BF) == ROWS
    assert found.notes == ()


def test_column_that_a_vocabulary_hardly_knows_is_named() -> None:
    columns = {"label": cycled(0, 1), "a": cycled("x", "y"), "b": cycled("u", "v")}
    known = prepare("table", write_csv("a.csv", columns), categorical=["a", "b"])
    for name, count in (("b.csv", 100), ("c.csv", 101)):
        rows = {key: cells[:count] for key, cells in columns.items()} | {"a": ["x"] * 10 + ["p"] * (count - 10)}
        options: dict[str, Any] = {"split": "test", "vocab": known.folder, "label": "label", "categorical": ["a", "b"]}
        found = prepare("table", write_csv(name, rows), **options)
        said = ("column a: 90.1 % of the rows hold categories that dataset.vocab does not have, as 'p'; "
                "it has 'x', 'y'")  # fmt: skip
        assert found.notes == ((said,) if count == 101 else ())
        again = prepare(
            "table", Path(name).absolute(), split="test", vocab=known.folder, label="label", categorical=["a", "b"]
        )
        assert again.notes == found.notes  # the warning belongs to the folder
