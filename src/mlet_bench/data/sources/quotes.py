"""Rows of several lines, as a cell in quotes may hold line ends: they become one line each while they are parsed."""

import csv
from typing import Literal

import numpy as np

from mlet_bench.data.sources.lines import Layout

LINE_END, RETURN = b"\xff", b"\xfe"
"""What stands for a line's end inside quotes: bytes that no UTF-8 text has."""
LONGEST = 1 << 17
"""Bytes of a row of several lines; an opening quote whose row would be longer is a mistake."""


def join_rows(block: bytearray, end: int, layout: Layout, *, more: bool) -> tuple[int, int]:
    """Make each row of several lines in the first `end` bytes one line.

    Returns where a row begins that more bytes may close, else `end`, and how many line ends were replaced. Quotes that
    no row closes are left as they are, and so is what is no UTF-8 text.
    """
    quotes = _places(block, end, b'"')
    if not len(quotes) or any(block.find(sign, 0, end) >= 0 for sign in (LINE_END, RETURN)):
        return end, 0
    ends = _places(block, end, b"\n")
    if end and block[end - 1] != ord("\n"):
        ends = np.append(ends, end)
    quotes_of_line = np.diff(np.searchsorted(quotes, ends), prepend=0)
    odd, passed, joined = np.flatnonzero(quotes_of_line % 2).tolist(), -1, 0
    for place, line in enumerate(odd):
        start = int(ends[line - 1]) + 1 if line else 0
        if line <= passed or _state(block[start : ends[line]], layout) != "open":
            continue
        for stop in odd[place + 1 :]:  # where a row is closed, or another of its cells is opened
            state = _state(block[start : ends[stop]], layout)
            if state == "open":
                continue
            if state == "whole":
                inside = ends[line:stop]
                joined, passed = joined + len(inside), stop
                _replace(block, inside.tolist())
            break
        else:
            if more and end - start < LONGEST:
                return start, joined
    return end, joined


def parted(line: bytes) -> bytes:
    """A joined row as it was."""
    return line.replace(LINE_END, b"\n").replace(RETURN, b"\r")


def _places(block: bytearray, end: int, sign: bytes) -> np.ndarray:
    if block.find(sign, 0, end) < 0:
        return np.empty(0, np.int64)
    return np.flatnonzero(np.frombuffer(memoryview(block)[:end], np.uint8) == ord(sign))


def _state(text: bytearray, layout: Layout) -> Literal["open", "whole", "wrong"]:
    if len(text) > LONGEST:
        return "wrong"
    try:
        cells = next(csv.reader([text.decode("utf-8", "replace")], delimiter=layout.delimiter, strict=True), [])
    except csv.Error as error:
        return "open" if "unexpected end of data" in str(error) else "wrong"
    return "whole" if len(cells) == len(layout.columns) else "wrong"


def _replace(block: bytearray, ends: list[int]) -> None:
    for place in ends:
        block[place : place + 1] = LINE_END
        if block[place - 1] == ord("\r"):
            block[place - 1 : place] = RETURN
