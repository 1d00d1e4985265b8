"""The user's own rows: csv (plain or .gz) or Parquet, their columns named in the config or guessed and shown."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlet_bench.config import TableConfig
from mlet_bench.data.sources import sample, text, times
from mlet_bench.data.sources.bad_rows import BadRow, Reading
from mlet_bench.data.sources.guess import notes_of
from mlet_bench.data.sources.labels import labels_of
from mlet_bench.data.sources.lines import LARGEST, Kind, Known, Layout, cell_mistake
from mlet_bench.data.sources.raw import KEY, LABEL, RawSource
from mlet_bench.data.sources.ready_split import TableFiles, files_of
from mlet_bench.data.sources.roles import roles_of
from mlet_bench.data.sources.spelling import numbers_among, spelled_dictionary, spellings, text_of
from mlet_bench.data.splits import SPLITS, ByTime, CutFromTrain, Given, InOrder, SplitRule, rule_for
from mlet_bench.errors import UserError, listing, nearest

DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
OTHER_TEXT = (".data", ".inter", ".dat")
"""And files without an extension: the first line says what its cells end with."""
BATCH_ROWS = 1 << 17
SPELLING = 1
"""Of categories and missing cells; folders that were prepared by another are others."""


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
        self._delimiter = config.delimiter or ","
        if config.delimiter is None and self.kind != ".parquet":
            self._delimiter = text.sniffed_delimiter(self.files[0], DELIMITERS.get(self.kind))
        self._missing = spellings(config.missing)
        self._sample = self._sampled(self.files[0])
        self.roles = roles_of(config, self._sample.types, self.files[0])
        self.numeric, self.categorical = self.roles.numeric, self.roles.categorical
        self.labels = labels_of(config.positive, self._sample.cells[self.roles.label], self.roles.label)
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
        missing = list(self.config.missing)
        positive = {} if self.config.positive is None else {"positive": self.config.positive}
        return {"columns": columns, "missing": missing, "files": len(self.files), "spelling": SPELLING, **positive}

    def notes(self) -> list[str]:
        notes = [self._input.note] if self._input.note else []
        if self.kind != ".parquet" and self._delimiter != (self.config.delimiter or DELIMITERS.get(self.kind)):
            name = text.DELIMITER_NAMES.get(self._delimiter, self._delimiter)
            notes.append(f"{self.files[0].name}: columns end with a {name} (dataset.delimiter)")
        return [*notes, *notes_of(self.roles, self._sample, self.config.drop)]

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
        if self.labels is not None:
            columns[LABEL] = pa.array(self.labels.column(table.column(roles.label), self._missing))
        if self._input.splits:
            columns[KEY] = pa.repeat(pa.scalar(self._input.splits[index], pa.int64()), table.num_rows)
        elif roles.key is not None:
            columns[KEY] = self._key(table.column(roles.key))
        columns.update({name: table.column(name) for name in (*roles.numeric, *roles.categorical)})
        if self.kind != ".parquet":
            columns.update({name: spelled_dictionary(table.column(name)) for name in roles.categorical})
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

        if not pa.types.is_dictionary(column.type):
            column = pa.chunked_array([text_of(chunk, ()) for chunk in column.chunks], pa.string())
        cells = column.cast(pa.string()).combine_chunks().dictionary_encode()
        return pa.array(map(of, cells.dictionary.to_pylist()), pa.int64()).take(cells.indices)

    def _sampled(self, path: Path) -> sample.Sample:
        """Some of a file's cells, and what its columns look like."""
        if self.kind == ".parquet":
            return sample.of_parquet(_opened(path), self._missing)
        return sample.of_text(path, self._header(path), self._delimiter, self._missing)

    def _header(self, path: Path) -> tuple[str, ...]:
        columns = text.without_types(text.header_of(path, self._delimiter, quoted=True))
        if len(set(columns)) < len(columns):
            raise UserError(f"{path}: line 1 names a column twice")
        return columns

    def _layout(self, path: Path) -> Layout:
        """Read anew for every use, so that rows are never read by the header of a file that was replaced."""
        roles = self.roles
        kinds: dict[str, Kind] = {roles.label: "label" if self.labels is None else "category"}
        known = {} if self.labels is None else {roles.label: Known(self.labels, self.labels.otherwise)}
        kinds.update(dict.fromkeys(roles.numeric, "number"))
        kinds.update(dict.fromkeys(roles.categorical, "category"))
        if roles.key is not None:
            kinds[roles.key] = self._key_kind
        return Layout(self._header(path), kinds, self._delimiter, quoted=True, missing=self._missing,
                      known=known)  # fmt: skip

    def _parquet(self, path: Path, reading: Reading, offset: int) -> Iterator[pa.Table]:
        roles = self.roles
        wanted = dict.fromkeys((*([] if self.labels else [roles.label]), *roles.numeric), pa.float64())
        wanted.update(dict.fromkeys(roles.categorical, pa.string()))
        names = list(dict.fromkeys((roles.label, *wanted, *([roles.key] if roles.key else []))))
        opened, row = _opened(path), 1
        size, rows = path.stat().st_size, opened.metadata.num_rows
        try:
            for batch in opened.iter_batches(BATCH_ROWS, columns=names):
                columns = {name: self._cast(batch.column(name), wanted.get(name), path, name) for name in names}
                table = self._screened(pa.table(columns), path, row, reading)
                row += batch.num_rows
                reading.passed(table.num_rows, offset + size * (row - 1) // max(rows, 1))
                yield table
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno:  # the disk's, not the file's
                raise
            raise UserError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None

    def _cast(self, column: pa.Array, wanted: pa.DataType | None, path: Path, name: str) -> pa.Array:
        if wanted is None:
            return column
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_boolean(column.type) and wanted == pa.float64():
            column = column.cast(pa.int8())
        try:
            if wanted == pa.string():
                return text_of(column, self._missing)
            if name != self.roles.label and _is_text(column.type):
                column = text_of(column, self._missing)
            return column.cast(wanted, safe=False)  # large integers to the nearest float64
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            what = "a number" if wanted == pa.float64() else "text"
            raise UserError(f"{path}: column {name} of type {column.type} cannot be read as {what}") from None

    def _screened(self, table: pa.Table, path: Path, first_row: int, reading: Reading) -> pa.Table:
        """The good rows; numbers that are NaN count as missing, as pandas writes them."""
        roles, bad, gone = self.roles, np.zeros(table.num_rows, bool), numbers_among(self._missing)
        for name in (roles.label, *roles.numeric, *([roles.key] if roles.key else [])):
            kind = "label" if name == roles.label else "number" if name in roles.numeric else self._key_kind
            if kind == "label" and self.labels is not None:
                wrong = np.isnan(self.labels.column(table.column(name), self._missing))
            elif kind in ("label", "number"):
                values = pc.fill_null(table.column(name), np.nan).to_numpy()
                wrong = ~np.isin(values, (0, 1)) if kind == "label" else np.abs(values) > LARGEST
            else:
                wrong = self._key(table.column(name)).is_null().to_numpy(zero_copy_only=False)
            for place in np.flatnonzero(wrong & ~bad):
                row = {key: str(value) for key, value in table.slice(place, 1).to_pylist()[0].items()}
                reason = cell_mistake("", kind, ()) if kind != "label" or not self.labels else self.labels.otherwise
                reading.set_aside(BadRow(path, first_row + int(place), name, row[name], str(reason), str(row)))
            bad |= wrong
            if kind == "number":
                numbers = pa.array(values, mask=np.isnan(values) | np.isin(values, gone))
                table = table.set_column(table.column_names.index(name), name, numbers)
        return table.filter(pa.array(~bad)) if bad.any() else table


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


def _kind(path: Path) -> str:
    suffix = (path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix).lower()
    allowed = (*DELIMITERS, *OTHER_TEXT, ".parquet")
    if suffix not in (*allowed, ""):
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
