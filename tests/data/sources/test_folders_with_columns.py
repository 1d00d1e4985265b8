"""Columns that stand in the names of folders, as Hive and Spark write them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from mlet_bench.data.prepared import Prepared
from mlet_bench.errors import UserError
from tests.conftest import prepare

DAYS = ("2024-01-01", "2024-01-02", "2024-01-03")


def write(path: Path, columns: dict[str, list[Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        csv.write_csv(table, path)
    return path


def columns(first: int, rows: int, **more: Any) -> dict[str, list[Any]]:
    numbers = range(first, first + rows)
    return {"label": [k % 2 for k in numbers], "item": [k * k % 11 for k in numbers], **more}


def content(prepared: Prepared) -> dict[str, str]:
    return {name: known["md5"] for name, known in prepared.manifest["files"].items()}


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize("raw", ["raw", "raw/*", "raw/dt=*/*"])
@pytest.mark.parametrize(
    "changes",
    [
        {"categorical": ["item", "dt"], "shares": [0.5, 0.25, 0.25]},
        {"split": "time", "time_column": "dt"},
    ],
    ids=["a category", "the time"],
)
def test_a_folders_name_is_a_column_like_one_in_the_file(
    workplace: Path, kind: str, raw: str, changes: dict[str, Any]
) -> None:
    for place, day in enumerate(DAYS):
        write(workplace / "raw" / f"dt={day}" / f"part-0.{kind}", columns(60 * place, 60))
        write(workplace / "flat" / f"{place}.{kind}", columns(60 * place, 60, dt=[day] * 60))
    (workplace / "raw" / "_SUCCESS").touch()
    found, flat = prepare("table", Path(raw), **changes), prepare("table", workplace / "flat", **changes)
    assert content(found) == content(flat)
    assert found.folder != flat.folder


def test_several_columns_escapes_and_missing_cells(workplace: Path) -> None:
    for place, city in enumerate(["New%20York", "__HIVE_DEFAULT_PARTITION__", "12.0"]):
        write(workplace / "raw" / f"year={2020 + place}" / f"city={city}" / "a.parquet", columns(60 * place, 60))
    found = prepare("table", Path("raw"), numeric=["year"])
    assert (found.numeric, found.fields) == (("year",), ("item", "city"))
    assert sorted(found.vocabulary_table("city").column("value").to_pylist()) == ["", "12", "New York"]
    assert found.manifest["missing"] == {"year": 0, "item": 0, "city": 60}
    assert "city    categorical  folders' names: text, 2 different" in "\n".join(found.notes)


def test_labels_in_the_names_of_folders(workplace: Path) -> None:
    for label in ("yes", "no"):
        item = [k % 5 for k in range(100)]
        write(workplace / "raw" / f"label={label}" / "a.csv", {"item": item, "c": ["x"] * 100})
    found = prepare("table", Path("raw"), positive="yes")
    assert found.manifest["positives"] == {"train": 80, "valid": 10, "test": 10}


def test_folders_that_say_a_split_are_no_column(workplace: Path) -> None:
    for split, rows in (("train", 60), ("valid", 20), ("test", 20)):
        write(workplace / "raw" / f"split={split}" / "dt=1" / "a.parquet", columns(0, rows))
    found = prepare("table", Path("raw"))
    assert found.rows == {"train": 60, "valid": 20, "test": 20}
    assert found.fields == ("item", "dt")


def test_values_decide_the_folder_and_paths_do_not(workplace: Path) -> None:
    for root, days in (("a", DAYS), ("b", DAYS), ("c", DAYS[::-1])):
        for place, day in enumerate(sorted(days)):
            write(workplace / root / f"dt={days[place]}" / f"{day}.csv", columns(60 * place, 60))
    folders = [prepare("table", Path(root), categorical=["item", "dt"]).folder for root in "abc"]
    assert folders[0] == folders[1]
    assert folders[0] != folders[2]


@pytest.mark.parametrize(
    ("names", "changes", "said"),
    [
        (["dt=1/a.csv", "b.csv"], {}, r"say the columns \[dt\], those of .* \[\]; all files need the same|"
                                      r"say the columns \[\], those of .* \[dt\]; all files need the same"),
        (["dt=1/a.csv", "dt=soon/b.csv"], {"split": "time", "time_column": "dt"},
         "the folder dt=soon: 'soon' is neither a whole number nor a date"),
        (["dt=1/a.csv", "dt=soon/b.csv"], {"numeric": ["dt"]}, "the folder dt=soon: 'soon' is no finite number"),
    ],
)  # fmt: skip
def test_folders_that_do_not_go_together(workplace: Path, names: list[str], changes: dict[str, Any], said: str) -> None:
    for name in names:
        write(workplace / "raw" / name, columns(0, 60))
    with pytest.raises(UserError, match=said):
        prepare("table", Path("raw"), **changes)
