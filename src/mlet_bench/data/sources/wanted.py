"""What is read of every file of the user's own rows, whatever its container."""

from dataclasses import dataclass, field, replace
from typing import Literal

import pyarrow as pa

from mlet_bench.data.sources import times
from mlet_bench.data.sources.labels import Labels
from mlet_bench.data.sources.lines import Kind
from mlet_bench.data.sources.spelling import text_of
from mlet_bench.data.splits import SPLITS


@dataclass(frozen=True)
class Key:
    """The column that the split goes by, which may be another's too."""

    column: str
    kind: Literal["time", "split"]


@dataclass(frozen=True)
class Wanted:
    kinds: dict[str, Kind]
    """Labels, numbers and categories by column."""
    key: Key | None
    rules: dict[str, Labels] = field(default_factory=dict)
    """For columns of labels that are not 0 and 1; their kind is that of categories."""
    missing: tuple[str, ...] = ("",)
    kept: tuple[str, ...] = ()
    """Columns that are wanted as they are, too."""

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.kinds, *([self.key.column] if self.key else []), *self.kept)))

    @property
    def checks(self) -> dict[str, Kind]:
        """What the cells of each column must be, those of the key above all."""
        kept: dict[str, Kind] = {name: "category" for name in self.kept if name not in self.kinds}
        return {**self.kinds, **kept, **({self.key.column: self.key.kind} if self.key else {})}

    def without(self, columns: set[str]) -> "Wanted":
        """The same but for columns that no file holds."""
        kinds = {name: kind for name, kind in self.kinds.items() if name not in columns}
        rules = {name: rule for name, rule in self.rules.items() if name not in columns}
        key = None if self.key is None or self.key.column in columns else self.key
        kept = tuple(name for name in self.kept if name not in columns)
        return replace(self, kinds=kinds, key=key, rules=rules, kept=kept)


def split_keys(column: pa.ChunkedArray, kind: str) -> pa.Array:
    """Times, or the numbers of splits (int64); null where a cell is neither."""
    if kind == "time" and not pa.types.is_dictionary(column.type):
        if pa.types.is_date(column.type):
            column = column.cast(pa.timestamp("us"))
        if pa.types.is_temporal(column.type) or pa.types.is_integer(column.type):
            return column.cast(pa.int64())

    def of(cell: str) -> int | None:
        if kind == "time":
            return times.time(cell)
        return SPLITS.index(cell) if cell in SPLITS else None

    if not pa.types.is_dictionary(column.type):
        column = pa.chunked_array([text_of(chunk, ()) for chunk in column.chunks], pa.string())
    cells = column.cast(pa.string()).combine_chunks().dictionary_encode()
    return pa.array(map(of, cells.dictionary.to_pylist()), pa.int64()).take(cells.indices)
