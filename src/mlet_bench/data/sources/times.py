"""Hours and times of raw rows, and the fields and split keys made of them."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

NUMBER = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,3})?")


def hour(cell: str) -> datetime | None:
    """A time written YYMMDDHH.

    >>> hour("14102123").isoformat(), hour("14109900")
    ('2014-10-21T23:00:00', None)
    """
    if len(cell) != 8 or not (cell.isascii() and cell.isdigit()):
        return None
    try:
        return datetime.strptime(cell, "%y%m%d%H")
    except ValueError:
        return None


def time(cell: str) -> int | None:
    """A whole number of 64 bits as it is, however it is written; a date and time of ISO 8601 as microseconds since
    1970 (UTC where no zone stands).

    >>> time("1412121600"), time("1412121600.0"), time("1.4121216e+09"), time("2014-10-01T00:00:00"), time("soon")
    (1412121600, 1412121600, 1412121600, 1412121600000000, None)
    """
    if NUMBER.fullmatch(cell):
        number = Decimal(cell)
        return int(number) if -(2**63) <= number < 2**63 and number == int(number) else None
    try:
        found = datetime.fromisoformat(cell)
    except ValueError:
        return None
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1e6)


def hour_of_day(cell: str) -> str:
    return cell[6:]


def weekday(cell: str) -> str:
    """0 for Sunday … 6 for Saturday, as strftime's %w."""
    return hour(cell).strftime("%w")  # type: ignore[union-attr]


def weekend(cell: str) -> str:
    return "1" if weekday(cell) in "06" else "0"


def derived(column: pa.Array | pa.ChunkedArray, of: Callable[[str], Any]) -> pa.DictionaryArray:
    """`of` every cell of a dictionary of text, computed once for each different one."""
    column = _one(column)
    values = [of(cell) for cell in column.dictionary.to_pylist()]
    places = {value: place for place, value in enumerate(dict.fromkeys(values))}  # in order of first appearance
    place_of_cell = np.array([places[value] for value in values], np.int32)
    return pa.DictionaryArray.from_arrays(
        pa.array(place_of_cell[column.indices.to_numpy()]), pa.array(list(places), pa.string())
    )


def keys(column: pa.Array | pa.ChunkedArray, of: Callable[[str], int]) -> pa.Array:
    """As `derived`, for whole numbers (int64)."""
    column = _one(column)
    values = np.array([of(cell) for cell in column.dictionary.to_pylist()], np.int64)
    return pa.array(values[column.indices.to_numpy()])


def _one(column: pa.Array | pa.ChunkedArray) -> pa.DictionaryArray:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
