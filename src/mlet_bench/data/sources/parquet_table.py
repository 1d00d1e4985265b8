"""The user's own rows as Parquet."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlet_bench.data.sources import sample
from mlet_bench.data.sources.bad_rows import BadRow, Reading
from mlet_bench.data.sources.labels import Labels
from mlet_bench.data.sources.lines import LARGEST, Kind, cell_mistake
from mlet_bench.data.sources.raw import KEPT
from mlet_bench.data.sources.spelling import numbers_among, text_of
from mlet_bench.data.sources.wanted import Wanted, split_keys
from mlet_bench.errors import UserError

BATCH_ROWS = 1 << 17


class ParquetTable:
    """What the files of a table hold, a file at a time."""

    hint, note = "", ""

    def __init__(self, missing: tuple[str, ...]) -> None:
        self._missing = missing
        self._kept_types: dict[str, pa.DataType] = {}

    def options(self) -> dict[str, object]:
        """Nothing but the files decides which cells are whose."""
        return {}

    def columns(self, path: Path) -> tuple[str, ...]:
        return tuple(_opened(path).schema_arrow.names)

    def sample(self, path: Path) -> sample.Sample:
        """Some of a file's cells, and what its columns look like."""
        return sample.of_parquet(_opened(path), self._missing)

    def check(self, path: Path, wanted: Wanted, *, skip: bool) -> None:
        """Nothing beyond the columns can be told before the rows are read."""

    def tables(self, path: Path, wanted: Wanted, reading: Reading, offset: int) -> Iterator[pa.Table]:
        """The wanted columns of all good rows; `offset` bytes of other files came before this one."""
        opened, row = _opened(path), 1
        size, rows = path.stat().st_size, opened.metadata.num_rows
        try:
            for batch in opened.iter_batches(BATCH_ROWS, columns=list(wanted.columns)):
                cells = {name: _cast(batch.column(name), name, wanted, path) for name in wanted.columns}
                cells.update({KEPT + name: self._kept(batch.column(name), name, path) for name in wanted.kept})
                table = _screened(pa.table(cells), path, row, wanted, reading)
                row += batch.num_rows
                reading.passed(table.num_rows, offset + size * (row - 1) // max(rows, 1))
                yield table
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno:  # the disk's, not the file's
                raise
            raise UserError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None

    def _kept(self, column: pa.Array, name: str, path: Path) -> pa.Array:
        """A column as it is, of the type that it has in the first file; UserError where it has another."""
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        wanted = self._kept_types.setdefault(name, column.type)
        try:
            if wanted == column.type or any(kind(wanted) and kind(column.type) for kind in (_is_number, _is_text)):
                return column.cast(wanted)
        except pa.ArrowInvalid:
            pass
        raise UserError(f"{path}: column {name} is kept, and is no {wanted} as in the first file")


def _cast(column: pa.Array, name: str, wanted: Wanted, path: Path) -> pa.Array:
    """Numbers as float64, categories as text; labels that have a rule, and a key alone, as they are."""
    kind = wanted.kinds.get(name)
    if kind is None or name in wanted.rules:
        return column
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        if kind == "category":
            return text_of(column, wanted.missing)
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        if kind == "number" and _is_text(column.type):
            column = text_of(column, wanted.missing)
        return column.cast(pa.float64(), safe=False)  # large integers to the nearest float64
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        what = "text" if kind == "category" else "a number"
        raise UserError(f"{path}: column {name} of type {column.type} cannot be read as {what}") from None


def _screened(table: pa.Table, path: Path, first_row: int, wanted: Wanted, reading: Reading) -> pa.Table:
    """The good rows; numbers that are NaN count as missing, as pandas writes them."""
    bad, gone = np.zeros(table.num_rows, bool), numbers_among(wanted.missing)
    checks = [(name, kind) for name, kind in wanted.kinds.items() if kind != "category" or name in wanted.rules]
    for name, kind in (*checks, *([(wanted.key.column, wanted.key.kind)] if wanted.key else [])):
        wrong = _wrong(table.column(name), kind, wanted.rules.get(name), wanted.missing)
        for place in np.flatnonzero(wrong & ~bad):
            row = {
                key: str(value)
                for key, value in table.slice(place, 1).to_pylist()[0].items()
                if not key.startswith(KEPT)
            }
            reason = wanted.rules[name].otherwise if name in wanted.rules else cell_mistake("", kind, ())
            reading.set_aside(BadRow(path, first_row + int(place), name, row[name], str(reason), str(row)))
        bad |= wrong
        if kind == "number":
            values = pc.fill_null(table.column(name), np.nan).to_numpy()
            numbers = pa.array(values, mask=np.isnan(values) | np.isin(values, gone))
            table = table.set_column(table.column_names.index(name), name, numbers)
    return table.filter(pa.array(~bad)) if bad.any() else table


def _wrong(column: pa.ChunkedArray, kind: Kind, rule: Labels | None, missing: tuple[str, ...]) -> np.ndarray:
    """Which cells are not what they must be."""
    if rule is not None:
        return np.asarray(np.isnan(rule.column(column, missing)))
    if kind in ("time", "split"):
        return np.asarray(split_keys(column, kind).is_null().to_numpy(zero_copy_only=False))
    values = np.asarray(pc.fill_null(column, np.nan).to_numpy())
    if kind == "label":
        return ~np.isin(values, (0, 1))
    return np.asarray(np.abs(values) > LARGEST)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string())


def _opened(path: Path) -> pq.ParquetFile:
    try:
        opened = pq.ParquetFile(path)
        names = opened.schema_arrow.names
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: names that are no text
        raise UserError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from None
    if len(set(names)) < len(names):
        raise UserError(f"{path}: names a column twice")
    return opened
