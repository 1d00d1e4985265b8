"""The user's own rows: text or Parquet, their columns named in the config or guessed and shown."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from mlet_bench.config import TableConfig
from mlet_bench.data.sources.asked import kept_columns, missing_column
from mlet_bench.data.sources.bad_rows import Reading
from mlet_bench.data.sources.guess import notes_of
from mlet_bench.data.sources.labels import labels_of
from mlet_bench.data.sources.lines import Kind
from mlet_bench.data.sources.opened import UTF8
from mlet_bench.data.sources.parquet_table import ParquetTable
from mlet_bench.data.sources.raw import KEY, LABEL, RawSource
from mlet_bench.data.sources.ready_split import TableFiles, files_of
from mlet_bench.data.sources.roles import named_roles, roles_of
from mlet_bench.data.sources.spelling import spelled_dictionary, spellings
from mlet_bench.data.sources.text_table import DELIMITERS, OTHER_TEXT, TextTable
from mlet_bench.data.sources.wanted import Key, Wanted, split_keys
from mlet_bench.data.splits import SPLITS, ByTime, CutFromTrain, Given, InOrder, SplitRule, rule_for
from mlet_bench.errors import UserError, listing

SPELLING = 1
"""Of categories and missing cells; folders that were prepared by another are others."""
TEXT_ALONE = {"columns": None, "header": None, "encoding": UTF8}
"""Keys that Parquet has no use for, and what they are where nobody gives them."""


class TableSource(RawSource):
    """Rows of one file, of several of one kind, or of train, valid and test files."""

    def __init__(self, config: TableConfig, keep: Sequence[str] | None = None) -> None:
        self._asked = keep is not None
        if keep is not None:
            apart = {"split": "test", "split_column": None, "time_column": None}
            config = config.model_copy(update={**apart, "keep": tuple(keep)})
        self.config = config
        self._input = files_of(config)
        self.files = self._input.paths
        self._missing = spellings(config.missing)
        self._table = _table(config, self.files, self._missing, asked=self._asked)
        if self._asked:  # the columns are those that a model was trained with
            self.roles, self.labels = named_roles(config), None
        else:
            self._sample = self._input.folders.sampled(self._table.sample(self.files[0]), self._missing)
            self.roles = roles_of(config, self._sample.types, self.files[0], self._table.hint)
            self.labels = labels_of(config.positive, self._sample.cells[self.roles.label], self.roles.label)
        self.numeric, self.categorical = self.roles.numeric, self.roles.categorical
        self.kept = config.keep
        self.split = _split(config, self._input)
        self._wanted = self._all_wanted()

    def check(self) -> None:
        for index, path in enumerate(self.files):
            wanted = self._wanted.without(self._input.folders.columns)
            names = self._table.columns(path)
            for name in wanted.columns:
                if name not in names:
                    kept = self._asked and name in self.kept
                    raise UserError(missing_column(path, name, names, kept=kept) + self._hint(name))
            self._input.folders.check(index, path, self._wanted)
            self._table.check(path, wanted, skip=self.config.bad_rows == "skip")

    def _hint(self, missing: str) -> str:
        if not self._input.splits or missing != self.roles.label:
            return ""
        return f" Rows without labels can be no split; dataset.raw={self.files[0]} splits the training rows alone."

    def options(self) -> dict[str, Any]:
        roles = self.roles
        columns = {"label": roles.label, "numeric": list(roles.numeric), "categorical": list(roles.categorical)}
        options = {"columns": columns, "missing": list(self.config.missing), "files": len(self.files)}
        positive = {} if self.config.positive is None else {"positive": self.config.positive}
        return {**options, "spelling": SPELLING, **positive, **self._table.options(), **self._input.folders.options()}

    def notes(self) -> list[str]:
        notes = [note for note in (self._input.note, self._table.note) if note]
        return notes if self._asked else [*notes, *notes_of(self.roles, self._sample, self.config)]

    def tables(self, reading: Reading) -> Iterator[pa.Table]:
        wanted, offset = self._wanted.without(self._input.folders.columns), 0
        for index, path in enumerate(self.files):
            for table in self._table.tables(path, wanted, reading, offset):
                yield self._columns(self._input.folders.added(table, index, self._wanted), index)
            offset += path.stat().st_size

    def _all_wanted(self) -> Wanted:
        roles, time = self.roles, self.config.split == "time"
        kinds: dict[str, Kind] = {}
        if not self._asked:
            kinds[roles.label] = "label" if self.labels is None else "category"
        kinds.update(dict.fromkeys(roles.numeric, "number"))
        kinds.update(dict.fromkeys(roles.categorical, "category"))
        key = None if roles.key is None else Key(roles.key, "time" if time else "split")
        return Wanted(kinds, key, {} if self.labels is None else {roles.label: self.labels}, self._missing, self.kept)

    def _columns(self, table: pa.Table, index: int) -> pa.Table:
        roles, key = self.roles, self._wanted.key
        columns = {} if self._asked else {LABEL: table.column(roles.label)}
        if self.labels is not None:
            columns[LABEL] = pa.array(self.labels.column(table.column(roles.label), self._missing))
        if self._input.splits:
            columns[KEY] = pa.repeat(pa.scalar(self._input.splits[index], pa.int64()), table.num_rows)
        elif key is not None:
            columns[KEY] = split_keys(table.column(key.column), key.kind)
        columns.update({name: table.column(name) for name in roles.numeric})
        for name in roles.categorical:
            column = table.column(name)
            columns[name] = spelled_dictionary(column) if pa.types.is_dictionary(column.type) else column
        return pa.table({**columns, **kept_columns(table, self.kept)})


def _table(
    config: TableConfig, files: tuple[Path, ...], missing: tuple[str, ...], *, asked: bool
) -> TextTable | ParquetTable:
    """What reads the files, all of one kind."""
    kind = _kind(files[0])
    for path in files:
        if _kind(path) != kind:
            raise UserError(f"dataset.raw={config.raw}: {path.name} and {files[0].name} are of different kinds")
    if kind != ".parquet":
        return TextTable(config, files[0], kind, missing, asked=asked)
    for key, usual in TEXT_ALONE.items():
        if getattr(config, key) != usual and not asked:
            raise UserError(f"dataset.{key}: goes with text; {files[0].name} is Parquet, which says that itself")
    return ParquetTable(missing)


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
