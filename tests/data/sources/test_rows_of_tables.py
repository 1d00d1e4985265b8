"""The user's own csv against the plain reference: quotes, missing cells, every split, named and guessed columns."""

import csv
import io
import random
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlet_bench.data.sources import text
from mlet_bench.errors import UserError
from tests.conftest import dataset_config, prepare
from tests.data import reference
from tests.data.reference import Row
from tests.data.sources.test_rows_of_criteo import LABELS, quick
from tests.data.sources.test_rows_of_movielens import by_time

CELL = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=3)
MISSING = ("", "NA", "NaN", "nan", "null", "NULL", "None")
COLUMNS = ["shop", "price", "label", "item", "age", "when"]
START = datetime(2020, 2, 28, tzinfo=UTC)


def csv_bytes(rows: list[list[str]], delimiter: str, quoting: Any, end: str, last_end: bool) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows(rows)
    return out.getvalue().removesuffix("" if last_end else end).encode()


def rows_of(path: Path, delimiter: str, split: str) -> list[Row]:
    header, *body = reference.read_cells(path, delimiter, quoted=True)
    found = []
    for cells in body:
        row = dict(zip(header, ("" if cell in MISSING else cell for cell in cells), strict=True))
        key = {"column": row["when"], "files": path.name.split(".")[0]}.get(split)
        if split == "time":
            key = int(row["when"]) if row["when"].isdigit() else datetime.fromisoformat(row["when"]).timestamp()
        numeric = [reference.number(row["price"]), reference.number(row["age"])]
        found.append(Row(int(float(row["label"])), numeric, [row["shop"], row["item"]], key))
    return found


def splits_of(rows: list[Row], split: str) -> list[str]:
    rules = {"order": reference.in_order, "time": by_time}
    return rules.get(split, reference.given if split in ("column", "files") else reference.stratified)(rows)


@quick
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(20, 70),
    labels=LABELS,
    cells=st.lists(CELL, max_size=8),
    numbers=st.lists(st.floats(-1e6, 1e6).map(repr), max_size=4),
    suffix=st.sampled_from(["csv", "tsv", "txt", "csv.gz", "tsv.gz"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
    last_end=st.booleans(),
    split=st.sampled_from(["auto", "random", "order", "time", "column", "files"]),
    iso=st.booleans(),
    size=st.sampled_from(reference.TINY_SIZES),
    options=st.fixed_dictionaries(
        {
            "numeric_as": st.sampled_from(["standard", "bucket", "log1p", "as_is"]),
            "min_count": st.integers(1, 3),
            "seed": st.just(0),
        }
    ),
)
def test_csv(
    workplace: Path, seed: int, rows: int, labels: str, cells: list[str], numbers: list[str], suffix: str,
    quoting: Any, end: str, last_end: bool, split: str, iso: bool, size: dict[str, int], options: dict[str, Any],
) -> None:  # fmt: skip
    place, rng = Path(tempfile.mkdtemp(dir=workplace)), random.Random(seed)
    delimiter = "," if "csv" in suffix else "\t"

    def when() -> str:
        if split == "time":
            return (START + timedelta(hours=rng.randrange(60))).isoformat() if iso else str(rng.randrange(60))
        return rng.choice(reference.SPLITS) if split == "column" else ""

    def made(count: int) -> list[list[str]]:
        pool, point = [*"aab", *MISSING[:3], *cells], ["", ".0"]
        return [
            [rng.choice(pool), rng.choice(["1.5", "", "NaN", "7", *numbers]), rng.choice(labels) + rng.choice(point),
             rng.choice(pool), rng.choice(["20", "30", "", "null", "1e3"]), when()]
            for _ in range(count)
        ]  # fmt: skip

    names, found = (reference.SPLITS if split == "files" else ["table"]), []
    for name in names:
        order = rng.sample(range(len(COLUMNS)), len(COLUMNS))
        table = [[row[i] for i in order] for row in [COLUMNS, *made(rows if name != "valid" else 4)]]
        path = reference.write(place / "raw" / f"{name}.{suffix}", csv_bytes(table, delimiter, quoting, end, last_end))
        found += rows_of(path, delimiter, split)
    if split == "time" and len({row.key for row in found}) < 3:
        return
    columns = {"label": "label", "numeric": ["price", "age"], "categorical": ["shop", "item"]}
    given_by = {"time": {"time_column": "when"}, "column": {"split_column": "when"}}.get(split, {"drop": ["when"]})
    reference.assert_prepares_as_reference(
        place, "table", place / "raw" if split == "files" else path, found, splits_of(found, split), ["price", "age"],
        ["shop", "item"], size, split=split, **columns, **given_by, **options,
    )  # fmt: skip


def quoted_lines(seed: int, rows: int) -> bytes:
    """Lines full of quotes, as no careful writer makes them."""
    rng = random.Random(seed)
    pieces = ['"', '""', "a", ",", " "]
    lines = [f"{i % 2}," + "".join(rng.choices(pieces, k=rng.randrange(6))) for i in range(rows)]
    return "".join(line + "\n" for line in ["label,c", *lines]).encode()


@quick
@given(seed=st.integers(0, 2**32))
def test_quotes_mean_the_same_in_any_chunk_and_beside_bad_rows(workplace: Path, seed: int) -> None:
    place = Path(tempfile.mkdtemp(dir=workplace))
    raw = reference.write(place / "table.csv", quoted_lines(seed, 25))
    found = []
    for number, size in enumerate(reference.TINY_SIZES):
        with reference.sizes(**size):
            prepared = reference.prepare_in(
                place / str(number), "table", raw, bad_rows="skip", max_bad_share=1.0, split="order",
                categorical=["c"], numeric=[],
            )  # fmt: skip
        found.append((reference.bad_rows(prepared), prepared.vocabulary_table("c").to_pydict(), prepared.rows))
    assert found[1:] == found[:1] * (len(found) - 1)


@pytest.mark.parametrize("value", ["x\ny", 'x"\n"y', "\n"])
@pytest.mark.parametrize("place", [3, 900])
def test_line_end_inside_quotes_is_read_wherever_it_stands(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, value: str, place: int
) -> None:
    monkeypatch.setattr(text, "check_head", lambda path, layout, skip: None)
    rows = [["label", "c"], *([str(i % 2), "a"] for i in range(1_000))]
    rows[place][1] = value
    raw = reference.write(workplace / "a.csv", csv_bytes(rows, ",", csv.QUOTE_MINIMAL, "\n", True))
    prepared = prepare("table", raw, split="order")
    assert sorted(prepared.vocabulary_table("c").column("value").to_pylist()) == sorted(
        ["a", value][: 1 + (place < 800)]
    )


@pytest.mark.parametrize("size", reference.TINY_SIZES)
def test_byte_order_mark_is_left_out_before_the_header_alone(workplace: Path, size: dict[str, int]) -> None:
    lines = ["kind,label", *(f"\ufeff{'ab'[i % 2]},{i % 2}" for i in range(60))]
    raw = reference.write(workplace / "a.csv", ("\ufeff" + "\n".join(lines)).encode())
    with reference.sizes(**size):
        prepared = reference.prepare_in(workplace / "data", "table", raw)
    assert sorted(prepared.vocabulary_table("kind").column("value").to_pylist()) == ["\ufeffa", "\ufeffb"]


def test_columns_are_guessed_and_shown(workplace: Path) -> None:
    lines = ["id,price,Clicked,day,old,note"]
    lines += [f"{i},{'' if i % 3 else i + 0.5},{i % 2},2020-01-{i % 28 + 1:02d},{str(i % 2 == 0).lower()},n{i % 4}"
              for i in range(60)]  # fmt: skip
    prepared = prepare("table", reference.write(workplace / "a.csv", "\n".join(lines).encode()))
    assert prepared.numeric == ("price",)
    assert prepared.fields == ("id", "old", "note")
    said = (
        "columns were guessed from their names and types: "
        "label=[Clicked], numeric=[price], categorical=[id,old,note], drop=[day]"
    )
    assert prepared.notes[0] == said
    named = prepare(
        "table", workplace / "a.csv", label="Clicked", numeric=["price"], categorical=["id", "old", "note"]
    )  # fmt: skip
    assert named.folder == prepared.folder
    assert named.notes == ()  # though the folder was made by a guess
    assert prepare("table", workplace / "a.csv").notes == prepared.notes
    partly = prepare("table", workplace / "a.csv", label="Clicked", categorical=["id", "old"], drop=["note"])
    assert partly.notes[0] == "columns were guessed from their names and types: numeric=[price], drop=[day]"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label": "clik"}, r"dataset.label=clik: a.csv has no such column.*Did you mean click\?"),
        ({"numeric": ["n", "x"]}, r"dataset.numeric=x: a.csv has no such column"),
        ({"numeric": ["c"], "categorical": ["c"]}, r"dataset.categorical=c: .* under dataset.numeric too"),
        ({"split": "time"}, r"dataset.split=time: dataset.time_column goes with split=time"),
        ({"split_column": "c"}, r"dataset.split=auto: dataset.split_column goes with split=column"),
        ({"split": "files"}, r"dataset.split=files: .* must be a folder"),
        ({"categorical": []}, r"dataset.categorical: at least one column"),
        ({"drop": ["click"]}, r"dataset.label: none of the columns"),
    ],
)
def test_columns_that_cannot_be(workplace: Path, changes: dict[str, Any], said: str) -> None:
    lines = ["click,c,n", *(f"{i % 2},{i % 3},{i}.5" for i in range(30))]
    with pytest.raises(UserError, match=said):
        prepare("table", reference.write(workplace / "a.csv", "\n".join(lines).encode()), **changes)
    assert [path.name for path in workplace.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("name", ["a/b", "../../../../out", "c" * 201, "é" * 101])
def test_column_whose_name_can_be_no_file(workplace: Path, name: str) -> None:
    lines = [f"label,{name}", *(f"{i % 2},{i % 3}" for i in range(30))]
    with pytest.raises(UserError, match="rename the column"):
        prepare("table", reference.write(workplace / "a.csv", "\n".join(lines).encode()))
    assert [path.name for path in workplace.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("kind", ["numeric", "categorical"])
def test_column_named_as_the_counts_of_another(workplace: Path, kind: str) -> None:
    lines = ["label,a,a_count", *(f"{i % 2},{i % 3},{i % 5}" for i in range(60))]
    raw = reference.write(workplace / "a.csv", "\n".join(lines).encode())
    columns: dict[str, Any] = {"categorical": ["a"], "numeric": ["a_count"]}
    if kind == "categorical":
        columns = {"categorical": ["a", "a_count"], "numeric": []}
    assert prepare("table", raw, **columns).rows["train"] > 0
    with pytest.raises(UserError, match=r"a_count: .*min_count"):
        prepare("table", raw, min_count=2, **columns)


def test_every_dataset_of_the_shipped_config_is_valid() -> None:
    for choice in ("table", "criteo", "criteo_x1", "criteo_x4", "avazu", "avazu_paper", "avazu_x1", "avazu_x4",
                   "frappe_x1", "movielenslatest_x1", "movielens1m", "synthetic"):  # fmt: skip
        config = dataset_config(choice)
        assert (
            config.item_field is None
            or config.reader != "bars"
            or config.item_field in config.model_dump()["categorical"]
        )
