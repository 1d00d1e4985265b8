"""MovieLens-1M as GroupLens ships it: ratings.dat, users.dat and movies.dat, cells separated by ::, Latin-1."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mlet_bench.config import MovieLens1MConfig
from mlet_bench.data.sources import text, times
from mlet_bench.data.sources.asked import asked_layout, kept_columns
from mlet_bench.data.sources.bad_rows import BadRow, Reading
from mlet_bench.data.sources.lines import Kind, Known, Layout, shown
from mlet_bench.data.sources.raw import KEY, LABEL, RawSource, existing
from mlet_bench.data.splits import ByTime, rule_for
from mlet_bench.errors import UserError

NAMES = ("ratings.dat", "users.dat", "movies.dat")
RATINGS = Layout(
    columns=("user_id", "movie_id", "rating", "timestamp"),
    kinds={"user_id": "category", "movie_id": "category", "rating": "rating", "timestamp": "timestamp"},
    delimiter="::",
    header=False,
)
USER = ("gender", "age", "occupation", "zip")
MOVIE = ("year", "genres")
ASKED = {2: ("user_id", "movie_id"), 3: ("user_id", "movie_id", "timestamp")}
"""The columns of ratings.dat without ratings, by their number."""
LIKED = 4
"""The lowest rating, of 1 to 5, that counts as positive."""


class MovieLens1MSource(RawSource):
    """A row for every rating, positive from 4 on, with what is known of its user and its movie."""

    numeric = ()
    categorical = ("user_id", "movie_id", *USER, *MOVIE)

    def __init__(self, config: MovieLens1MConfig, keep: Sequence[str] | None = None) -> None:
        self._keep = keep
        folder = existing(config.raw, config.name)
        missing = [name for name in NAMES if not (folder / name).is_file()]
        if missing:
            raise UserError(f"dataset.raw={folder}: the folder holds no {missing[0]}; it needs {', '.join(NAMES)}")
        self.files = tuple(folder / name for name in NAMES)
        self._skip = config.bad_rows == "skip"
        self._bad: list[BadRow] = []
        """Rows of users and movies that cannot be read."""
        self.split = rule_for(config.split, ByTime(config.shares, "timestamp"), config.shares, config.seed)

    def check(self) -> None:
        layout = self._layout
        if self._bad and not self._skip:
            raise UserError(str(self._bad[0]))
        text.check_head(self.files[0], layout, skip=self._skip)

    def options(self) -> dict[str, Any]:
        return {"positive_from": LIKED}

    def tables(self, reading: Reading) -> Iterator[pa.Table]:
        layout = self._layout
        for row in self._bad:
            reading.set_aside(row)
        for table in text.read_text(self.files[0], layout, reading):
            if self._keep is None:
                rating = table.column("rating").to_numpy(zero_copy_only=False)
                columns = {LABEL: pa.array((rating >= LIKED).astype(np.int8)), KEY: table.column("timestamp")}
            else:
                columns = kept_columns(table, self._keep)
            for name, known, wanted in (("user_id", self._users, USER), ("movie_id", self._movies, MOVIE)):
                columns[name] = table.column(name)
                for place, attribute in enumerate(wanted):
                    columns[attribute] = times.derived(columns[name], _attribute(known, place))
            yield pa.table(columns)

    @cached_property
    def _layout(self) -> Layout:
        """Of ratings by known users of known movies; the other two files are read for it."""
        known = {
            "user_id": Known(self._users, "is in no row of users.dat"),
            "movie_id": Known(self._movies, "is in no row of movies.dat"),
        }
        layout = replace(RATINGS, known=known)
        if self._keep is None:
            return layout
        cells = text.first_line(self.files[0]).count(b"::") + 1
        columns = ASKED.get(cells, RATINGS.columns)
        kinds: dict[str, Kind] = dict.fromkeys(("user_id", "movie_id"), "category")
        return asked_layout(self.files[0], replace(layout, columns=columns, kinds=kinds), "rating", self._keep)

    @cached_property
    def _users(self) -> dict[str, list[str]]:
        return {cells[0]: cells[1:] for cells in self._rows(self.files[1], 1 + len(USER))}

    @cached_property
    def _movies(self) -> dict[str, list[str]]:
        """Year, read from the end of the title, and genres as one category."""
        found = {}
        for movie, title, genres in self._rows(self.files[2], 3):
            year = re.search(r"\((\d{4})\)\s*$", title)
            found[movie] = [year[1] if year else "", genres]
        return found

    def _rows(self, path: Path, cells: int) -> Iterator[list[str]]:
        """The cells of the good rows; the others go to `_bad`."""
        for number, line in enumerate(path.read_text(encoding="latin-1").removesuffix("\n").split("\n"), 1):
            row = line.split("::")
            if len(row) == cells:
                yield row
            else:
                reason = f"has {len(row)} cells between ::, {cells} are needed"
                self._bad.append(BadRow(path, number, None, None, reason, shown(line.encode())))


def _attribute(known: dict[str, list[str]], place: int) -> Callable[[str], str]:
    return lambda key: known[key][place]
