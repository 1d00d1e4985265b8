"""The ready-split csv sets of the open CTR benchmark BARS: a folder with train, valid and test."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from mlet_bench.config import BarsConfig
from mlet_bench.data.sources import text, times
from mlet_bench.data.sources.bad_rows import Reading
from mlet_bench.data.sources.lines import Kind, Layout
from mlet_bench.data.sources.raw import KEY, LABEL, RawSource, existing
from mlet_bench.data.splits import SPLITS, Given
from mlet_bench.errors import UserError


class BarsSource(RawSource):
    """The rows of the three files, in their order; published md5 sums are compared, a difference is a warning."""

    def __init__(self, config: BarsConfig) -> None:
        self.config = config
        folder = existing(config.raw, config.name)
        if not folder.is_dir():
            raise UserError(
                f"dataset.raw={folder}: {config.name} needs the folder with train.csv, valid.csv and test.csv"
            )
        self.files = tuple(self._file(name) for name in SPLITS)
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
                columns = {LABEL: table.column(config.label)}
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
            text.check_header(path, columns, (*kinds, *config.drop))
            layouts.append(Layout(columns, kinds))
        return tuple(layouts)

    def _file(self, name: str) -> Path:
        assert self.config.raw is not None
        for path in (self.config.raw / f"{name}.csv", self.config.raw / f"{name}.csv.gz"):
            if path.is_file():
                return path
        raise UserError(f"dataset.raw={self.config.raw}: the folder holds no {name}.csv")
