"""Raw files of every reader with damage at random: read, or refused in one line, and nothing half-written."""

import gzip
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlet_bench.data.prepared import Prepared
from mlet_bench.errors import UserError
from tests.conftest import criteo_cells
from tests.counts import count, times
from tests.data import reference
from tests.data.formats import FORMATS, Format
from tests.data.sources.test_bad_files import PACKED
from tests.ends import alarmed
from tests.mutations import damaged

ROWS = 60


def attempt(form: Format, raw: Path, place: Path, **changes: Any) -> Prepared | None:
    """The prepared folder, whole, or nothing at all and a line that says why."""
    try:
        with alarmed():
            found = reference.prepare_in(place, form.choice, raw, **{**form.changes, **changes})
            found.verify()
            return found
    except UserError:
        assert not (place / "prepared").exists()
        return None


def rows_of(prepared: Prepared) -> dict[str, bytes]:
    content = reference.contents(prepared.folder)
    content.pop("manifest.json")
    return content


@pytest.mark.parametrize("name", FORMATS)
def test_text(workplace: Path, name: str) -> None:
    form = FORMATS[name]
    whole = form.content(form.lines(ROWS))
    for number in range(times(45)):
        rng, place = random.Random(f"{name} {number}"), workplace / "data"
        changes = {"bad_rows": "skip", "max_bad_share": rng.choice([0.01, 1.0])} if number % 2 else {}
        raw = form.write(workplace / "raw", damaged(whole, rng))
        if form.others and rng.random() < 0.3:
            form.write(workplace / "raw", whole)
            other = workplace / "raw" / rng.choice(list(form.others))
            other.write_bytes(damaged(other.read_bytes(), rng))
        with count("raw text files"):
            attempt(form, raw, place, **changes)
        shutil.rmtree(place, ignore_errors=True)


@pytest.mark.parametrize("name", PACKED)
def test_gzip_is_read_as_it_was_or_not_at_all(workplace: Path, name: str) -> None:
    form = Format(**{**vars(FORMATS[name]), "changes": FORMATS[name].changes})
    whole = form.content(form.lines(ROWS))
    raw = form.write(workplace / "raw", whole, PACKED[name])
    packed = (workplace / "raw" / PACKED[name]).read_bytes()
    sound = attempt(form, raw, workplace / "sound")
    assert sound is not None
    for number in range(times(25)):
        content, place = damaged(packed, random.Random(f"{name} {number}")), workplace / "data"
        (workplace / "raw" / PACKED[name]).write_bytes(content)
        with count("raw gzip files"):
            found = attempt(form, raw, place)
            if found is not None and gzip.decompress(content) == whole:
                assert rows_of(found) == rows_of(sound)
            elif found is not None:
                assert gzip.decompress(content)  # whole members, which gzip itself takes for one text
        shutil.rmtree(place, ignore_errors=True)


def table_of(rng: random.Random) -> pa.Table:
    cells = criteo_cells(ROWS, seed=rng.randrange(5))
    return pa.table(
        {
            "label": [int(row[0]) for row in cells],
            "size": [float(row[1] or 0) for row in cells],
            "kind": [row[14] for row in cells],
            "day": list(range(ROWS)),
        }
    )


ODD_COLUMNS = [
    lambda rows: pa.array([None] * rows),
    lambda rows: pa.array([b"\xff"] * rows),
    lambda rows: pa.array([[1]] * rows),
    lambda rows: pa.array([{"a": 1}] * rows),
    lambda rows: pa.array(["\u202e\x1b[2J"] * rows),
    lambda rows: pa.array([2**63 - 1] * rows),
    lambda rows: pa.array([float("nan")] * rows),
    lambda rows: pa.array([True] * rows),
    lambda rows: pa.array([1.5] * rows, pa.float16()),
    lambda rows: pa.array([1] * rows, pa.date32()),
    lambda rows: pa.array([1] * rows, pa.time64("us")),
    lambda rows: pa.array([1] * rows, pa.duration("s")),
    lambda rows: pa.array([2**62] * rows, pa.timestamp("us")),
    lambda rows: pa.array([2**64 - 1] * rows, pa.uint64()),
    lambda rows: pa.array([12345] * rows).cast(pa.decimal128(38, 2)),
    lambda rows: pa.array(["a", None] * (rows // 2)).dictionary_encode(),
    lambda rows: pa.nulls(rows, pa.string()),
]


@pytest.mark.parametrize("how", ["bytes", "columns"])
def test_parquet(workplace: Path, how: str) -> None:
    form, raw = FORMATS["table"], workplace / "raw.parquet"
    for number in range(times(110)):
        rng, place = random.Random(f"{how} {number}"), workplace / "data"
        table = table_of(rng)
        if how == "columns":
            at = rng.randrange(table.num_columns)
            name = rng.choice([*table.column_names, "../x", "a/b", "", "label_count", "x" * 300, "\x1b[2J"])
            table = table.set_column(at, name, ODD_COLUMNS[number % len(ODD_COLUMNS)](ROWS))
            table = table.slice(0, rng.choice([0, 1, 13, ROWS, ROWS]))
        pq.write_table(table, raw, compression=rng.choice(["snappy", "zstd", "none"]))
        if how == "bytes":
            raw.write_bytes(damaged(raw.read_bytes(), rng))
        changes = {"split": "random", "time_column": None} if rng.random() < 0.5 else {}
        if rng.random() < 0.3:
            changes |= {"numeric": None, "categorical": None}
        with count(f"raw Parquet files, other {how}"):
            attempt(form, raw, place, **changes)
        shutil.rmtree(place, ignore_errors=True)
