"""Rows that cannot be read: named by file, line, column and cell, or set aside, and nothing is left behind."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlet_bench import cli
from mlet_bench.data.prepared import Prepared
from mlet_bench.data.sources import text
from mlet_bench.errors import UserError
from tests.conftest import Ended, prepare
from tests.data import reference
from tests.data.formats import BAD_CELLS, FORMATS, Format

ROWS, AT = 60, 38
WHOLE_ROWS = {
    "few cells": (lambda line, sign: line.rpartition(sign)[0], r"has \d+ columns, \d+ are needed"),
    "many cells": (lambda line, sign: line + sign + b"x", r"has \d+ columns, \d+ are needed"),
    "empty line": (lambda line, sign: b"", r"has 1 columns, \d+ are needed"),
    "carriage return": (lambda line, sign: line.replace(sign, b"\r" + sign, 2), r"has a carriage return inside it"),
    "two rows by carriage return": (lambda line, sign: line + b"\r" + line, r"has a carriage return inside it"),
}
"""How a sound line is damaged, and the message about it."""


def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the bad row lay behind the quick look at the first rows."""
    monkeypatch.setattr(text, "check_head", lambda path, layout, skip: None)


def prepared(form: Format, raw: Path, **changes: Any) -> Prepared:
    return prepare(form.choice, raw, **form.changes, **changes)


def assert_stops(form: Format, raw: Path, said: str, **changes: Any) -> None:
    with pytest.raises(UserError, match=said) as caught:
        prepared(form, raw, **changes)
    assert "\n" not in str(caught.value)
    assert not Path("data/prepared").exists()


def assert_same_rows(one: Prepared, other: Prepared) -> None:
    """The same parts and vocabulary, byte for byte; the manifests tell of different inputs."""
    found, wanted = reference.contents(one.folder), reference.contents(other.folder)
    for content in (found, wanted):
        content.pop("manifest.json")
        content.pop("bad_rows.jsonl", None)
    assert found == wanted
    for key in ("rows", "positives", "missing", "fields", "vocabulary", "moments"):
        assert one.manifest[key] == other.manifest[key]


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize(("name", "column", "cell", "reason"), BAD_CELLS)
def test_bad_cell_stops(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, name: str, column: str, cell: str, reason: str, seen: bool
) -> None:
    form = FORMATS[name]
    lines = form.lines(ROWS)
    lines[AT] = form.with_cell(form.rows(ROWS)[AT], column, cell)
    raw = form.write(workplace / "raw", form.content(lines))
    if not seen:
        unseen(monkeypatch)
    shown = r"'\\xff\\xfe'" if "\xff" in cell else repr(cell)
    assert_stops(form, raw, rf"{form.file}: line {form.line_number(AT)}, column {column}: {shown} {reason}")


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("damage", WHOLE_ROWS)
@pytest.mark.parametrize("name", FORMATS)
def test_bad_row_stops(workplace: Path, monkeypatch: pytest.MonkeyPatch, name: str, damage: str, seen: bool) -> None:
    form, (change, reason) = FORMATS[name], WHOLE_ROWS[damage]
    lines = form.lines(ROWS)
    lines[AT] = change(lines[AT], form.delimiter.encode())
    raw = form.write(workplace / "raw", form.content(lines))
    if not seen:
        unseen(monkeypatch)
    assert_stops(form, raw, rf"{form.file}: line {form.line_number(AT)} {reason}")


@pytest.mark.parametrize("name", FORMATS)
def test_every_kind_of_bad_row_is_set_aside(workplace: Path, name: str) -> None:
    form = FORMATS[name]
    lines, rows = form.lines(ROWS), form.rows(ROWS)
    bad: list[tuple[bytes, str | None, str | None, str]] = [
        (form.with_cell(rows[AT], column, cell), column, "\\xff\\xfe" if "\xff" in cell else cell, reason)
        for of, column, cell, reason in BAD_CELLS
        if of == name
    ]
    for change, reason in WHOLE_ROWS.values():
        bad.append((change(lines[AT], form.delimiter.encode()), None, None, reason))
    assert len(bad) < ROWS
    among = [line for at, good in enumerate(lines) for line in (good, *(row[0] for row in bad[at : at + 1]))]
    found = prepared(form, form.write(workplace / "raw", form.content(among)), bad_rows="skip", max_bad_share=0.5)
    assert found.manifest["bad_rows"] == len(bad)
    for at, (entry, (line, column, cell, reason)) in enumerate(zip(reference.bad_rows(found), bad, strict=True)):
        row = line.decode("utf-8", "backslashreplace")
        assert re.fullmatch(reason + ("" if column else ".*"), entry.pop("reason"))
        assert entry == {
            "file": form.file, "line": form.line_number(2 * at + 1), "column": column, "cell": cell,
            "row": row if len(row) <= 400 else row[:400] + "…",
        }  # fmt: skip
    assert_same_rows(found, prepared(form, form.write(workplace / "sound", form.content(lines))))


@pytest.mark.parametrize("last", [True, False])
def test_quote_that_is_not_closed(workplace: Path, monkeypatch: pytest.MonkeyPatch, last: bool) -> None:
    form, at = FORMATS["table"], ROWS - 1 if last else AT
    lines = form.lines(ROWS)
    lines[at] = b'1,"a,0.5,7'
    raw = form.write(workplace / "raw", form.content(lines))
    said = rf"table.csv: line {form.line_number(at)} has a quote that is not closed"
    assert_stops(form, raw, said)
    unseen(monkeypatch)
    assert_stops(form, raw, said)


@pytest.mark.parametrize("name", FORMATS)
def test_many_bad_rows_over_several_chunks(workplace: Path, name: str) -> None:
    form, rng = FORMATS[name], random.Random(4)
    lines, rows = form.lines(90), form.rows(90)
    cells = [(column, cell) for of, column, cell, _ in BAD_CELLS if of == name]
    bad = dict.fromkeys(sorted({*rng.sample(range(90), 10), 0, 1, 2, 40, 41, 89}), b"")
    for at in bad:
        if rng.random() < 0.6:
            bad[at] = form.with_cell(rows[at], *rng.choice(cells))
        else:
            change, _ = WHOLE_ROWS[rng.choice(list(WHOLE_ROWS))]
            bad[at] = change(lines[at], form.delimiter.encode())
    raw = form.write(workplace / "raw", form.content([bad.get(at, line) for at, line in enumerate(lines)]))
    shown = [line.decode("utf-8", "backslashreplace") for line in bad.values()]
    sound = [line for at, line in enumerate(lines) if at not in bad]
    wanted = prepared(form, form.write(workplace / "sound", form.content(sound)))
    for number, size in enumerate(reference.TINY_SIZES):
        with reference.sizes(**size):
            found = reference.prepare_in(
                workplace / str(number), form.choice, raw, bad_rows="skip", max_bad_share=0.3, **form.changes
            )
        entries = reference.bad_rows(found)
        assert [entry["line"] for entry in entries] == [form.line_number(at) for at in bad]
        assert [entry["row"] for entry in entries] == [row if len(row) <= 400 else row[:400] + "…" for row in shown]
        assert found.manifest["bad_rows"] == len(bad)
        for split in reference.SPLITS:
            one, other = found.split(split), wanted.split(split)
            assert (one.ids_BF == other.ids_BF).all()
            assert one.numeric_BN == pytest.approx(other.numeric_BN, rel=1e-6)
        assert found.manifest["vocabulary"] == wanted.manifest["vocabulary"]


@pytest.mark.parametrize("size", reference.TINY_SIZES[::2])
@pytest.mark.parametrize("name", FORMATS)
def test_too_many_bad_rows_give_up(workplace: Path, name: str, size: dict[str, int]) -> None:
    form = FORMATS[name]
    lines = [b"" if at % 12 == 4 else line for at, line in enumerate(form.lines(150))]
    raw = form.write(workplace / "raw", form.content(lines))
    said = rf"bad rows of [\d,]+ read, more than dataset.max_bad_share=0.06; the last one: .*{form.file}: line"
    with reference.sizes(**size):
        assert_stops(form, raw, said, bad_rows="skip", max_bad_share=0.06)
        assert prepared(form, raw, bad_rows="skip", max_bad_share=0.09).manifest["bad_rows"] == 13


def test_bad_rows_side_by_side_count_by_the_whole(workplace: Path) -> None:
    form = FORMATS["criteo"]
    lines = [b"" if at in range(5, 12) else line for at, line in enumerate(form.lines(1_500))]
    raw = form.write(workplace / "raw", form.content(lines))
    assert prepared(form, raw, bad_rows="skip").manifest["bad_rows"] == 7


def test_one_line_longer_than_all_others(workplace: Path) -> None:
    form = FORMATS["criteo"]
    lines = [*form.lines(300), b"0\t" + b"x" * 300_000]
    raw = form.write(workplace / "raw", form.content(lines))
    (entry,) = reference.bad_rows(prepared(form, raw, bad_rows="skip"))
    assert (entry["line"], entry["reason"].split(",")[0]) == (301, "has 2 columns")
    assert len(entry["row"]) < 500


def test_nothing_but_bad_rows(workplace: Path) -> None:
    form = FORMATS["criteo"]
    raw = form.write(workplace / "raw", form.content([b"x"] * 50))
    assert_stops(form, raw, "line 1 has 1 columns", bad_rows="skip", max_bad_share=1.0)


@pytest.mark.parametrize(("name", "column", "cell"), [(n, c, cell) for n, c, cell, _ in BAD_CELLS][::7])
def test_command_says_it_in_one_line(
    command: Callable[..., Ended], workplace: Path, monkeypatch: pytest.MonkeyPatch, name: str, column: str, cell: str
) -> None:
    unseen(monkeypatch)
    form = FORMATS[name]
    lines = form.lines(ROWS)
    lines[AT] = form.with_cell(form.rows(ROWS)[AT], column, cell)
    raw = form.write(workplace / "raw", form.content(lines))
    changes = [f"dataset.{key}={json.dumps(value)}" for key, value in form.changes.items()]
    ended = command("prepare", f"dataset={form.choice}", f"dataset.raw={raw}", *changes)
    assert (ended.code, ended.out, ended.err.count("\n")) == (cli.MISTAKE, "", 1)
    assert f"{form.file}: line {form.line_number(AT)}, column {column}: " in ended.err
    assert not Path("data/prepared").exists()
