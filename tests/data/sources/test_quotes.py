"""Cells in quotes that hold line ends."""

import csv
import io
import random
from pathlib import Path

import pytest

from mlet_bench.data.prepared import Prepared
from mlet_bench.errors import UserError
from tests.conftest import prepare
from tests.data import reference

NAMES = ["label", "title", "note", "price"]
TITLES = ["plain", "two\nlines", 'a "quoted"\nword', "a,b", '"', "\n", "x\r\ny", "three\n\nlines", 'say ""', "café\n"]
SIZES = [{}, {"chunk_bytes": 1}, {"chunk_bytes": 40, "few_lines": 2}, {"chunk_bytes": 700}]


def rows(number: int = 200) -> list[list[str]]:
    rng = random.Random(number)
    return [[str(k % 2), rng.choice(TITLES), rng.choice(TITLES), f"{k / 4}"] for k in range(number)]


def written(lines: list[list[str]], end: str = "\n") -> bytes:
    into = io.StringIO(newline="")
    csv.writer(into, lineterminator=end).writerows([NAMES, *lines])
    return into.getvalue().encode()


def titles(prepared: Prepared, field: str) -> list[str]:
    values = ["never seen", *prepared.vocabulary_table(field).column("value").to_pylist()]
    place = prepared.fields.index(field)
    return [values[number] for number in prepared.split("train").ids_BF[:, place]]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_line_ends_inside_quotes_belong_to_their_cell(workplace: Path, end: str, size: dict[str, int]) -> None:
    cells = rows()
    raw = reference.write(workplace / "raw.csv", written(cells, end))
    with reference.sizes(**size):
        found = prepare("table", raw, split="order", shares=[0.5, 0.25, 0.25])
    assert sum(found.rows.values()) == len(cells)
    for column, name in ((1, "title"), (2, "note")):
        assert titles(found, name) == [row[column] for row in cells[:100]]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_bad_rows_among_them_have_their_lines(workplace: Path, size: dict[str, int]) -> None:
    cells = rows()
    for place in (7, 60, 150):
        cells[place] = ["0", "one\ntwo", "x", "much"]
    text = written(cells)
    lines = [1 + written(cells[:place]).count(b"\n") for place in (7, 60, 150)]
    raw = reference.write(workplace / "raw.csv", text)
    given = {"numeric": ["price"], "categorical": ["title", "note"], "split": "order"}
    with reference.sizes(**size):
        found = prepare("table", raw, bad_rows="skip", max_bad_share=0.5, **given)
        with pytest.raises(UserError, match=rf"line {lines[0]}, column price: 'much' is no finite number"):
            prepare("table", raw, **given)
    entries = reference.bad_rows(found)
    assert [entry["line"] for entry in entries] == lines
    assert all(entry["row"] == '0,"one\ntwo",x,much' for entry in entries)
    sound = reference.write(workplace / "sound.csv", written([row for row in cells if row[3] != "much"]))
    assert titles(prepare("table", sound, **given), "title") == titles(found, "title")


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('0,"never closed,x,1.0', "line 12 has a quote that is not closed"),
        ('0,"a,x,1.0\n1,b"c,x,1.0', "line 12 has a quote that is not closed"),
    ],
    ids=["to the end", "until another"],
)
def test_a_quote_that_no_row_closes(workplace: Path, line: str, said: str, size: dict[str, int]) -> None:
    plain = [f"{k % 2},t{k % 7},x,0.5" for k in range(40)]
    content = "\n".join([",".join(NAMES), *plain[:10], line, *plain[10:]]) + "\n"
    with reference.sizes(**size), pytest.raises(UserError, match=said):
        prepare("table", reference.write(workplace / "raw.csv", content.encode()))


def test_quotes_that_open_nothing(workplace: Path) -> None:
    lines = [f'{k % 2},{5 + k % 3}" pipe,say "x" y,0.5' for k in range(60)]
    raw = reference.write(workplace / "raw.csv", "\n".join([",".join(NAMES), *lines]).encode())
    found = prepare("table", raw, split="order")
    assert set(titles(found, "title")) == {'5" pipe', '6" pipe', '7" pipe'}


def test_a_header_over_two_lines(workplace: Path) -> None:
    raw = reference.write(workplace / "raw.csv", b'label,"a\nb",c\n0,x,y\n')
    with pytest.raises(UserError, match="line 1 has a quote that is not closed"):
        prepare("table", raw)
