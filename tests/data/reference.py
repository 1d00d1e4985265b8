"""What prepare should make of raw rows, in plain Python: lists, dicts and one row at a time."""

import csv
import gzip
import io
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mlet_bench.data.prepare import parts, spool, vocabulary
from mlet_bench.data.prepared import Prepared
from mlet_bench.data.sources import text
from mlet_bench.errors import UserError
from tests.conftest import prepare

SPLITS = ("train", "valid", "test")


@dataclass
class Row:
    label: int
    numeric: list[float | None]
    categories: list[str]
    """Missing ones are ""."""
    key: Any = None
    """What the split goes by, where it goes by a column."""


def sevenths(rows: Sequence[Row]) -> list[str]:
    part = len(rows) // 7
    return ["train"] * (len(rows) - part) + ["valid"] * (part - part // 2) + ["test"] * (part // 2)


def last_day(rows: Sequence[Row], shares: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0) -> list[str]:
    days = sorted({row.key for row in rows})
    if len(days) == 1:
        return stratified(rows, shares, seed)
    on_last = sum(row.key == days[-1] for row in rows)
    found, passed = [], 0
    for row in rows:
        if row.key != days[-1]:
            found.append("train")
        else:
            passed += 1
            found.append("valid" if passed <= math.ceil(on_last / 2) else "test")
    return found


def stratified(rows: Sequence[Row], shares: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0) -> list[str]:
    """A class's rows cut in these shares; each hundred of them shuffled by a stream for the class and the hundred."""
    places: dict[int, list[int]] = {0: [], 1: []}
    for place, row in enumerate(rows):
        places[row.label].append(place)
    found = [""] * len(rows)
    for label, of_class in places.items():
        for start in range(0, len(of_class), 100):
            hundred = of_class[start : start + 100]
            deal: list[int] = []
            for split in range(3):
                share = sum(shares[: split + 1])
                before, until = (math.floor(share * count + 1e-6) for count in (start, start + len(hundred)))
                deal += [split] * (until - before - len(deal))
            dealt = np.random.default_rng([seed, 3, label, start // 100]).permutation(deal)
            for place, split in zip(hundred, dealt.tolist(), strict=True):
                found[place] = SPLITS[split]
    return found


def in_order(rows: Sequence[Row], shares: Sequence[float] = (0.8, 0.1, 0.1)) -> list[str]:
    train, valid = (math.floor(sum(shares[:n]) * len(rows) + 1e-6) for n in (1, 2))
    return ["train" if i < train else "valid" if i < valid else "test" for i in range(len(rows))]


def given(rows: Sequence[Row]) -> list[str]:
    return [row.key for row in rows]


def thinned(splits: Sequence[str], share: float, seed: int = 0) -> list[str | None]:
    draws = np.random.default_rng(seed).random(len(splits)).tolist()
    return [None if split == "train" and draw >= share else split for split, draw in zip(splits, draws, strict=True)]


def log1p(value: float | None) -> float:
    return math.log1p(max(value or 0, 0))


def bucket(value: float | None) -> str:
    if value is None:
        return "0"
    return str(math.floor(math.log(value) ** 2)) if value > 2 else str(int(float(value)))


def moments(values: Sequence[float | None]) -> tuple[float, float]:
    known = [value for value in values if value is not None]
    if not known:
        return 0.0, 1.0
    mean = math.fsum(known) / len(known)
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in known) / len(known)) or 1.0


@dataclass
class Vocabulary:
    entries: list[tuple[str, int, int]]
    """value, id and training count, the most frequent first, equal counts by first appearance in the raw rows"""
    reserved: int
    ids: dict[str, int] = field(init=False)
    counts: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.ids = {value: number for value, number, _ in self.entries}
        self.counts = {value: count for value, _, count in self.entries}

    @property
    def own(self) -> int:
        return sum(number >= self.reserved for _, number, _ in self.entries)


def numbered(all_values: Sequence[str], train_values: Sequence[str], min_count: int) -> Vocabulary:
    first = {value: place for place, value in reversed(list(enumerate(all_values)))}
    counts = Counter(train_values)
    reserved = 1 if min_count == 1 else 2
    entries = []
    for place, value in enumerate(sorted(counts, key=lambda value: (-counts[value], first[value]))):
        entries.append((value, reserved + place if counts[value] >= min_count else 1, counts[value]))
    return Vocabulary(entries, reserved)


def assert_equals_reference(
    prepared: Prepared,
    rows: Sequence[Row],
    splits: Sequence[str | None],
    numeric: Sequence[str],
    categorical: Sequence[str],
    *,
    min_count: int = 1,
    numeric_as: str = "log1p",
) -> None:
    """Every cell, id, count and sum of a prepared folder; a split of None: the row was thinned out."""
    columns = [[row.numeric[i] for row in rows] for i in range(len(numeric))]
    fields = {name: [row.categories[i] for row in rows] for i, name in enumerate(categorical)}
    missing = {name: sum(value is None for value in column) for name, column in zip(numeric, columns, strict=True)}
    missing |= {name: values.count("") for name, values in fields.items()}
    assert prepared.manifest["missing"] == missing
    if numeric_as == "bucket":
        fields = {name: [bucket(v) for v in column] for name, column in zip(numeric, columns, strict=True)} | fields
        numeric, columns = [], []
    assert (prepared.numeric, prepared.fields) == (tuple(numeric), tuple(fields))
    places = {split: [place for place, found in enumerate(splits) if found == split] for split in SPLITS}
    found = {split: prepared.split(split) for split in SPLITS}
    for split, chosen in places.items():
        labels = [rows[place].label for place in chosen]
        assert found[split].label_B.tolist() == labels
        assert prepared.manifest["rows"][split] == len(labels)
        assert prepared.manifest["positives"][split] == sum(labels)
    for index, (name, column) in enumerate(zip(numeric, columns, strict=True)):
        mean, std = moments([column[place] for place in places["train"]])
        if numeric_as == "standard":
            assert prepared.manifest["moments"][name] == pytest.approx([mean, std], rel=1e-6, abs=1e-9)
        for split, chosen in places.items():
            values = [column[place] for place in chosen]
            if numeric_as == "standard":
                wanted = [0.0 if value is None else (value - mean) / std for value in values]
            else:
                wanted = [log1p(value) if numeric_as == "log1p" else value or 0.0 for value in values]
            np.testing.assert_allclose(found[split].numeric_BN[:, index], wanted, rtol=1e-5, atol=1e-6)
    for index, (name, values) in enumerate(fields.items()):
        known = numbered(values, [values[place] for place in places["train"]], min_count)
        table = pq.read_table(prepared.folder / "vocab" / f"{name}.parquet", partitioning=None)
        assert table.column_names == ["field", "value", "id", "train_count"]
        assert set(table.column("field").to_pylist()) == {name}
        columns_of = [table.column(column).to_pylist() for column in ("value", "id", "train_count")]
        assert list(zip(*columns_of, strict=True)) == known.entries
        merged = [count for _, _, count in known.entries if count < min_count]
        assert prepared.manifest["fields"][index] == {
            "field": name,
            "cardinality": known.own + known.reserved,
            "categories": known.own,
            "merged": len(merged),
            "merged_train_rows": sum(merged),
        }
        for split, chosen in places.items():
            assert found[split].ids_BF[:, index].tolist() == [known.ids.get(values[place], 0) for place in chosen]
            counts_BF = found[split].counts_BF
            assert counts_BF is not None
            assert counts_BF[:, index].tolist() == [known.counts.get(values[place], 0) for place in chosen]


def assert_prepares_as_reference(
    place: Path,
    choice: str,
    raw: Path,
    rows: Sequence[Row],
    splits: Sequence[str | None],
    numeric: Sequence[str],
    categorical: Sequence[str],
    size: dict[str, int],
    /,
    **changes: object,
) -> None:
    """Prepares in this size of work; where the reference leaves a split without rows, prepare must say so."""
    empty = next((split for split in SPLITS if split not in splits), None)
    with sizes(**size):
        if empty is not None:
            with pytest.raises(UserError, match=f"the {empty} split has no rows"):
                prepare_in(place, choice, raw, **changes)
            assert not (place / "prepared").exists()
            return
        prepared = prepare_in(place, choice, raw, **changes)
        options = prepared.manifest["options"]
        assert_equals_reference(
            prepared, rows, splits, numeric, categorical,
            min_count=options["min_count"], numeric_as=options["numeric_as"],
        )  # fmt: skip


def write(path: Path, content: bytes) -> Path:
    """The raw file, packed where its name ends with .gz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


def read_cells(path: Path, delimiter: str = ",", *, quoted: bool = False) -> list[list[str]]:
    """A raw file's cells, read by the csv module."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    lines = io.StringIO(content.decode(), newline="")
    return list(csv.reader(lines, delimiter=delimiter, quoting=quoting))


def number(cell: str) -> float | None:
    return float(cell) if cell else None


@contextmanager
def sizes(
    chunk_bytes: int = 1 << 26, few_lines: int = 256, merge_at: int = 1 << 19, part_rows: int = 1 << 19,
    row_group_rows: int = 1 << 17, keys_at: int = 1 << 16,
) -> Iterator[None]:  # fmt: skip
    """The sizes in which the work is done, for as long as the block lasts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "CHUNK_BYTES", chunk_bytes)
        patch.setattr(text, "FEW_LINES", few_lines)
        patch.setattr(vocabulary, "MERGE_AT", merge_at)
        patch.setattr(parts, "PART_ROWS", part_rows)
        patch.setattr(parts, "ROW_GROUP_ROWS", row_group_rows)
        patch.setattr(spool, "KEYS_AT", keys_at)
        yield


TINY_SIZES: list[dict[str, int]] = [
    {},
    {"chunk_bytes": 1, "few_lines": 1, "merge_at": 1, "part_rows": 7, "row_group_rows": 3, "keys_at": 1},
    {"chunk_bytes": 400, "few_lines": 2, "merge_at": 9, "part_rows": 5, "row_group_rows": 5, "keys_at": 4},
    {"chunk_bytes": 1_500, "few_lines": 8, "merge_at": 50, "part_rows": 1_000, "row_group_rows": 9, "keys_at": 11},
]


def prepare_in(place: Path, choice: str, raw: Path, **changes: object) -> Prepared:
    """As `prepare`, with data/ in a folder that nothing was prepared in yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLET_BENCH_DATA", str(place))
        return prepare(choice, raw, **changes)


def bad_rows(prepared: Prepared) -> list[dict[str, Any]]:
    path = prepared.folder / "bad_rows.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line] if path.exists() else []


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
