"""Delimited text → Arrow tables, plain or gzipped, with every bad row named."""

import codecs
import csv
import gzip
import math
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from mlet_bench.data import times
from mlet_bench.data.ahead import ahead
from mlet_bench.data.bad_rows import BadRow, Reading
from mlet_bench.data.splits import SPLITS
from mlet_bench.errors import UserError, listing

CHUNK_BYTES = 1 << 26
BLOCK_BYTES = 1 << 20
"""What one of pyarrow's threads parses at a time."""
FEW_LINES = 256
RATINGS = pa.array(range(1, 6))
Kind = Literal["label", "integer", "number", "category", "hour", "time", "split", "rating", "timestamp"]
"""hour: YYMMDDHH, as Avazu writes it; time: a whole number, or a date and time of ISO 8601; split: a split's name;
rating: 1 to 5; timestamp: an integer that is never missing."""
TYPES: dict[Kind, pa.DataType] = {
    "label": pa.float64(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "category": pa.binary(),  # text is checked in the dictionary alone, where each category stands once
    "hour": pa.binary(),
    "time": pa.binary(),
    "split": pa.binary(),
    "rating": pa.int64(),
    "timestamp": pa.int64(),
}
TEXT: tuple[Kind, ...] = ("category", "hour", "time", "split")


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
    """Cells may stand in double quotes; line ends inside them are not read."""
    missing: tuple[str, ...] = ("",)


def header_of(path: Path, delimiter: str = ",", *, quoted: bool = False) -> tuple[str, ...]:
    """The column names in a file's first line."""
    with open_binary(path) as opened:
        line = _first_line(path, opened)
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: line 1 is no UTF-8 text") from None
    return tuple(_cells(text.rstrip("\r\n"), delimiter, quoted) or ())


def check_header(path: Path, found: Sequence[str], needed: Sequence[str]) -> None:
    """UserError when a file's columns are not the needed ones, in any order."""
    for what, names in (("no column", set(needed) - set(found)), ("an unknown column", set(found) - set(needed))):
        if names:
            raise UserError(f"{path}: line 1 has {what} {listing(sorted(names))}; needed: {listing(needed)}")
    if len(set(found)) < len(found):
        raise UserError(f"{path}: line 1 names a column twice")


def head_of(path: Path, size: int, *, header: bool = True) -> bytes:
    """The first whole lines of about `size` bytes, below the header if there is one."""
    with open_binary(path) as opened:
        if header:
            _first_line(path, opened)
        try:
            head = opened.read(size)
            complete = not opened.read(1)
        except (OSError, EOFError, zlib.error) as error:
            raise _broken(path, error) from None
    return head if complete else head[: head.rfind(b"\n") + 1] or head


def check_head(path: Path, layout: Layout, *, skip: bool) -> None:
    """A look at the first rows; UserError when there are none, and for the first bad one.

    skip: bad rows will be set aside, so that one good row is enough.
    """
    head = head_of(path, 1 << 18, header=layout.header)
    if not head:
        raise UserError(f"{path}: " + ("holds no row below its header" if layout.header else "the file is empty"))
    first_mistake: BadRow | None = None
    for number, line in enumerate(_lines(head), 1 + layout.header):
        mistake = _mistake(path, number, line, layout)
        if mistake is None and skip:
            return
        first_mistake = first_mistake or mistake
        if first_mistake is not None and not skip:
            break
    if first_mistake is not None:
        raise UserError(str(first_mistake))


def read_text(path: Path, layout: Layout, reading: Reading, offset: int = 0) -> Iterator[pa.Table]:
    """The wanted columns of all good rows, chunk by chunk; `offset` bytes of other files came before this one.

    Cells of a category that stand for missing are "", numbers null. UserError for a bad row unless `reading` sets
    it aside, and for a damaged gzip file.
    """
    first = line = 1 + layout.header
    with ThreadPoolExecutor(os.cpu_count()) as pool, closing(ahead(_chunks(path, layout))) as chunks:
        for chunk, to_byte in chunks:
            try:
                table = _parse(chunk, layout, pool.map)
                line += table.num_rows
                reading.passed(table.num_rows, offset + to_byte)
                yield table
            except (pa.ArrowInvalid, _BadCellError):
                good = 0
                for table in _good_rows(path, chunk, line, layout, reading):
                    good += table.num_rows
                    yield table
                reading.passed(good, offset + to_byte)  # the share of bad rows is that of the whole chunk
                line += _count(chunk)
    if line == first:
        raise UserError(f"{path}: " + ("holds no row below its header" if layout.header else "the file is empty"))


def open_binary(path: Path) -> IO[bytes] | gzip.GzipFile:
    """The file's bytes, unpacked if its name ends with .gz."""
    if path.suffix == ".gz":
        return gzip.open(path)
    return path.open("rb")


def _first_line(path: Path, opened: IO[bytes] | gzip.GzipFile) -> bytes:
    try:
        line = opened.readline(1 << 20)
    except (OSError, EOFError, zlib.error) as error:
        raise _broken(path, error) from None
    if not line:
        raise UserError(f"{path}: the file is empty")
    return line


def _broken(path: Path, error: Exception) -> Exception:
    if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
        return error
    how = "ends early: it was cut off" if isinstance(error, EOFError) else f"is damaged ({error})"
    return UserError(f"{path}: the gzip file {how}; fetch it again")


def _chunks(path: Path, layout: Layout) -> Iterator[tuple[bytes, int]]:
    """The rows in pieces that end with a line's end, and how far into the file each reaches."""
    rest = b""
    with path.open("rb") as raw, gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw as opened:
        if layout.header:
            _first_line(path, opened)
        while True:
            try:
                block = opened.read(CHUNK_BYTES)
            except (OSError, EOFError, zlib.error) as error:
                raise _broken(path, error) from None
            if not block:
                break
            block = rest + block if rest else block
            cut = block.rfind(b"\n") + 1
            rest = block[cut:]
            if cut:
                yield block[:cut], raw.tell()
        if rest:
            yield rest, raw.tell()


def _good_rows(path: Path, chunk: bytes, first_line: int, layout: Layout, reading: Reading) -> Iterator[pa.Table]:
    """The good rows of a chunk that has bad ones: it is halved until those are among a few lines."""
    if _count(chunk) <= FEW_LINES:
        yield from _good_lines(path, list(enumerate(_lines(chunk), first_line)), layout, reading)
        return
    middle = chunk.rfind(b"\n", 0, len(chunk) // 2) + 1 or chunk.find(b"\n", len(chunk) // 2) + 1
    line = first_line
    for half in (chunk[:middle], chunk[middle:]):
        if not half:
            continue
        try:
            yield _parse(half, layout)
        except (pa.ArrowInvalid, _BadCellError):
            yield from _good_rows(path, half, line, layout, reading)
        line += _count(half)


def _good_lines(path: Path, lines: list[tuple[int, bytes]], layout: Layout, reading: Reading) -> Iterator[pa.Table]:
    good = []
    for number, line in lines:
        mistake = _mistake(path, number, line, layout)
        if mistake is None:
            good.append((number, line))
        else:
            reading.set_aside(mistake)
    if not good:
        return
    try:
        yield _parse(b"".join(line + b"\n" for _, line in good), layout)
    except (pa.ArrowInvalid, _BadCellError) as error:  # the parser refuses a line that we see nothing wrong with
        if len(good) == 1:
            reason = f"cannot be read ({str(error).splitlines()[0]})"
            reading.set_aside(BadRow(path, good[0][0], None, None, reason, _shown(good[0][1])))
            return
        for half in (good[: len(good) // 2], good[len(good) // 2 :]):
            yield from _good_lines(path, half, layout, reading)


class _BadCellError(Exception):
    """A cell that pyarrow reads and we do not accept."""


def _parse(chunk: bytes, layout: Layout, map_: Callable[..., Iterator[Any]] = map) -> pa.Table:
    delimiter = layout.delimiter
    if len(delimiter) > 1:
        if b"\t" in chunk:
            raise _BadCellError("a cell holds a tab")
        chunk, delimiter = chunk.replace(delimiter.encode(), b"\t"), "\t"
    if b"\r" in chunk and chunk.count(b"\r") != chunk.count(b"\r\n") + chunk.endswith(b"\r"):
        raise _BadCellError("a carriage return inside the line")
    if chunk.startswith(codecs.BOM_UTF8):
        chunk = codecs.BOM_UTF8 + chunk  # pyarrow leaves one out
    types = {name: TYPES[kind] for name, kind in layout.kinds.items()}
    table = pyarrow.csv.read_csv(
        pa.py_buffer(chunk),
        read_options=pyarrow.csv.ReadOptions(column_names=list(layout.columns), block_size=BLOCK_BYTES),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=delimiter, quote_char='"' if layout.quoted else False, ignore_empty_lines=False
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=list(layout.missing),
            strings_can_be_null=layout.missing != ("",),
        ),
    )
    if layout.quoted and (table.num_rows != _count(chunk) or _ends_in_quotes(chunk, delimiter)):
        raise _BadCellError("a line end inside quotes")
    for name, kind in layout.kinds.items():
        if kind == "label":
            if not labels_fine(table.column(name)):
                raise _BadCellError("a label is neither 0 nor 1")
        elif kind in ("rating", "timestamp") and table.column(name).null_count:
            raise _BadCellError("a cell is missing")
        elif kind == "rating" and not pc.all(pc.is_in(table.column(name), RATINGS)).as_py():
            raise _BadCellError("a rating is none")
        elif kind == "number" and not numbers_fine(table.column(name)):
            raise _BadCellError("a number is not finite")
    names = [name for name, kind in layout.kinds.items() if kind in TEXT]
    encoded = dict(zip(names, map_(_encoded, [table.column(name) for name in names]), strict=True))
    for name, kind in layout.kinds.items():
        if kind in ("hour", "time", "split"):
            if encoded[name].null_count:
                raise _BadCellError(f"column {name}: a cell is missing")
            for cell in encoded[name].dictionary.to_pylist():
                if cell_mistake(cell, kind, layout.missing):
                    raise _BadCellError(f"column {name}: {cell!r}")
    return pa.table({name: encoded.get(name, table.column(name)) for name in types})


def _ends_in_quotes(chunk: bytes, delimiter: str) -> bool:
    """Whether the last line leaves a quote open: there pyarrow closes it, and keeps the line end."""
    end = len(chunk) - chunk.endswith(b"\n")
    last = chunk[chunk.rfind(b"\n", 0, end) + 1 : end]
    return _cells(last.decode("utf-8", "replace"), delimiter, quoted=True) is None


def _encoded(column: pa.ChunkedArray) -> pa.Array:
    """A dictionary of text for the whole column; pa.ArrowInvalid where a category is no text."""
    pieces = column.dictionary_encode().chunks
    if not pieces:
        return pa.array([], pa.dictionary(pa.int32(), pa.string()))
    indices = pa.concat_arrays([piece.indices for piece in pieces])
    return pa.DictionaryArray.from_arrays(indices, pieces[-1].dictionary.cast(pa.string()))


def labels_fine(column: pa.ChunkedArray) -> bool:
    if column.null_count:
        return False
    return all(bool(((chunk == 0) | (chunk == 1)).all()) for chunk in map(_numpy, column.chunks))


def numbers_fine(column: pa.ChunkedArray) -> bool:
    finite = pc.is_finite(column)
    return pc.all(finite, skip_nulls=True).as_py() is not False


def _numpy(chunk: pa.Array) -> np.ndarray:
    return np.asarray(chunk.to_numpy(zero_copy_only=False))


def _count(chunk: bytes) -> int:
    return chunk.count(b"\n") + (not chunk.endswith(b"\n"))


def _lines(chunk: bytes) -> list[bytes]:
    lines = chunk.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return lines


def _mistake(path: Path, number: int, line: bytes, layout: Layout) -> BadRow | None:
    """What is wrong with a line, if plain Python sees it."""
    row, raw = _shown(line), line.removesuffix(b"\r")
    if b"\r" in raw:
        return BadRow(path, number, None, None, "has a carriage return inside it", row)
    try:
        cells = _cells(raw.decode(), layout.delimiter, layout.quoted)
    except UnicodeDecodeError as error:
        before = raw[: error.start].count(layout.delimiter.encode())
        column = layout.columns[min(before, len(layout.columns) - 1)]
        bad = raw.split(layout.delimiter.encode())[before]
        return BadRow(path, number, column, _short(_shown(bad)), "is no UTF-8 text", row)
    if cells is None:
        return BadRow(path, number, None, None, "has a quote that is not closed", row)
    if len(cells) != len(layout.columns):
        what = f"has {len(cells)} columns, {len(layout.columns)} are needed: {listing(layout.columns)}"
        return BadRow(path, number, None, None, what, row)
    for name, cell in zip(layout.columns, cells, strict=True):
        reason = cell_mistake(cell, layout.kinds.get(name), layout.missing)
        if reason:
            return BadRow(path, number, name, _short(cell), reason, row)
    return None


def cell_mistake(cell: str, kind: Kind | None, missing: tuple[str, ...]) -> str | None:
    """What is wrong with a cell, in words that follow it."""
    if kind == "label":
        return None if _number(cell) in (0, 1) else "is neither 0 nor 1"
    if kind == "hour":
        return None if times.hour(cell) else "is no hour written YYMMDDHH"
    if kind == "time":
        return None if times.time(cell) is not None else "is neither a whole number nor a date and time of ISO 8601"
    if kind == "split":
        return None if cell in SPLITS else f"is no split; allowed: {listing(SPLITS)}"
    if kind == "rating":
        return None if cell.strip() in map(str, RATINGS.to_pylist()) else "is no rating from 1 to 5"
    if (cell in missing and kind != "timestamp") or kind in (None, "category"):
        return None
    if kind in ("integer", "timestamp"):
        digits = cell.strip().removeprefix("-")
        fine = digits.isascii() and digits.isdigit() and len(digits) < 20 and -(2**63) <= int(cell) < 2**63
        return None if fine else "is no whole number of 64 bits"
    value = _number(cell)
    return None if value is not None and math.isfinite(value) else "is no finite number"


def _number(cell: str) -> float | None:
    try:
        return float(cell) if "_" not in cell else None
    except ValueError:
        return None


def _cells(text: str, delimiter: str, quoted: bool) -> list[str] | None:
    """The cells of one line, as pyarrow takes quotes; None when a quote is not closed."""
    if not quoted or '"' not in text:
        return text.split(delimiter)
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            return None
    return next(csv.reader([text], delimiter=delimiter))  # text behind a closing quote belongs to its cell


def _shown(raw: bytes) -> str:
    return _short(raw.decode("utf-8", "backslashreplace"), 400)


def _short(text: str, length: int = 40) -> str:
    return text if len(text) <= length else text[:length] + "…"
