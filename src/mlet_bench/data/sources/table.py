"""The user's own rows: csv (plain or .gz) or Parquet, their columns named in the config or guessed and shown."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlet_bench.config import TableConfig
from mlet_bench.data.sources import text, times
from mlet_bench.data.sources.bad_rows import BadRow, Reading
from mlet_bench.data.sources.lines import LARGEST, Kind, Layout, cell_mistake
from mlet_bench.data.sources.raw import KEY, LABEL, RawSource
from mlet_bench.data.sources.ready_split import TableFiles, files_of
from mlet_bench.data.sources.roles import looks_like, roles_of
from mlet_bench.data.splits import SPLITS, ByTime, CutFromTrain, Given, InOrder, SplitRule, rule_for
from mlet_bench.errors import UserError, listing, nearest

DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
GUESS_BYTES = 1 << 20
BATCH_ROWS = 1 << 17


class TableSource(RawSource):
    """Rows of one file, of several of one kind, or of train, valid and test files."""

    def __init__(self, config: TableConfig) -> None:
        self.config = config
        self._input = files_of(config)
        self.files = self._input.paths
        self.kind = _kind(self.files[0])
        for path in self.files:
            if _kind(path) != self.kind:
                raise UserError(
                    f"dataset.raw={config.raw}: {path.name} and {self.files[0].name} are of different kinds"
                )
        self._delimiter = config.delimiter or DELIMITERS.get(self.kind, ",")
        self.roles = roles_of(config, self._types(self.files[0]), self.files[0])
        self.numeric, self.categorical = self.roles.numeric, self.roles.categorical
        self.split = _split(config, self._input)

    def check(self) -> None:
        for path in self.files:
            layout = None if self.kind == ".parquet" else self._layout(path)
            names = _opened(path).schema_arrow.names if layout is None else layout.columns
            wanted = (self.roles.label, *self.numeric, *self.categorical, *([self.roles.key] if self.roles.key else []))
            for name in wanted:
                if name not in names:
                    raise UserError(f"{path}: has no column {name}; it has {listing(names)}.{nearest(name, names)}"
                                    f"{self._hint(name)}")  # fmt: skip
            if layout is not None:
                text.check_head(path, layout, skip=self.config.bad_rows == "skip")

    def _hint(self, missing: str) -> str:
        if not self._input.splits or missing != self.roles.label:
            return ""
        return f" Rows without labels can be no split; dataset.raw={self.files[0]} splits the training rows alone."

    def options(self) -> dict[str, Any]:
        roles = self.roles
        columns = {"label": roles.label, "numeric": list(roles.numeric), "categorical": list(roles.categorical)}
        return {"columns": columns, "missing": list(self.config.missing), "files": len(self.files)}

    def notes(self) -> list[str]:
        notes = [self._input.note] if self._input.note else []
        if not self.roles.guessed:
            return notes
        left = tuple(name for name in self.roles.dropped if name not in self.config.drop)
        parts = {**self.roles.guessed, **({"drop": left} if left else {})}
        said = ", ".join(f"{name}=[{','.join(columns)}]" for name, columns in parts.items())
        return [*notes, f"columns were guessed from their names and types: {said}"]

    def tables(self, reading: Reading) -> Iterator[pa.Table]:
        offset = 0
        for index, path in enumerate(self.files):
            if self.kind == ".parquet":
                found = self._parquet(path, reading, offset)
            else:
                found = text.read_text(path, self._layout(path), reading, offset)
            for table in found:
                yield self._columns(table, index)
            offset += path.stat().st_size

    def _columns(self, table: pa.Table, index: int) -> pa.Table:
        roles = self.roles
        columns = {LABEL: table.column(roles.label)}
        if self._input.splits:
            columns[KEY] = pa.repeat(pa.scalar(self._input.splits[index], pa.int64()), table.num_rows)
        elif roles.key is not None:
            columns[KEY] = self._key(table.column(roles.key))
        columns.update({name: table.column(name) for name in (*roles.numeric, *roles.categorical)})
        return pa.table(columns)

    @property
    def _key_kind(self) -> Kind:
        return "time" if self.config.split == "time" else "split"

    def _key(self, column: pa.ChunkedArray) -> pa.Array:
        """Times, or the numbers of splits; null where a cell is neither."""
        if self.config.split == "time" and not pa.types.is_dictionary(column.type):
            if pa.types.is_date(column.type):
                column = column.cast(pa.timestamp("us"))
            if pa.types.is_temporal(column.type) or pa.types.is_integer(column.type):
                return column.cast(pa.int64())

        def of(cell: str) -> int | None:
            if self.config.split == "time":
                return times.time(cell)
            return SPLITS.index(cell) if cell in SPLITS else None

        cells = column.cast(pa.string()).combine_chunks().dictionary_encode()
        return pa.array(map(of, cells.dictionary.to_pylist()), pa.int64()).take(cells.indices)

    def _types(self, path: Path) -> dict[str, pa.DataType]:
        """The columns of a file, and what they look like."""
        if self.kind == ".parquet":
            schema = _opened(path).schema_arrow
            return dict(zip(schema.names, schema.types, strict=True))
        columns = self._header(path)
        rows = text.first_rows(path, self._delimiter, GUESS_BYTES)
        cells = zip(*(row for row in rows if len(row) == len(columns)), strict=True)
        types = [looks_like([cell for cell in column if cell not in ("", *self.config.missing)]) for column in cells]
        return dict(zip(columns, types or [pa.string()] * len(columns), strict=True))

    def _header(self, path: Path) -> tuple[str, ...]:
        columns = text.header_of(path, self._delimiter, quoted=True)
        if len(set(columns)) < len(columns):
            raise UserError(f"{path}: line 1 names a column twice")
        return columns

    def _layout(self, path: Path) -> Layout:
        """Read anew for every use, so that rows are never read by the header of a file that was replaced."""
        roles = self.roles
        kinds: dict[str, Kind] = {roles.label: "label", **dict.fromkeys(roles.numeric, "number")}
        kinds.update(dict.fromkeys(roles.categorical, "category"))
        if roles.key is not None:
            kinds[roles.key] = self._key_kind
        return Layout(self._header(path), kinds, self._delimiter, quoted=True, missing=("", *self.config.missing))

    def _parquet(self, path: Path, reading: Reading, offset: int) -> Iterator[pa.Table]:
        roles = self.roles
        wanted = {roles.label: pa.float64(), **dict.fromkeys(roles.numeric, pa.float64())}
        wanted.update(dict.fromkeys(roles.categorical, pa.string()))
        names = [*wanted, *([roles.key] if roles.key and roles.key not in wanted else [])]
        opened, row = _opened(path), 1
        size, rows = path.stat().st_size, opened.metadata.num_rows
        try:
            for batch in opened.iter_batches(BATCH_ROWS, columns=names):
                columns = {name: _cast(batch.column(name), wanted.get(name), path, name) for name in names}
                table = self._screened(pa.table(columns), path, row, reading)
                row += batch.num_rows
                reading.passed(table.num_rows, offset + size * (row - 1) // max(rows, 1))
                yield table
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno:  # the disk's, not the file's
                raise
            raise UserError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None

    def _screened(self, table: pa.Table, path: Path, first_row: int, reading: Reading) -> pa.Table:
        """The good rows; numbers that are NaN count as missing, as pandas writes them."""
        roles, bad = self.roles, np.zeros(table.num_rows, bool)
        for name in (roles.label, *roles.numeric, *([roles.key] if roles.key else [])):
            kind = "label" if name == roles.label else "number" if name in roles.numeric else self._key_kind
            if kind in ("label", "number"):
                values = pc.fill_null(table.column(name), np.nan).to_numpy()
                wrong = ~np.isin(values, (0, 1)) if kind == "label" else np.abs(values) > LARGEST
            else:
                wrong = self._key(table.column(name)).is_null().to_numpy(zero_copy_only=False)
            for place in np.flatnonzero(wrong & ~bad):
                row = {key: str(value) for key, value in table.slice(place, 1).to_pylist()[0].items()}
                reason = cell_mistake("", kind, ())
                reading.set_aside(BadRow(path, first_row + int(place), name, row[name], str(reason), str(row)))
            bad |= wrong
            if kind == "number":
                numbers = pa.array(values, mask=np.isnan(values))
                table = table.set_column(table.column_names.index(name), name, numbers)
        return table.filter(pa.array(~bad)) if bad.any() else table


def _cast(column: pa.Array, wanted: pa.DataType | None, path: Path, name: str) -> pa.Array:
    if wanted is None:
        return column
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_boolean(column.type) and wanted == pa.float64():
        column = column.cast(pa.int8())
    try:
        return column.cast(wanted, safe=False)  # large integers to the nearest float64
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        what = "a number" if wanted == pa.float64() else "text"
        raise UserError(f"{path}: column {name} of type {column.type} cannot be read as {what}") from None


def _opened(path: Path) -> pq.ParquetFile:
    try:
        opened = pq.ParquetFile(path)
        names = opened.schema_arrow.names
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: names that are no text
        raise UserError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from None
    if len(set(names)) < len(names):
        raise UserError(f"{path}: names a column twice")
    return opened


def _kind(path: Path) -> str:
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    allowed = (*DELIMITERS, ".parquet")
    if suffix not in allowed:
        raise UserError(
            f"dataset.raw: {path.name} ends with {path.suffix or 'nothing'}; allowed: {listing(allowed)}, also .gz"
        )
    return suffix


def _split(config: TableConfig, files: TableFiles) -> SplitRule:
    if files.splits:
        given = Given("files", () if files.splits == tuple(range(len(SPLITS))) else files.splits)
        return given if files.cut is None else CutFromTrain(given, files.cut, config.shares, config.seed)
    if config.split == "column":
        return Given("column")
    if config.split == "order":
        return InOrder(config.shares)
    split = "random" if config.split == "auto" else config.split
    return rule_for(split, ByTime(config.shares, str(config.time_column)), config.shares, config.seed)
