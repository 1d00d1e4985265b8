"""The ready-split csv sets of the open CTR benchmark BARS: a folder with train, valid and test."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from mlet_bench.config import BarsConfig
from mlet_bench.data.sources import text, times
from mlet_bench.data.sources.asked import asked_layout, kept_columns
from mlet_bench.data.sources.bad_rows import Reading
from mlet_bench.data.sources.lines import Kind, Layout
from mlet_bench.data.sources.raw import KEY, LABEL, RawSource, existing, matching
from mlet_bench.data.splits import SPLITS, Given
from mlet_bench.errors import UserError


class BarsSource(RawSource):
    """The rows of the three files, in their order; published md5 sums are compared, a difference is a warning."""

    def __init__(self, config: BarsConfig, keep: Sequence[str] | None = None) -> None:
        self.config, self._keep = config, keep
        self.files = _splits_of(config) if keep is None else _asked_files(config)
        self.numeric = config.numeric
        made = ("hour", "weekday", "weekend")
        self.categorical = config.categorical if config.hour is None else (made[0], *config.categorical, *made[1:])
        self.split = Given("files")

    def check(self) -> None:
        for path, layout in zip(self.files, self._layouts, strict=True):
            text.check_head(path, layout, skip=self.config.bad_rows == "skip")

    def options(self) -> dict[str, Any]:
        columns = [self.config.label, *self.numeric, *self.categorical]
        return {"columns": columns, "published_md5": dict(self.config.md5)}  # the warnings depend on these

    def warnings(self, md5: Sequence[str]) -> list[str]:
        return [
            f"{path.name}: md5 {found} is not the published {self.config.md5[name]}"
            for name, path, found in zip(SPLITS, self.files, md5, strict=True)
            if name in self.config.md5 and path.suffix == ".csv" and found != self.config.md5[name]
        ]

    def tables(self, reading: Reading) -> Iterator[pa.Table]:
        offset, config = 0, self.config
        for index, (path, layout) in enumerate(zip(self.files, self._layouts, strict=True)):
            for table in text.read_text(path, layout, reading, offset):
                columns = {} if self._keep is None else kept_columns(table, self._keep)
                if self._keep is None:
                    columns[LABEL] = table.column(config.label)
                    columns[KEY] = pa.repeat(pa.scalar(index, pa.int64()), table.num_rows)
                columns.update({name: table.column(name) for name in (*config.numeric, *config.categorical)})
                if config.hour is not None:
                    hours = table.column(config.hour)
                    columns["hour"] = times.derived(hours, times.hour_of_day)
                    columns["weekday"] = times.derived(hours, times.weekday)
                    columns["weekend"] = times.derived(hours, times.weekend)
                yield pa.table(columns)
            offset += path.stat().st_size

    @cached_property
    def _layouts(self) -> tuple[Layout, ...]:
        config = self.config
        kinds: dict[str, Kind] = {config.label: "label"}
        kinds.update(dict.fromkeys(config.numeric, "number"))
        kinds.update(dict.fromkeys(config.categorical, "category"))
        if config.hour is not None:
            kinds[config.hour] = "hour"
        layouts = []
        for path in self.files:
            columns = text.header_of(path)
            layout = Layout(columns, kinds)
            if self._keep is None:
                text.check_header(path, columns, (*kinds, *config.drop))
            else:
                layout = asked_layout(path, layout, config.label, self._keep)
            layouts.append(layout)
        return tuple(layouts)


def _splits_of(config: BarsConfig) -> tuple[Path, ...]:
    folder = existing(config.raw, config.name)
    if not folder.is_dir():
        raise UserError(f"dataset.raw={folder}: {config.name} needs the folder with train.csv, valid.csv and test.csv")
    return tuple(_file(folder, name) for name in SPLITS)


def _file(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.csv", folder / f"{name}.csv.gz"):
        if path.is_file():
            return path
    raise UserError(f"dataset.raw={folder}: the folder holds no {name}.csv")


def _asked_files(config: BarsConfig) -> tuple[Path, ...]:
    found = matching(config.raw, config.name) or [existing(config.raw, config.name)]
    for path in found:
        if path.is_dir():
            raise UserError(f"dataset.raw={path}: is a folder; name the csv file of rows, or a glob of several")
    return tuple(found)
