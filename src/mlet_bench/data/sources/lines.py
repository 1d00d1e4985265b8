"""Delimited text a line at a time, in plain Python: what is wrong with a row, in words.

Slow, and used only for the first rows of a file and for the few lines among which a bad one was found.
"""

import csv
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mlet_bench.data.sources import times
from mlet_bench.data.sources.bad_rows import BadRow
from mlet_bench.data.sources.opened import UTF8
from mlet_bench.data.splits import SPLITS
from mlet_bench.errors import listing

RATINGS = (1, 2, 3, 4, 5)
LARGEST = (2 - 2**-23) * 2.0**127
"""The largest number of 32 bits, which is what numbers are stored in."""
Kind = Literal["label", "integer", "number", "category", "hour", "time", "split", "rating", "timestamp"]
"""hour: YYMMDDHH, as Avazu writes it; time: a whole number, or a date and time of ISO 8601; split: a split's name;
rating: 1 to 5; timestamp: an integer that is never missing."""


@dataclass(frozen=True)
class Known:
    """The cells that a column of categories may hold."""

    cells: Container[str]
    otherwise: str
    """The message about another cell, in words that follow it."""


@dataclass(frozen=True)
class Layout:
    """How the cells of a text file are to be read."""

    columns: tuple[str, ...]
    """All of a row, in order."""
    kinds: dict[str, Kind]
    """Of the columns that are wanted."""
    delimiter: str = ","
    """Of several characters too; then it may not occur in a cell in any way."""
    header: bool = True
    quoted: bool = False
    """Cells may stand in double quotes."""
    missing: tuple[str, ...] = ("",)
    known: dict[str, Known] = field(default_factory=dict)
    """For columns of categories that not every cell may stand in."""
    encoding: str = UTF8
    encodings: bool = False
    """Whether dataset.encoding names another."""

    @property
    def integers(self) -> list[str]:
        return [name for name, kind in self.kinds.items() if kind in ("integer", "rating", "timestamp")]


def count(chunk: bytes) -> int:
    return chunk.count(b"\n") + (not chunk.endswith(b"\n"))


def lines_of(chunk: bytes) -> list[bytes]:
    lines = chunk.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return lines


def filled(data: bytes | bytearray, end: int) -> int:
    r"""Where the empty lines at the end of the first `end` bytes begin.

    >>> filled(b"1,a\r\n\r\n\n", 8), filled(b"1,a", 3), filled(b"\n\n", 2)
    (5, 3, 0)
    """
    while end:
        if data[max(end - 2, 0) : end] in (b"\n", b"\n\n"):
            end -= 1
        elif data[max(end - 3, 0) : end] in (b"\r\n", b"\n\r\n"):
            end -= 2
        else:
            break
    return end


def mistake_in(path: Path, number: int, line: bytes, layout: Layout) -> BadRow | None:
    """What is wrong with a line, if plain Python sees it."""
    row, raw = shown(line), line.removesuffix(b"\r")
    if b"\r" in raw.replace(b"\r\n", b""):
        return BadRow(path, number, None, None, "has a carriage return inside it", row)
    try:
        cells = cells_of(raw.decode(), layout.delimiter, layout.quoted)
    except UnicodeDecodeError as error:
        before = raw[: error.start].count(layout.delimiter.encode())
        column = layout.columns[min(before, len(layout.columns) - 1)]
        bad = raw.split(layout.delimiter.encode())[before]
        hint = as_latin1(bad) if layout.encodings and layout.encoding == UTF8 else ""
        return BadRow(path, number, column, _short(shown(bad)), no_text(layout.encoding), row, hint)
    if cells is None:
        return BadRow(path, number, None, None, "has a quote that is not closed", row)
    if len(cells) != len(layout.columns):
        what = f"has {len(cells)} columns, {len(layout.columns)} are needed: {listing(layout.columns)}"
        return BadRow(path, number, None, None, what, row)
    for name, cell in zip(layout.columns, cells, strict=True):
        reason = cell_mistake(cell, layout.kinds.get(name), layout.missing)
        if name in layout.known and cell not in layout.known[name].cells:
            reason = layout.known[name].otherwise
        if reason:
            return BadRow(path, number, name, _short(cell), reason, row)
    return None


def no_text(encoding: str) -> str:
    return "is no UTF-8 text" if encoding == UTF8 else f"is no text of dataset.encoding={encoding}"


def as_latin1(raw: bytes) -> str:
    """A hint for bytes that are no UTF-8."""
    return f"; as Latin-1 it is {_short(raw.decode('latin-1'))!r} (dataset.encoding=latin-1)"


def cell_mistake(cell: str, kind: Kind | None, missing: tuple[str, ...]) -> str | None:
    """What is wrong with a cell, in words that follow it."""
    if kind == "label":
        return None if _number(cell) in (0, 1) else "is neither 0 nor 1"
    if kind == "hour":
        return None if times.hour(cell) else "is no hour written YYMMDDHH"
    if kind == "time":
        return None if times.time(cell) is not None else "is neither a whole number nor a date and time of ISO 8601"
    if kind == "split":
        return None if cell in SPLITS else f"is not a split; allowed: {listing(SPLITS)}"
    if kind == "rating":
        return (
            None if cell.strip().isdigit() and cell.isascii() and int(cell) in RATINGS else "is no rating from 1 to 5"
        )
    if (cell in missing and kind != "timestamp") or kind in (None, "category"):
        return None
    if kind in ("integer", "timestamp"):
        digits = cell.strip().removeprefix("-")
        fine = digits.isascii() and digits.isdigit() and len(digits) < 20 and -(2**63) <= int(cell) < 2**63
        return None if fine else "is no whole number of 64 bits"
    value = _number(cell)
    return None if value is not None and abs(value) <= LARGEST else "is no finite number of 32 bits"


def _number(cell: str) -> float | None:
    try:
        return float(cell) if "_" not in cell else None
    except ValueError:
        return None


def cells_of(text: str, delimiter: str, quoted: bool) -> list[str] | None:
    """The cells of one line, as pyarrow takes quotes; None when a quote is not closed or a return stands in it."""
    if not quoted or '"' not in text:
        return text.split(delimiter)
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            return None
    try:
        return next(csv.reader([text], delimiter=delimiter))  # text behind a closing quote belongs to its cell
    except csv.Error:  # a carriage return
        return None


def shown(raw: bytes) -> str:
    return _short(raw.decode("utf-8", "backslashreplace"), 400)


def _short(text: str, length: int = 40) -> str:
    return text if len(text) <= length else text[:length] + "…"
