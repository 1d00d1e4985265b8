"""A table, described once: the terminal, the page and a csv file each render it in their way."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mlet_bench.analysis.formatting import NONE

Value = str | Callable[[Any], Any]
"""Where a value is found: a path of attributes, keys and places like "auc_gain.ci95.0", or a function."""
Parts = Mapping[str, Value]
SPREAD: Parts = {"mean": "mean", "sd": "sd"}
INTERVAL: Parts = {"low": "0", "high": "1"}
DIFFERENCE: Parts = {
    **{"mean": "mean", "seeds": "n", "se": "standard_error", "t": "t", "p": "p"},
    **{"ci95_low": "ci95.0", "ci95_high": "ci95.1", "verdict": "verdict"},
}


def find(row: Any, value: Value) -> Any:
    """A value of a row; None where the path leads over something unknown.

    >>> find({"pairs": [(1, 2)]}, "pairs.0.1"), find({}, "pairs.0.1")
    (2, None)
    """
    if callable(value):
        return value(row)
    for name in value.split("."):
        if row is None:
            return None
        row = row.get(name) if isinstance(row, Mapping) else row[int(name)] if name.isdigit() else getattr(row, name)
    return row


@dataclass(frozen=True)
class Column:
    heading: str
    """For people; without one the column stands in csv files alone."""
    value: Value
    """Of a row; None is unknown."""
    format: Callable[[Any], str] = str
    key: str = ""
    """The name in csv files; without one the column is for people alone."""
    parts: Parts | None = None
    """Of a value that is several numbers: a csv column `key_part` for each."""
    words: bool = False
    """Words stand on the left and may be wrapped, numbers on the right."""
    if_known: bool = False
    """It stands only where some row has a value."""
    dropped: int = 0
    """A terminal that is too narrow goes without the column that has 1, then 2, …; never without those that have 0."""

    def text(self, row: Any) -> str:
        value = find(row, self.value)
        return NONE if value is None else self.format(value)

    def plain(self, row: Any) -> dict[str, Any]:
        """What stands in a csv file."""
        value = find(row, self.value)
        if self.parts is None:
            return {self.key: value}
        return {f"{self.key}_{name}": find(value, part) for name, part in self.parts.items()}


@dataclass(frozen=True)
class Table:
    title: str
    columns: Sequence[Column]
    rows: Sequence[Any]
    """What the columns take their values from."""
    note: str = ""
    rules: Sequence[int] = ()
    """Rows after which a terminal draws a line."""

    @property
    def shown(self) -> list[Column]:
        return [column for column in self.columns if column.heading and not self._lacks(column)]

    def csv_rows(self) -> list[dict[str, Any]]:
        columns = [column for column in self.columns if column.key and not self._lacks(column)]
        return [{key: value for column in columns for key, value in column.plain(row).items()} for row in self.rows]

    def _lacks(self, column: Column) -> bool:
        return column.if_known and all(find(row, column.value) is None for row in self.rows)

    @property
    def is_prose(self) -> bool:
        return all(column.words for column in self.shown)

    def texts(self) -> list[list[str]]:
        """The rows as people read them."""
        return [[column.text(row) for column in self.shown] for row in self.rows]

    def without(self, *headings: str) -> "Table":
        return replace(self, columns=[column for column in self.columns if column.heading not in headings])


def csv_text(tables: Sequence[Table]) -> str:
    """The rows of all tables with every number at full length; nothing at all where there are none.

    >>> a, b = Column("", "0", key="a"), Column("B", "1", key="b", parts=INTERVAL)
    >>> csv_text([Table("", [a, b], [(1, None), ("x,y", (0.5, 2))]), Table("", [b], [])])
    'a,b_low,b_high\\n1,,\\n"x,y",0.5,2\\n'
    """
    rows = [row for table in tables for row in table.csv_rows()]
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    if names:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
