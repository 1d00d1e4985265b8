"""Cells from all over a table, and what its columns are taken for."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mlet_bench.data.sources.lines import Layout, cells_of, lines_of
from mlet_bench.data.sources.spelling import text_of
from mlet_bench.data.sources.text import first_rows

HEAD_BYTES = 1 << 20
PIECES, PIECE_BYTES = 15, 1 << 16
"""Of a text file's rest: a column may begin with whole numbers and go on with others."""
PARQUET_CELLS, PARQUET_ROWS = 4_000_000, 20_000
LONG_DIGITS = 16
"""Whole numbers of so many digits are names: as numbers they would be rounded."""
LONG = 10.0 ** (LONG_DIGITS - 1)
Cells = list[str | None]
TEXT, WHOLE, NUMBERS = pa.string(), pa.int64(), pa.float64()


@dataclass(frozen=True)
class Sample:
    """Some rows of a table; None is a missing cell."""

    cells: dict[str, Cells]
    types: dict[str, pa.DataType]
    """What a column is taken for: text, whole numbers, numbers, or the type of the file."""
    why: dict[str, str]


def of_text(path: Path, layout: Layout) -> Sample:
    rows = [*first_rows(path, layout, HEAD_BYTES), *_later_rows(path, layout)]
    columns, gone = layout.columns, set(layout.missing)
    by_column = list(zip(*(row for row in rows if len(row) == len(columns)), strict=True)) or [()] * len(columns)
    cells: dict[str, Cells] = {
        name: [None if cell in gone else cell for cell in column]
        for name, column in zip(columns, by_column, strict=True)
    }
    looks = {name: looks_like([cell for cell in column if cell is not None]) for name, column in cells.items()}
    return Sample(
        cells, {name: kind for name, (kind, _) in looks.items()}, {name: why for name, (_, why) in looks.items()}
    )


def of_parquet(opened: pq.ParquetFile, missing: Iterable[str]) -> Sample:
    schema = opened.schema_arrow
    flat = [field.name for field in schema if not pa.types.is_nested(field.type)]
    rows = min(PARQUET_ROWS, max(PARQUET_CELLS // max(len(flat), 1), 100))
    cells: dict[str, Cells] = {name: [] for name in schema.names}
    try:
        for batch in opened.iter_batches(rows, columns=flat):
            for name, column in zip(flat, batch.columns, strict=True):
                cells[name] = text_of(column, missing).to_pylist()
            break
    except (pa.ArrowException, OSError):
        pass  # named when the rows are read
    looks = {field.name: _typed(field.type, cells[field.name]) for field in schema}
    return Sample(
        cells, {name: kind for name, (kind, _) in looks.items()}, {name: why for name, (_, why) in looks.items()}
    )


def looks_like(cells: list[str]) -> tuple[pa.DataType, str]:
    """The type of a column of text, and why.

    >>> looks_like(["12", "7"])[1], looks_like(["12", "7.5"])[1], looks_like(["2020-01-01"])[1], looks_like(["x"])[1]
    ('whole numbers', 'numbers with a decimal point', 'dates or times', 'text')
    >>> looks_like(["14200000000000000001", "14200000000000000002", "1.42e+19"])[1]
    'whole numbers of 16 digits and more'
    """
    if not cells:
        return TEXT, "no cells"
    if sum(_is_long(cell) for cell in cells) > len(cells) / 2:
        return TEXT, f"whole numbers of {LONG_DIGITS} digits and more"
    for kind, why, reads in (
        (WHOLE, "whole numbers", int),
        (NUMBERS, "numbers with a decimal point", float),
        (pa.timestamp("us"), "dates or times", datetime.fromisoformat),
    ):
        try:
            for cell in cells:
                reads(cell)
            return kind, why
        except ValueError:
            pass
    return TEXT, "text"


def _typed(kind: pa.DataType, cells: Cells) -> tuple[pa.DataType, str]:
    """The type of a Parquet column, and why."""
    if pa.types.is_decimal(kind):
        return (NUMBERS, "decimal numbers") if kind.scale > 0 else (WHOLE, "whole numbers")
    if pa.types.is_floating(kind):
        known = [float(cell) for cell in cells if cell is not None]
        if sum(abs(value) >= LONG and value.is_integer() for value in known) > len(known) / 2:
            return TEXT, f"whole numbers of {LONG_DIGITS} digits and more"
        return kind, "numbers of floating point"
    for why, fits in (
        ("whole numbers", pa.types.is_integer),
        ("booleans", pa.types.is_boolean),
        ("dates or times", pa.types.is_temporal),
        ("nested", pa.types.is_nested),
    ):
        if fits(kind):
            return kind, why
    return kind, "text"


def _is_long(cell: str) -> bool:
    digits = cell.removeprefix("-")
    return len(digits) >= LONG_DIGITS and digits.isascii() and digits.isdigit()


def is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _later_rows(path: Path, layout: Layout) -> Iterator[list[str]]:
    """Rows of pieces from the rest of a file; none of a packed one, which cannot be read from its middle."""
    size = path.stat().st_size
    if path.suffix == ".gz" or size <= HEAD_BYTES:
        return
    with path.open("rb") as opened:
        for piece in range(1, PIECES + 1):
            opened.seek(max(HEAD_BYTES, (size - PIECE_BYTES) * piece // PIECES))
            block = opened.read(PIECE_BYTES)
            for line in lines_of(block[block.find(b"\n") + 1 : block.rfind(b"\n") + 1]):
                text = line.removesuffix(b"\r").decode(layout.encoding, "replace")
                cells = cells_of(text, layout.delimiter, layout.quoted)
                if cells is not None:
                    yield cells
