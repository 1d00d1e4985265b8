"""Columns that stand in the names of folders, as Hive and Spark write them: dt=2024-01-01/part-0.parquet."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from mlet_bench.data.sources.lines import Kind, cell_mistake
from mlet_bench.data.sources.sample import Sample, looks_like
from mlet_bench.data.sources.spelling import spelled
from mlet_bench.data.sources.wanted import Wanted
from mlet_bench.errors import UserError, listing

MISSING = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class Folders:
    values: tuple[dict[str, str], ...] = ()
    """By file: the columns that its folders' names say, and their cells; "" is a missing one."""

    @classmethod
    def of(cls, names: Sequence[Path]) -> "Folders":
        """Of the paths of all files below their common folder; UserError where they say different columns."""
        values = tuple(dict(_parts(name)) for name in names)
        for name, found in zip(names, values, strict=True):
            if list(found) != list(values[0]):
                raise UserError(f"dataset.raw: the folders of {names[0]} say the columns [{listing(values[0])}], those "
                                f"of {name} [{listing(found)}]; all files need the same")  # fmt: skip
        return cls(values if values and values[0] else ())

    @property
    def columns(self) -> set[str]:
        return set(self.values[0]) if self.values else set()

    def without(self, columns: set[str]) -> "Folders":
        left = tuple({name: cell for name, cell in found.items() if name not in columns} for found in self.values)
        return Folders(left if left and left[0] else ())

    def options(self) -> dict[str, object]:
        """Names of folders decide the rows; other paths do not."""
        return {"folders": list(self.values)} if self.values else {}

    def sampled(self, sample: Sample, missing: tuple[str, ...]) -> Sample:
        """A sample of the first file with these columns too, which are taken for what all files' folders say."""
        cells, types, why = dict(sample.cells), dict(sample.types), dict(sample.why)
        rows = max(map(len, cells.values()), default=0)
        for name in self.values[0] if self.values else ():
            seen = list(dict.fromkeys(found[name] for found in self.values if found[name] not in missing))
            types[name], looks = looks_like(seen)
            why[name] = f"folders' names: {looks}, {len(seen)} different"
            cells[name] = [None if self.values[0][name] in missing else self.values[0][name]] * rows
        return Sample(cells, types, why)

    def check(self, index: int, path: Path, wanted: Wanted) -> None:
        """UserError where a cell is not what its column must be."""
        for name, cell in self.values[index].items() if self.values else ():
            rule, kind = wanted.rules.get(name), wanted.checks.get(name)
            reason = cell_mistake(cell, kind, wanted.missing)
            if rule is not None:
                reason = None if cell in rule else rule.otherwise
            if reason:
                raise UserError(f"{path}: the folder {name}={cell}: {cell!r} {reason}")

    def added(self, table: pa.Table, index: int, wanted: Wanted) -> pa.Table:
        """A file's rows with these columns too, as far as they are wanted."""
        for name in self.values[index] if self.values else ():
            if name in wanted.columns:
                column = _repeated(self.values[index][name], wanted.kinds.get(name), table.num_rows, wanted.missing)
                table = table.append_column(name, column)
        return table


def _repeated(cell: str, kind: Kind | None, rows: int, missing: tuple[str, ...]) -> pa.Array:
    gone = cell in missing
    if kind in ("number", "label"):
        return pa.array(np.full(rows, np.nan if gone else float(cell)), mask=np.full(rows, gone))
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), spelled(pa.array(["" if gone else cell])))


def _parts(name: Path) -> list[tuple[str, str]]:
    """Columns and cells in a path, from its top.

    >>> _parts(Path("dt=2024-01-01/city=New%20York/part-0.parquet"))
    [('dt', '2024-01-01'), ('city', 'New York')]
    """
    pairs = [folder.split("=", 1) for folder in name.parent.parts if is_hive(folder)]
    return [(unquote(column), "" if cell == MISSING else unquote(cell)) for column, cell in pairs]


def is_hive(folder: str) -> bool:
    return folder.find("=") > 0
