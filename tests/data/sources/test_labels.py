"""Labels that are no 0 and 1: words, signs, ratings; from csv and Parquet alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlet_bench.data.prepared import Prepared
from mlet_bench.data.sources import sample
from mlet_bench.errors import UserError
from tests.conftest import Ended, prepare
from tests.data.sources.test_spelling import cycled, write_csv, write_parquet

LABELS: dict[str, tuple[list[Any], str | None, list[int]]] = {
    "booleans": ([True, False, False], None, [1, 0, 0]),
    "yes and no": (["Yes", "no", "NO"], None, [1, 0, 0]),
    "signs": ([-1, 1, 1, 1], None, [0, 1, 1, 1]),
    "signs of floats": ([-1.0, 1.0, 1.0], None, [0, 1, 1]),
    "ratings": ([1, 2, 3, 4, 5], ">=4", [0, 0, 0, 1, 1]),
    "half stars": ([0.5, 3.5, 4.0], ">3.5", [0, 0, 1]),
    "below": ([0.5, 3.5, 4.0], "<=3.5", [1, 1, 0]),
    "word": (["bought", "seen", "left"], "bought", [1, 0, 0]),
    "number": ([0, 1, 2], "2", [0, 0, 1]),
    "signs with zero": ([-1, 0, 1], ">0", [0, 0, 1]),
    "text of ratings": (["4.5", "5", "2"], ">= 4", [1, 1, 0]),
}


def labels(prepared: Prepared) -> list[float]:
    return [label for split in ("train", "valid", "test") for label in prepared.split(split).label_B.tolist()]


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_labels(name: str, write: Callable[..., Path]) -> None:
    cells, positive, wanted = LABELS[name]
    raw = write("a", {"label": cycled(*cells), "c": cycled("x", "y", "z")})
    raw = raw.rename(raw.with_suffix(".csv" if write is write_csv else ".parquet"))
    found = prepare("table", raw, split="order", positive=positive, categorical=["c"])
    assert labels(found) == cycled(*wanted)


@pytest.mark.parametrize(
    ("cells", "changes", "said"),
    [
        (
            [1, 2, 3, 4, 5],
            {},
            r"dataset.label=label: holds 1, 2, 3, 4, 5, which are neither 0 and 1 .*dataset.positive=",
        ),
        ([*[-1, 1] * 100, 0], {}, r"line \d+, column label: '0' is neither 1 nor -1, as the labels above it"),
        ([*[1, 2] * 100, "many"], {"positive": ">1"}, r"line \d+, column label: 'many' is no number"),
        ([*[1, 2] * 100, None], {"positive": ">1"}, r"line \d+, column label: '(None)?' is no number"),
        ([0, 1], {"positive": ">=many"}, r"dataset.positive=>=many: needs a sign and a number"),
    ],
)
def test_what_is_no_label(
    cells: list[Any], changes: dict[str, Any], said: str, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "HEAD_BYTES", 300)
    monkeypatch.setattr(sample, "PIECES", 0)
    monkeypatch.setattr(sample, "PARQUET_ROWS", 50)
    columns = {"label": cells * 2, "c": ["x", "y"] * len(cells)}
    with pytest.raises(UserError, match=said):
        prepare("table", write_csv("a.csv", columns), **changes)
    if "many" not in cells:
        pq.write_table(pa.table(columns), "a.parquet")
        with pytest.raises(UserError, match=said):
            prepare("table", workplace / "a.parquet", **changes)


def test_threshold_needs_no_quotes_inside_those_of_the_shell(command: Callable[..., Ended]) -> None:
    write_csv("ratings.csv", {"user": cycled(1, 2, 3), "rating": cycled(1, 2, 3, 4, 5)})
    shared = ["prepare", "dataset=table", "dataset.raw=ratings.csv", "dataset.label=rating"]
    bare, quoted, other = (command(*shared, f"dataset.positive={given}") for given in (">=4", '">=4"', "<4"))
    assert (bare.code, quoted.code, other.code) == (0, 0, 0), bare.err + other.err
    assert bare.out == quoted.out != other.out
