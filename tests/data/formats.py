"""A small sound raw file of every format, to be damaged."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlet_bench.data.sources.avazu import COLUMNS
from tests.conftest import criteo_cells, dataset_config
from tests.data import reference


@dataclass
class Format:
    choice: str
    file: str
    """The file whose rows are damaged."""
    columns: list[str]
    rows: Callable[[int], list[list[str]]]
    delimiter: str = ","
    header: bool = True
    others: dict[str, str] = field(default_factory=dict)
    """Further files, by name."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Of the config."""

    def lines(self, rows: int) -> list[bytes]:
        """The raw lines, the header left out."""
        return [self.delimiter.join(row).encode() for row in self.rows(rows)]

    def content(self, lines: list[bytes]) -> bytes:
        first = [self.delimiter.join(self.columns).encode()] if self.header else []
        return b"".join(line + b"\n" for line in [*first, *lines])

    def write(self, folder: Path, content: bytes, name: str | None = None) -> Path:
        """The raw path for the config."""
        raw = reference.write(folder / (name or self.file), content)
        for other, text in self.others.items():
            reference.write(folder / other, text.encode())
        return folder if self.others else raw

    def line_number(self, row: int) -> int:
        return row + 1 + self.header

    def with_cell(self, row: list[str], column: str, cell: str) -> bytes:
        cells = [cell if name == column else old for name, old in zip(self.columns, row, strict=True)]
        return self.delimiter.join(cells).encode().replace("\xff\xfe".encode(), b"\xff\xfe")


def avazu_rows(rows: int) -> list[list[str]]:
    rng = random.Random(1)
    return [[str(10**18 + i), rng.choice("001"), f"1410{21 + 4 * i // rows}{i % 24:02d}",
             *(rng.choice("abcd") for _ in COLUMNS[3:])] for i in range(rows)]  # fmt: skip


def numbers_rows(rows: int) -> list[list[str]]:
    rng = random.Random(2)
    return [[rng.choice("01"), *(rng.choice(["", "0.25", "7"]) for _ in range(13)),
             *(rng.choice(["a", "b", "é", ""]) for _ in range(26))] for _ in range(rows)]  # fmt: skip


def hours_rows(rows: int) -> list[list[str]]:
    return [["x", row[1], row[2], *row[3:]] for row in avazu_rows(rows)]


def table_rows(rows: int) -> list[list[str]]:
    rng = random.Random(3)
    return [[rng.choice("01"), rng.choice(["a", '"b,c"', "NA"]), rng.choice(["0.5", "", "12"]), str(i % 40)]
            for i in range(rows)]  # fmt: skip


def ready_split(choice: str, columns: list[str], rows: Callable[[int], list[list[str]]]) -> Format:
    text = "\n".join(",".join(row) for row in [columns, *rows(20)])
    return Format(choice, "train.csv", columns, rows, others={"valid.csv": text, "test.csv": text})


BARS = dataset_config("criteo_x1").model_dump()
FORMATS = {
    "criteo": Format(
        "criteo", "train.txt", ["label", *(f"I{i}" for i in range(1, 14)), *(f"C{i}" for i in range(1, 27))],
        criteo_cells, delimiter="\t", header=False,
    ),
    "avazu": Format("avazu", "train.csv", list(COLUMNS), avazu_rows),
    "criteo_x1": ready_split("criteo_x1", ["label", *BARS["numeric"], *BARS["categorical"]], numbers_rows),
    "avazu_x4": ready_split("avazu_x4", list(COLUMNS), hours_rows),
    "table": Format(
        "table", "table.csv", ["label", "kind", "size", "day"], table_rows,
        changes={"split": "time", "time_column": "day", "numeric": ["size"], "categorical": ["kind"]},
    ),
    "movielens1m": Format(
        "movielens1m", "ratings.dat", ["user_id", "movie_id", "rating", "timestamp"],
        lambda rows: [[str(i % 7), str(i % 3), str(i % 5 + 1), str(978300000 + i)] for i in range(rows)],
        delimiter="::", header=False,
        others={"users.dat": "".join(f"{i}::F::25::3::0{i}\n" for i in range(7)),
                "movies.dat": "".join(f"{i}::Film (1999)::Drama\n" for i in range(3))},
    ),
}  # fmt: skip
LABEL = {"criteo": "label", "avazu": "click", "criteo_x1": "label", "avazu_x4": "click", "table": "label"}
NOT_A_LABEL, NO_TEXT = "is neither 0 nor 1", "is no UTF-8 text"
NO_HOUR, NO_INTEGER = "is no hour written YYMMDDHH", "is no whole number of 64 bits"
NO_NUMBER, NO_TIME = "is no finite number of 32 bits", "is neither a whole number nor a date and time of ISO 8601"
BAD_CELLS = [
    *((name, column, cell, NOT_A_LABEL) for name, column in LABEL.items() for cell in ("2", "", "yes", "nan", "-1")),
    *(("criteo", "I7", cell, NO_INTEGER)
      for cell in ("many", "nan", "inf", "1.5", str(2**63), "1e3", "--1", "١", "0x10", "0XF")),
    *(("criteo_x1", "I7", cell, NO_NUMBER) for cell in ("many", "nan", "inf", "-inf", "1e999", "1_0", "0x1f", "1e300")),
    *(("table", "size", cell, NO_NUMBER)
      for cell in ("many", "NAN", "Infinity", "-inf", "1e999", "1_0", "0x1f", "-3.5e38")),
    *((name, "hour", cell, NO_HOUR) for name in ("avazu", "avazu_x4")
      for cell in ("", "14102124", "14109900", "2014102100", "1410212", "1410211x", "noon")),
    *(("table", "day", cell, NO_TIME) for cell in ("", "NA", "soon", "1.5", "2020-02-30", "9" * 30)),
    *(("movielens1m", "rating", cell, "is no rating from 1 to 5") for cell in ("four", "4.0", "0", "6", "", "0x4")),
    *(("movielens1m", "timestamp", cell, NO_INTEGER) for cell in ("", "1.5", "0x10")),
    *(("movielens1m", "user_id", cell, "is in no row of users.dat") for cell in ("7", "", "01")),
    ("movielens1m", "movie_id", "77", "is in no row of movies.dat"),
    *((name, column, "\xff\xfe", NO_TEXT) for name, column in
      (("criteo", "C9"), ("avazu", "C1"), ("criteo_x1", "C26"), ("avazu_x4", "C14"), ("table", "kind"),
       ("movielens1m", "movie_id"))),
]  # fmt: skip
"""Format, column, cell, and the message about it."""
