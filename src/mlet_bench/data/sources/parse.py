"""A chunk of lines → an Arrow table, at pyarrow's speed; that something is wrong in it is all this can say."""

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from mlet_bench.data.sources.lines import LARGEST, RATINGS, Kind, Layout, cell_mistake, cells_of, count
from mlet_bench.data.sources.quotes import LINE_END, RETURN

BLOCK_BYTES = 1 << 20
"""What one of pyarrow's threads parses at a time."""
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
class Chunk:
    """Whole lines, not copied."""

    data: memoryview | bytes
    returns: bool
    """Whether there is a carriage return among them."""
    has_x: bool
    """Whether there is an x or X among them, without which no cell is a hexadecimal integer."""
    joined: int = 0
    """How many line ends inside quotes were replaced."""


class BadCellError(Exception):
    """A cell that pyarrow reads and we do not accept."""


def chunk_of(lines: bytes, *, joined: bool = False) -> Chunk:
    return Chunk(lines, b"\r" in lines, b"x" in lines or b"X" in lines, lines.count(LINE_END) if joined else 0)


def parse(chunk: Chunk, layout: Layout, map_: Callable[..., Iterator[Any]] = map) -> pa.Table:
    data, delimiter = chunk.data, layout.delimiter
    if len(delimiter) > 1:
        data = bytes(data)
        if b"\t" in data:
            raise BadCellError("a cell holds a tab")
        data, delimiter = data.replace(delimiter.encode(), b"\t"), "\t"
    if chunk.returns:
        data = bytes(data)
        if data.count(b"\r") != data.count(b"\r\n") + data.endswith(b"\r"):
            raise BadCellError("a carriage return inside the line")
    if data[:3] == codecs.BOM_UTF8:
        data = codecs.BOM_UTF8 + bytes(data)  # pyarrow leaves one out
    types = {name: TYPES[kind] for name, kind in layout.kinds.items()}
    table = _read(data, delimiter, layout, types)
    if chunk.has_x and layout.integers:
        cells = _read(data, delimiter, layout, dict.fromkeys(layout.integers, pa.binary()))
        if any(pc.any(pc.match_substring_regex(column, "[xX]")).as_py() for column in cells.columns):
            raise BadCellError("a hexadecimal number")  # pyarrow reads 0x10 as 16
    if layout.quoted and (table.num_rows != count(bytes(data)) or _ends_in_quotes(bytes(data), delimiter)):
        raise BadCellError("a line end inside quotes")
    for name, kind in layout.kinds.items():
        if kind == "label":
            if not labels_fine(table.column(name)):
                raise BadCellError("a label is neither 0 nor 1")
        elif kind in ("rating", "timestamp") and table.column(name).null_count:
            raise BadCellError("a cell is missing")
        elif kind == "rating" and not pc.all(pc.is_in(table.column(name), pa.array(RATINGS))).as_py():
            raise BadCellError("a rating is none")
        elif kind == "number" and not numbers_fine(table.column(name)):
            raise BadCellError("a number is not finite in 32 bits")
    names = [name for name, kind in layout.kinds.items() if kind in TEXT]
    of = _parted if chunk.joined else _encoded
    encoded = dict(zip(names, map_(of, [table.column(name) for name in names]), strict=True))
    for name, kind in layout.kinds.items():
        if kind in ("hour", "time", "split"):
            if encoded[name].null_count:
                raise BadCellError(f"column {name}: a cell is missing")
            for cell in encoded[name].dictionary.to_pylist():
                if cell_mistake(cell, kind, layout.missing):
                    raise BadCellError(f"column {name}: {cell!r}")
        elif name in layout.known:
            allowed = layout.known[name].cells
            cells = encoded[name].dictionary.to_pylist()
            if encoded[name].null_count or not all(cell in allowed for cell in cells):
                raise BadCellError(f"column {name}: a cell {layout.known[name].otherwise}")
    return pa.table({name: encoded.get(name, table.column(name)) for name in types})


def _read(data: memoryview | bytes, delimiter: str, layout: Layout, types: dict[str, pa.DataType]) -> pa.Table:
    """The columns that `types` names."""
    return pyarrow.csv.read_csv(
        pa.py_buffer(data),
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


def _ends_in_quotes(lines: bytes, delimiter: str) -> bool:
    """Whether the last line leaves a quote open: there pyarrow closes it, and keeps the line end."""
    end = len(lines) - lines.endswith(b"\n")
    last = lines[lines.rfind(b"\n", 0, end) + 1 : end]
    return cells_of(last.decode("utf-8", "replace"), delimiter, quoted=True) is None


def _encoded(column: pa.ChunkedArray) -> pa.Array:
    """A dictionary of text for the whole column; pa.ArrowInvalid where a category is no text."""
    pieces = column.dictionary_encode().chunks
    if not pieces:
        return pa.array([], pa.dictionary(pa.int32(), pa.string()))
    indices = pa.concat_arrays([piece.indices for piece in pieces])
    return pa.DictionaryArray.from_arrays(indices, pieces[-1].dictionary.cast(pa.string()))


def _parted(column: pa.ChunkedArray) -> pa.Array:
    """As `_encoded`, with the line ends that were replaced."""
    parted_ = pc.replace_substring(pc.replace_substring(column, LINE_END, b"\n"), RETURN, b"\r")
    return _encoded(parted_)


def labels_fine(column: pa.ChunkedArray) -> bool:
    if column.null_count:
        return False
    return all(bool(((chunk == 0) | (chunk == 1)).all()) for chunk in map(_numpy, column.chunks))


def numbers_fine(column: pa.ChunkedArray) -> bool:
    finite = pc.less_equal(pc.abs(column), LARGEST)  # false for NaN too
    return pc.all(finite, skip_nulls=True).as_py() is not False


def _numpy(chunk: pa.Array) -> np.ndarray:
    return np.asarray(chunk.to_numpy(zero_copy_only=False))
