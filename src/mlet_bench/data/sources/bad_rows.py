"""Rows that cannot be read: the first one stops the reading, or all are set aside with their reasons."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from mlet_bench.errors import UserError


@dataclass(frozen=True)
class BadRow:
    """One row that is not what its file should hold."""

    file: Path
    line: int
    """From 1; of a Parquet file the row's number."""
    column: str | None
    """None when the row as a whole is wrong."""
    cell: str | None
    reason: str
    row: str
    hint: str = ""
    """What may be done, where the row stops the reading."""

    def __str__(self) -> str:
        where = f"{self.file}: line {self.line}"
        if self.column is None:
            return f"{where} {self.reason}{self.hint}"
        cell = repr(self.cell).replace("\\\\", "\\")  # bytes that are no text are shown as \xff
        return f"{where}, column {self.column}: {cell} {self.reason}{self.hint}"


class Reading:
    """How far the reading of raw files has come, and what was wrong in them.

    Bad rows stop the reading with UserError, or, where `aside` names a file, go into it as JSON lines until they
    are more than `max_share` of the rows.
    """

    def __init__(self, total_bytes: int, aside: Path | None, max_share: float) -> None:
        self.total_bytes, self.bytes, self.rows, self.bad = total_bytes, 0, 0, 0
        self._aside, self._max_share = aside, max_share
        self._opened: IO[str] | None = None

    def passed(self, rows: int, to_byte: int) -> None:
        """`rows` more good rows were read, and the input up to this byte (of all files together)."""
        self.rows, self.bytes = self.rows + rows, to_byte
        expected = (self.rows + self.bad) * max(1.0, self.total_bytes / max(to_byte, 1))
        self._give_up_above(expected)

    def set_aside(self, row: BadRow) -> None:
        if self._aside is None:
            raise UserError(str(row))
        if self._opened is None:
            self._opened = self._aside.open("w", encoding="utf-8")
        self.bad += 1
        self._last = row
        entry = {**asdict(row), "file": row.file.name}
        del entry["hint"]
        self._opened.write(json.dumps(entry, ensure_ascii=False) + "\n")

    def finish(self) -> None:
        """Close the file; UserError when more than the allowed share was bad."""
        self.close()
        self._give_up_above(self.rows + self.bad)

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _give_up_above(self, rows: float) -> None:
        if self.bad > self._max_share * rows:
            raise UserError(
                f"{self.bad:,} bad rows of {self.rows + self.bad:,} read, more than dataset.max_bad_share="
                f"{self._max_share:g}; the last one: {self._last}"
            )
