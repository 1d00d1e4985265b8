"""Criteo's display-advertising text: label, I1..I13, C1..C26, tab-separated, no header, in time order.

One file is Criteo-Kaggle's train.txt; several are the days of the 1TB set.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from mlet_bench.config import CriteoConfig
from mlet_bench.data.sources import text
from mlet_bench.data.sources.asked import asked_layout, kept_columns
from mlet_bench.data.sources.bad_rows import Reading
from mlet_bench.data.sources.lines import Layout
from mlet_bench.data.sources.raw import KEY, LABEL, RawSource, existing, matching
from mlet_bench.data.splits import LastDay, Sevenths, rule_for
from mlet_bench.errors import UserError

NUMERIC = tuple(f"I{i}" for i in range(1, 14))
CATEGORICAL = tuple(f"C{i}" for i in range(1, 27))
LAYOUT = Layout(
    columns=(LABEL, *NUMERIC, *CATEGORICAL),
    kinds={LABEL: "label", **dict.fromkeys(NUMERIC, "integer"), **dict.fromkeys(CATEGORICAL, "category")},
    delimiter="\t",
    header=False,
)


class CriteoSource(RawSource):
    """Raw Criteo rows, of one file or of several in the order of the numbers in their names."""

    numeric = NUMERIC
    categorical = CATEGORICAL

    def __init__(self, config: CriteoConfig, keep: Sequence[str] | None = None) -> None:
        self.files = _files(config)
        self._keep = keep
        self._skip = config.bad_rows == "skip"
        by_time = Sevenths() if len(self.files) == 1 else LastDay(config.shares, config.seed, "file")
        self.split = rule_for(config.split, by_time, config.shares, config.seed)

    def check(self) -> None:
        for path in self.files:
            text.check_head(path, self._layout(path), skip=self._skip)

    def tables(self, reading: Reading) -> Iterator[pa.Table]:
        offset = 0
        for number, path in enumerate(self.files):
            for table in text.read_text(path, self._layout(path), reading, offset):
                if self._keep is not None:
                    columns = {name: table.column(name) for name in (*NUMERIC, *CATEGORICAL)}
                    table = pa.table({**columns, **kept_columns(table, self._keep)})
                elif len(self.files) > 1:
                    table = table.append_column(KEY, pa.repeat(pa.scalar(number, pa.int64()), table.num_rows))
                yield table
            offset += path.stat().st_size

    def _layout(self, path: Path) -> Layout:
        """Of rows that a model is asked about as in Kaggle's test.txt, whose rows lack the label, or with it."""
        if self._keep is None:
            return LAYOUT
        cells = text.first_line(path).count(b"\t") + 1
        without = replace(LAYOUT, columns=LAYOUT.columns[1:])
        return asked_layout(path, without if cells == len(without.columns) else LAYOUT, LABEL, self._keep)


def _files(config: CriteoConfig) -> tuple[Path, ...]:
    found = matching(config.raw, config.name)
    if found:
        return tuple(sorted(found, key=_by_number))
    path = existing(config.raw, config.name)
    if not path.is_dir():
        return (path,)
    for name in ("train.txt", "train.txt.gz"):
        if (path / name).is_file():
            return (path / name,)
    raise UserError(f"dataset.raw={path}: the folder holds no train.txt; name the file, or a glob such as 'day_*.gz'")


def _by_number(path: Path) -> tuple[list[int], str]:
    """day_2 before day_10."""
    return [int(digits) for digits in re.findall(r"\d+", path.name)], path.name
