"""MovieLens-1M as GroupLens ships it: ratings.dat, users.dat and movies.dat, cells separated by ::, Latin-1."""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mlet_bench.config import MovieLens1MConfig
from mlet_bench.data import text, times
from mlet_bench.data.bad_rows import Reading
from mlet_bench.data.lines import Layout
from mlet_bench.data.raw import KEY, LABEL, existing
from mlet_bench.data.splits import AllTest, ByTime, SplitRule, Stratified
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
LIKED = 4
"""The lowest rating, of 1 to 5, that counts as positive."""


class MovieLens1MSource:
    """A row for every rating, positive from 4 on, with what is known of its user and its movie."""

    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ("user_id", "movie_id", *USER, *MOVIE)

    def __init__(self, config: MovieLens1MConfig) -> None:
        folder = existing(config.raw, config.name)
        missing = [name for name in NAMES if not (folder / name).is_file()]
        if missing:
            raise UserError(f"dataset.raw={folder}: the folder holds no {missing[0]}; it needs {', '.join(NAMES)}")
        self.files: tuple[Path, ...] = tuple(folder / name for name in NAMES)
        self._skip = config.bad_rows == "skip"
        self.split: SplitRule
        if config.split == "time":
            self.split = ByTime(config.shares, "timestamp")
        else:
            self.split = Stratified(config.shares, config.seed) if config.split == "random" else AllTest()

    def check(self) -> None:
        text.check_head(self.files[0], RATINGS, skip=self._skip)
        assert self._users
        assert self._movies

    def options(self) -> dict[str, Any]:
        return {"positive_from": LIKED}

    def warnings(self, md5: Sequence[str]) -> list[str]:
        return []

    def tables(self, reading: Reading) -> Iterator[pa.Table]:
        for table in text.read_text(self.files[0], RATINGS, reading):
            rating = table.column("rating").to_numpy(zero_copy_only=False)
            columns = {LABEL: pa.array((rating >= LIKED).astype(np.int8)), KEY: table.column("timestamp")}
            for name, known, wanted in (("user_id", self._users, USER), ("movie_id", self._movies, MOVIE)):
                columns[name] = table.column(name)
                for place, attribute in enumerate(wanted):
                    columns[attribute] = times.derived(columns[name], _attribute(known, place, name))
            yield pa.table(columns)

    @cached_property
    def _users(self) -> dict[str, tuple[str, ...]]:
        return {cells[0]: tuple(cells[1:]) for cells in _rows(self.files[1], 5)}

    @cached_property
    def _movies(self) -> dict[str, tuple[str, ...]]:
        """Year, read from the end of the title, and genres as one category."""
        found: dict[str, tuple[str, ...]] = {}
        for movie, title, genres in _rows(self.files[2], 3):
            year = re.search(r"\((\d{4})\)\s*$", title)
            found[movie] = (year[1] if year else "", genres)
        return found


def _attribute(known: dict[str, tuple[str, ...]], place: int, name: str) -> Any:
    def of(key: str) -> str:
        if key not in known:
            raise UserError(
                f"ratings.dat: {name} {key} stands in no row of {'users' if name == 'user_id' else 'movies'}.dat"
            )
        return known[key][place]

    return of


def _rows(path: Path, cells: int) -> Iterator[list[str]]:
    for number, line in enumerate(path.read_text(encoding="latin-1").removesuffix("\n").split("\n"), 1):
        row = line.split("::")
        if len(row) != cells:
            raise UserError(f"{path}: line {number} has {len(row)} cells between ::, {cells} are needed")
        yield row
