"""MovieLens-1M's three files against the plain reference."""

import random
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlet_bench.errors import UserError
from tests.conftest import prepare
from tests.data import reference
from tests.data.reference import Row
from tests.data.sources.test_rows_of_criteo import quick

FIELDS = ["user_id", "movie_id", "gender", "age", "occupation", "zip", "year", "genres"]
TITLE = st.text(st.characters(codec="latin-1", exclude_characters="\n\r:"), max_size=6)
"""Latin-1 has characters that str.splitlines takes for line ends."""


def write_folder(folder: Path, ratings: list[str], users: list[str], movies: list[str], end: str = "\n") -> Path:
    for name, lines in (("ratings.dat", ratings), ("users.dat", users), ("movies.dat", movies)):
        reference.write(folder / name, "".join(line + end for line in lines).encode("latin-1"))
    return folder


def rows_of(folder: Path) -> list[Row]:
    """As the files say, read with regular expressions on their bytes."""
    lines = {name: re.findall(rb"[^\n]+", (folder / name).read_bytes().replace(b"\r\n", b"\n"))
             for name in ("ratings.dat", "users.dat", "movies.dat")}  # fmt: skip
    users = dict(line.decode("latin-1").split("::", 1) for line in lines["users.dat"])
    movies = dict(line.decode("latin-1").split("::", 1) for line in lines["movies.dat"])
    rows = []
    for line in lines["ratings.dat"]:
        user, movie, rating, time = line.decode().split("::")
        title, genres = movies[movie].split("::")
        year = re.search(r"\((\d\d\d\d)\) *$", title)
        categories = [user, movie, *users[user].split("::"), year[1] if year else "", genres]
        rows.append(Row(int(int(rating) >= 4), [], categories, int(time)))
    return rows


def by_time(rows: list[Row]) -> list[str]:
    """Whole times, the earliest ones until 8 and 9 tenths of the rows are reached; each split has some."""
    times = sorted({row.key for row in rows})
    passed = [sum(row.key <= time for row in rows) for time in times]
    train_rows, valid_rows = int(0.8 * len(rows) + 1e-6), int(0.9 * len(rows) + 1e-6)
    last_train = min(sum(rows_so_far < train_rows for rows_so_far in passed), len(times) - 3)
    last_valid = min(max(sum(rows_so_far < valid_rows for rows_so_far in passed), last_train + 1), len(times) - 2)
    return [
        "train" if row.key <= times[last_train] else "valid" if row.key <= times[last_valid] else "test" for row in rows
    ]


@quick
@given(
    seed=st.integers(0, 2**32),
    ratings=st.integers(10, 80),
    titles=st.lists(TITLE, min_size=5, max_size=5),
    times=st.integers(3, 40),
    end=st.sampled_from(["\n", "\r\n"]),
    size=st.sampled_from(reference.TINY_SIZES),
    min_count=st.integers(1, 3),
    split=st.sampled_from(["time", "random"]),
)
def test_movielens(
    workplace: Path, seed: int, ratings: int, titles: list[str], times: int, end: str, size: dict[str, int],
    min_count: int, split: str,
) -> None:  # fmt: skip
    place, rng = Path(tempfile.mkdtemp(dir=workplace)), random.Random(seed)
    movies = [f"{n}::{title} ({1990 + n // 2})::Drama|Comedy" for n, title in enumerate(titles)]
    movies.append("99::Nobody knows when::Horror")
    users = [f"{n}::{rng.choice('FM')}::{rng.choice([18, 25])}::{n % 3}::{rng.randrange(10**5):05d}" for n in range(9)]
    keys = [line.split("::")[0] for line in movies]
    lines = [f"{rng.randrange(9)}::{rng.choice(keys)}::{rng.randint(1, 5)}::{960000000 + rng.randrange(times)}"
             for _ in range(ratings)]  # fmt: skip
    folder = write_folder(place / "ml-1m", lines, users, movies, end)
    found = rows_of(folder)
    if split == "time" and len({row.key for row in found}) < 3:
        return
    splits = by_time(found) if split == "time" else reference.stratified(found)
    reference.assert_prepares_as_reference(
        place, "movielens1m", folder, found, splits, [], FIELDS, size, min_count=min_count, split=split
    )


@pytest.mark.parametrize(
    ("ratings", "users", "movies", "said"),
    [
        (["1::1::5::100", "1::1::5"], None, None, r"ratings.dat: line 2 has 3 columns, 4 are needed"),
        (["1::1::five::100"], None, None, r"ratings.dat: line 1, column rating: 'five' is no rating"),
        (["1::1::5::"], None, None, r"ratings.dat: line 1, column timestamp: '' is no whole number"),
        (["1::1::6::100"], None, None, r"ratings.dat: line 1, column rating: '6' is no rating from 1 to 5"),
        (["2::1::5::100"], None, None, r"ratings.dat: line 1, column user_id: '2' is in no row of users.dat"),
        (
            ["1::1::5::100", "1::7::5::100"],
            None,
            None,
            r"ratings.dat: line 2, column movie_id: '7' is in no row of movies.dat",
        ),
        (None, ["1::F::18::3"], None, r"users.dat: line 1 has 4 cells between ::, 5 are needed"),
        (None, None, ["1::A: film (1990)::Drama", ""], r"movies.dat: line 2 has 1 cells between ::, 3 are needed"),
        ([], None, None, r"ratings.dat: the file is empty"),
    ],
)
def test_bad_files(
    workplace: Path, ratings: list[str] | None, users: list[str] | None, movies: list[str] | None, said: str
) -> None:
    write_folder(
        workplace / "ml-1m",
        ["1::1::5::100"] * 20 if ratings is None else ratings,
        ["1::F::18::3::12345"] if users is None else users,
        ["1::A: film (1990)::Drama"] if movies is None else movies,
    )
    with pytest.raises(UserError, match=said):
        prepare("movielens1m", workplace / "ml-1m")
    assert not (workplace / "data" / "prepared").exists()


def test_bad_rows_of_users_and_movies_are_set_aside_with_their_ratings(workplace: Path) -> None:
    ratings = [f"{i % 6}::{i % 4}::{i % 5 + 1}::{i}" for i in range(240)]
    users = [f"{n}::F::18::{n}::12345" for n in range(6)]
    movies = [f"{n}::A film (199{n})::Drama" for n in range(4)]
    broken = write_folder(
        workplace / "broken", ratings, [*users[:2], "2::F::18::2", *users[3:]], [*movies[:3], "3::A film (1993)"]
    )
    found = prepare("movielens1m", broken, bad_rows="skip", max_bad_share=0.5)
    entries = [(row["file"], row["line"], row["column"], row["reason"]) for row in reference.bad_rows(found)]
    assert entries[:2] == [
        ("users.dat", 3, None, "has 4 cells between ::, 5 are needed"),
        ("movies.dat", 4, None, "has 2 cells between ::, 3 are needed"),
    ]
    wanted = [("ratings.dat", i + 1, "user_id" if i % 6 == 2 else "movie_id") for i in range(240)
              if i % 6 == 2 or i % 4 == 3]  # fmt: skip
    assert [entry[:3] for entry in entries[2:]] == wanted
    good = [line for i, line in enumerate(ratings) if i % 6 != 2 and i % 4 != 3]
    sound = prepare("movielens1m", write_folder(workplace / "sound", good, users, movies))
    assert found.manifest["vocabulary"] == sound.manifest["vocabulary"]
    for split in reference.SPLITS:
        assert (found.split(split).ids_BF == sound.split(split).ids_BF).all()
    with pytest.raises(UserError, match=r"102 bad rows of 242 read, more than dataset.max_bad_share=0.1; they"):
        prepare("movielens1m", broken, bad_rows="skip", max_bad_share=0.1)


def test_missing_file(workplace: Path) -> None:
    folder = write_folder(workplace / "ml-1m", ["1::1::5::100"], [], [])
    (folder / "movies.dat").unlink()
    with pytest.raises(UserError, match=r"ml-1m: the folder holds no movies.dat"):
        prepare("movielens1m", folder)
