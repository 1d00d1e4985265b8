"""Avazu's csv and the ready-split sets of BARS against the plain reference."""

import random
import tempfile
from datetime import date
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlet_bench.data import source_for
from mlet_bench.data.sources.avazu import COLUMNS, PLAIN
from tests.conftest import dataset_config, prepare
from tests.data import reference
from tests.data.reference import Row
from tests.data.sources.test_rows_of_criteo import LABELS, quick

CELL = st.text(st.characters(exclude_characters=",\n\r", exclude_categories=["Cs"]), max_size=3)
DAYS = ["141021", "141022", "141025", "141026", "150101"]
SUNDAY = date(2014, 10, 26)


def of_hour(cell: str) -> tuple[str, str, str]:
    """Hour of the day, weekday from Sunday = 0, and whether it is Saturday or Sunday."""
    day = date(2000 + int(cell[:2]), int(cell[2:4]), int(cell[4:6]))
    weekday = (day - SUNDAY).days % 7
    return cell[6:8], str(weekday), "1" if weekday in (0, 6) else "0"


def table(columns: list[str], rows: list[dict[str, str]], end: str, last_end: bool) -> bytes:
    lines = [",".join(columns), *(",".join(row[name] for name in columns) for row in rows)]
    return (end.join(lines) + end * last_end).encode()


@quick
@given(
    seed=st.integers(0, 2**32),
    days=st.lists(st.sampled_from(DAYS), min_size=1, max_size=4, unique=True),
    rows=st.integers(10, 60),
    labels=LABELS,
    cells=st.lists(CELL, max_size=6),
    shuffled=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
    last_end=st.booleans(),
    name=st.sampled_from(["train.csv", "train.gz"]),
    size=st.sampled_from(reference.TINY_SIZES),
    min_count=st.integers(1, 2),
    split=st.sampled_from(["time", "time", "random"]),
    hour_as=st.sampled_from(["fields", "numeric"]),
)
def test_avazu(
    workplace: Path, seed: int, days: list[str], rows: int, labels: str, cells: list[str], shuffled: bool, end: str,
    last_end: bool, name: str, size: dict[str, int], min_count: int, split: str, hour_as: str,
) -> None:  # fmt: skip
    place, rng = Path(tempfile.mkdtemp(dir=workplace)), random.Random(seed)
    hours = [f"{rng.choice(days)}{rng.randrange(24):02d}" for _ in range(rows)]
    made = []
    for number, hour in enumerate(hours if shuffled else sorted(hours)):
        row = {column: rng.choice([*"aab", "", *cells]) for column in PLAIN}
        made.append({**row, "id": f"{number}e18", "click": rng.choice(labels), "hour": hour})
    columns = rng.sample(COLUMNS, len(COLUMNS))
    reference.write(place / name, table(columns, made, end, last_end))
    header, *body = reference.read_cells(place / name)
    read = [dict(zip(header, cells, strict=True)) for cells in body]
    numeric = hour_as == "numeric"
    found = [
        Row(
            int(row["click"]),
            [float(row["hour"][6:])] * numeric,
            [*of_hour(row["hour"])[: 0 if numeric else 2], *(row[column] for column in PLAIN)],
            row["hour"][:6],
        )
        for row in read
    ]
    splits = reference.last_day(found) if split == "time" else reference.stratified(found)
    reference.assert_prepares_as_reference(
        place, "avazu", place, found, splits, ["hour"] * numeric, PLAIN if numeric else ["hour", "weekday", *PLAIN],
        size, min_count=min_count, split=split, hour_as=hour_as,
    )  # fmt: skip


def test_avazu_as_the_paper_counts_it(workplace: Path) -> None:
    """21 fields, the hour of the day as ln(x + 1), a tenth of the rows for the test."""
    lines = [f"{row},{row % 2},141021{row % 24:02d},{','.join('ab'[row % 2] * len(PLAIN))}" for row in range(400)]
    (workplace / "train.csv").write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")
    prepared = prepare("avazu_paper", workplace)
    assert (prepared.numeric, prepared.fields) == (("hour",), PLAIN)
    assert prepared.rows == {"train": 340, "valid": 20, "test": 40}
    hours = np.expm1(prepared.split("train").numeric_BN[:, 0]).round().astype(int)
    assert set(hours) == set(range(24))
    options = source_for(dataset_config("avazu", workplace)).options()
    assert options == {}  # a folder that was prepared before there was hour_as keeps its name


@quick
@given(
    seed=st.integers(0, 2**32),
    rows=st.tuples(st.integers(1, 40), st.integers(1, 9), st.integers(1, 9)),
    labels=LABELS,
    cells=st.lists(CELL, max_size=6),
    numbers=st.lists(st.floats(-1e6, 1e6).map(repr), max_size=6),
    end=st.sampled_from(["\n", "\r\n"]),
    suffix=st.sampled_from(["csv", "csv.gz"]),
    size=st.sampled_from(reference.TINY_SIZES),
    choice=st.sampled_from(["criteo_x1", "criteo_x4", "avazu_x4", "frappe_x1"]),
    min_count=st.sampled_from([None, 1, 2]),
    share=st.sampled_from([1.0, 0.5]),
)
def test_bars(
    workplace: Path, seed: int, rows: tuple[int, int, int], labels: str, cells: list[str], numbers: list[str],
    end: str, suffix: str, size: dict[str, int], choice: str, min_count: int | None, share: float,
) -> None:  # fmt: skip
    place, rng = Path(tempfile.mkdtemp(dir=workplace)), random.Random(seed)
    config = dataset_config(choice).model_dump()
    hour, numeric, categorical = config["hour"], list(config["numeric"]), list(config["categorical"])
    columns = [config["label"], *numeric, *categorical, *config["drop"], *([hour] if hour else [])]
    found = []
    for split, count in zip(reference.SPLITS, rows, strict=True):
        made = []
        for _ in range(count):
            row = {column: rng.choice([*"aab", "", *cells]) for column in (*categorical, *config["drop"])}
            row |= {column: rng.choice(["", "0.5", "2", "2.0", "3", "1000", *numbers]) for column in numeric}
            row[config["label"]] = rng.choice(labels)
            if hour:
                row[hour] = f"{rng.choice(DAYS)}{rng.randrange(24):02d}"
            made.append(row)
        order = rng.sample(columns, len(columns))
        header, *body = reference.read_cells(
            reference.write(place / f"{split}.{suffix}", table(order, made, end, rng.random() < 0.5))
        )
        for cells_of_row in body:
            row = dict(zip(header, cells_of_row, strict=True))
            categories = [row[column] for column in categorical]
            if hour:
                first, *others = of_hour(row[hour])
                categories = [first, *categories, *others]
            values = [reference.number(row[column]) for column in numeric]
            found.append(Row(int(row[config["label"]]), values, categories, split))
    fields = ["hour", *categorical, "weekday", "weekend"] if hour else categorical
    splits = reference.thinned(reference.given(found), share)
    changes = {} if min_count is None else {"min_count": min_count}
    reference.assert_prepares_as_reference(
        place, choice, place, found, splits, numeric, fields, size, train_share=share, **changes
    )
