"""Criteo's display-advertising text: label, I1..I13, C1..C26, tab-separated, no header, in time order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from mlet_bench.config import CriteoConfig
from mlet_bench.data.raw import LABEL, existing, raw_file
from mlet_bench.errors import UserError

NUMERIC = tuple(f"I{i}" for i in range(1, 14))
CATEGORICAL = tuple(f"C{i}" for i in range(1, 27))
COLUMNS = (LABEL, *NUMERIC, *CATEGORICAL)
CHUNK_BYTES = 1 << 26
PARTS = 7  # as facebookresearch/dlrm splits Criteo-Kaggle: equal parts in time order, a day each


class CriteoSource:
    """Raw Criteo-Kaggle rows; 6 of 7 parts train, the last halved into valid and test."""

    numeric = NUMERIC
    categorical = CATEGORICAL

    def __init__(self, config: CriteoConfig) -> None:
        path = existing(config.raw, config.name)
        if path.is_dir():
            path = path / "train.txt"
            if not path.is_file():
                raise UserError(f"dataset.raw={path.parent}: the folder holds no train.txt")
        self.path = path

    def check(self) -> None:
        with self.path.open("rb") as opened:
            head = opened.read(1 << 18)
            complete = not opened.read(1)
        if not head:
            raise UserError(f"{self.path}: the file is empty")
        if not complete:
            head = head[: head.rfind(b"\n") + 1] or head
        mistake = first_mistake(head, 1)
        if mistake:
            raise UserError(f"{self.path}: {mistake}")
        if raw_lines_at_least(self.path, PARTS * 2) < PARTS * 2:
            raise UserError(f"{self.path}: too few rows for {PARTS} parts and a split in two; needs {PARTS * 2}")

    def identity(self) -> list[dict[str, Any]]:
        known = raw_file(self.path)
        return [{"bytes": known.bytes, "rows": known.lines, "md5": known.md5}]

    def raw_bytes(self) -> int:
        return self.path.stat().st_size

    def options(self) -> dict[str, Any]:
        return {"split": "time: 6 of 7 equal parts train, the last halved into valid and test"}

    def batches(self) -> Iterator[pa.Table]:
        line = 1
        for chunk in _chunks(self.path):
            table = _parse(self.path, chunk, line)
            line += table.num_rows
            yield table
        if line - 1 != raw_file(self.path).lines:
            raise UserError(f"{self.path}: holds carriage returns inside lines, or changed while it was read")

    def split_of(self, first_row: int, rows: int) -> np.ndarray:
        train, valid, _ = split_sizes(raw_file(self.path).lines)
        return np.searchsorted([train, train + valid], np.arange(first_row, first_row + rows), "right").astype(np.int8)


def split_sizes(rows: int) -> tuple[int, int, int]:
    """Rows of train, valid and test: seven parts as equal as can be, the first ones the larger.

    >>> split_sizes(8000)
    (6858, 571, 571)
    """
    last = rows // PARTS
    valid = last - last // 2
    return rows - last, valid, last // 2


def raw_lines_at_least(path: Path, wanted: int) -> int:
    """The number of lines, counted no further than `wanted`."""
    with path.open("rb") as opened:
        return sum(1 for _, _ in zip(range(wanted), opened, strict=False))


def _chunks(path: Path) -> Iterator[bytes]:
    """The file in pieces that end with a line's end."""
    rest = b""
    with path.open("rb") as opened:
        while block := opened.read(CHUNK_BYTES):
            block = rest + block
            cut = block.rfind(b"\n") + 1
            rest = block[cut:]
            if cut:
                yield block[:cut]
    if rest:
        yield rest


def _parse(path: Path, chunk: bytes, first_line: int) -> pa.Table:
    types = {
        LABEL: pa.int8(),
        **dict.fromkeys(NUMERIC, pa.int64()),
        **dict.fromkeys(CATEGORICAL, pa.string()),
    }
    try:
        table = pyarrow.csv.read_csv(
            pa.py_buffer(chunk),
            read_options=pyarrow.csv.ReadOptions(column_names=list(COLUMNS), block_size=1 << 23),
            parse_options=pyarrow.csv.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=False),
            convert_options=pyarrow.csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=False),
        )
        labels = table.column(LABEL).to_numpy()
        if table.column(LABEL).null_count == 0 and ((labels == 0) | (labels == 1)).all():
            return table
        reason = "a label is neither 0 nor 1"
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0]
    raise UserError(f"{path}: {first_mistake(chunk, first_line) or reason}")


def first_mistake(chunk: bytes, first_line: int) -> str | None:
    """The first bad line of a chunk, in words: line number, column and the cell."""
    lines = chunk.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    for number, raw in enumerate(lines, first_line):
        cells = raw.removesuffix(b"\r").split(b"\t")
        if len(cells) != len(COLUMNS):
            return (
                f"line {number} has {len(cells)} columns; Criteo's layout has {len(COLUMNS)}: "
                "label, I1..I13, C1..C26, tab-separated"
            )
        if cells[0] not in (b"0", b"1"):
            return f"line {number}, column label: {_shown(cells[0])} is neither 0 nor 1"
        for name, cell in zip(COLUMNS, cells, strict=True):
            if name in NUMERIC and cell and not _is_integer(cell):
                return f"line {number}, column {name}: {_shown(cell)} is no whole number of 64 bits"
            try:
                cell.decode("utf-8")
            except UnicodeDecodeError:
                return f"line {number}, column {name}: {_shown(cell)} is no UTF-8 text"
    return None


def _is_integer(cell: bytes) -> bool:
    digits = cell.removeprefix(b"-")
    return digits.isdigit() and len(digits) < 20 and -(2**63) <= int(cell) < 2**63


def _shown(cell: bytes) -> str:
    return repr(cell[:40].decode("utf-8", "backslashreplace"))
