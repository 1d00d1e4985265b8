"""Avazu's click-through data as on Kaggle: csv with a header, hours written YYMMDDHH, in time order."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from mlet_bench.config import AvazuConfig
from mlet_bench.data.sources import text, times
from mlet_bench.data.sources.asked import asked_layout, kept_columns
from mlet_bench.data.sources.bad_rows import Reading
from mlet_bench.data.sources.lines import Layout
from mlet_bench.data.sources.raw import KEY, LABEL, RawSource, existing
from mlet_bench.data.splits import LastDay, rule_for
from mlet_bench.errors import UserError

PLAIN = (
    *("C1", "banner_pos", "site_id", "site_domain", "site_category", "app_id", "app_domain", "app_category"),
    *("device_id", "device_ip", "device_model", "device_type", "device_conn_type"),
    *("C14", "C15", "C16", "C17", "C18", "C19", "C20", "C21"),
)
COLUMNS = ("id", "click", "hour", *PLAIN)


class AvazuSource(RawSource):
    """Raw Avazu rows: the id is left out, of the hour an hour of the day and a weekday are made, or a number."""

    def __init__(self, config: AvazuConfig, keep: Sequence[str] | None = None) -> None:
        self._keep = keep
        self._hour_is_numeric = config.hour_as == "numeric"
        self.numeric = ("hour",) if self._hour_is_numeric else ()
        self.categorical = PLAIN if self._hour_is_numeric else ("hour", "weekday", *PLAIN)
        path = existing(config.raw, config.name)
        if path.is_dir():
            found = [path / name for name in ("train.csv", "train.gz", "train.csv.gz") if (path / name).is_file()]
            if not found:
                raise UserError(f"dataset.raw={path}: the folder holds no train.csv, train.gz or train.csv.gz")
            path = found[0]
        self.files = (path,)
        self._skip = config.bad_rows == "skip"
        self.split = rule_for(config.split, LastDay(config.shares, config.seed), config.shares, config.seed)

    def check(self) -> None:
        text.check_head(self.files[0], self._layout(), skip=self._skip)

    def options(self) -> dict[str, Any]:
        return {"hour_as": "numeric"} if self._hour_is_numeric else {}

    def tables(self, reading: Reading) -> Iterator[pa.Table]:
        for table in text.read_text(self.files[0], self._layout(), reading):
            hours = table.column("hour")
            if self._keep is None:
                columns = {LABEL: table.column("click"), KEY: times.keys(hours, lambda cell: int(cell[:6]))}
            else:
                columns = kept_columns(table, self._keep)
            if self._hour_is_numeric:
                columns["hour"] = times.keys(hours, lambda cell: int(times.hour_of_day(cell)))
            else:
                columns["hour"] = times.derived(hours, times.hour_of_day)
                columns["weekday"] = times.derived(hours, times.weekday)
            yield pa.table({**columns, **{name: table.column(name) for name in PLAIN}})

    def _layout(self) -> Layout:
        columns = text.header_of(self.files[0])
        layout = Layout(columns, {"click": "label", "hour": "hour", **dict.fromkeys(PLAIN, "category")})
        if self._keep is not None:
            return asked_layout(self.files[0], layout, "click", self._keep)
        text.check_header(self.files[0], columns, COLUMNS)
        return layout
