"""Which cells of a label column are 1 and which are 0: 0 and 1, words and signs that mean them, or a threshold."""

import operator
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mlet_bench.data.sources.spelling import text_of
from mlet_bench.errors import UserError, listing

PAIRS = (("true", "false"), ("yes", "no"), ("t", "f"), ("y", "n"), ("1", "-1"))
"""What may stand for 1 and for 0, in any case."""
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq, ">": operator.gt, "<": operator.lt, "=": operator.eq,
}  # fmt: skip


@dataclass(frozen=True)
class Labels:
    """A rule for the cells of a label column."""

    of: Callable[[str], int | None]
    """1, 0, or None for a cell that is no label."""
    otherwise: str
    """The message about a cell that is no label, in words that follow it."""

    def __contains__(self, cell: object) -> bool:
        return self.of(str(cell)) is not None

    def column(self, cells: pa.Array | pa.ChunkedArray, missing: Iterable[str]) -> np.ndarray:
        """float64, NaN for cells that are no labels."""
        if isinstance(cells, pa.ChunkedArray):
            cells = cells.combine_chunks()
        encoded = text_of(cells, missing).dictionary_encode()
        labels = pa.array([self.of(cell) for cell in encoded.dictionary.to_pylist()], pa.float64())
        return np.asarray(labels.take(encoded.indices).to_numpy(zero_copy_only=False), np.float64)


def labels_of(positive: str | None, sample: Sequence[str | None], column: str) -> Labels | None:
    """The rule of dataset.positive, else the one that the first cells speak for; None for 0 and 1.

    UserError where most of the first cells are no labels.
    """
    if positive is not None:
        return _threshold(positive)
    cells = Counter(_lower(cell) for cell in sample if cell is not None)
    for one, zero in PAIRS:
        if cells.keys() <= {one, zero} and (zero in cells or (one in cells and one != "1")):
            return _pair(one, zero)
    plain = sum(count for cell, count in cells.items() if _number(cell) in (0, 1))
    if plain < cells.total() / 2:
        seen = listing(sorted(cells, key=lambda cell: (_number(cell) or 0, cell))[:8])
        raise UserError(f"dataset.label={column}: holds {seen}, which are neither 0 and 1 nor words for "
                        "them; dataset.positive='>=4' makes labels by a threshold, =WORD by a word")  # fmt: skip
    return None


def _pair(one: str, zero: str) -> Labels:
    values = {one: 1, zero: 0}
    return Labels(lambda cell: values.get(_lower(cell)), f"is neither {one} nor {zero}, as the labels above it")


def _threshold(positive: str) -> Labels:
    sign, word = _parts(positive)
    bound = _number(word)
    if bound is None:
        (plain,) = text_of(pa.array([word]), ()).to_pylist()
        return Labels(lambda cell: int(cell == plain) if cell else None, "is missing")
    compare, limit = OPERATORS[sign or "=="], bound

    def of(cell: str) -> int | None:
        number = _number(cell)
        return None if number is None else int(compare(number, limit))

    return Labels(of, f"is no number, which dataset.positive={positive} needs")


def _parts(positive: str) -> tuple[str, str]:
    """Operator and number, or "" and a word."""
    match = re.fullmatch(r"\s*(>=|<=|==|>|<|=|)\s*(.*?)\s*", positive, re.DOTALL)
    assert match is not None
    return match[1], match[2]


def _lower(cell: str) -> str:
    number = _number(cell)
    return cell.strip().lower() if number is None else f"{number:g}"


def _number(cell: str) -> float | None:
    try:
        number = float(cell) if "_" not in cell else None
    except ValueError:
        return None
    return None if number is None or number != number else number
