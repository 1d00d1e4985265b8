"""Which split a raw row belongs to. Rules see the whole input once (`begin`) before they are asked, block by block.

B rows of a block.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from mlet_bench.errors import UserError

SPLITS = ("train", "valid", "test")
TRAIN, VALID, TEST = range(3)
BLOCK = 100
"""Rows of one class that a stratified split shuffles at a time."""


@dataclass(frozen=True)
class Seen:
    """What the whole input was: its rows, those with label 1, and how many of each there were of every split key
    (rising)."""

    rows: int
    positives: int
    keys: np.ndarray
    key_rows: np.ndarray
    key_positives: np.ndarray


class SplitRule(Protocol):
    def options(self) -> dict[str, object]:
        """What decides the split, for the fingerprint."""

    def begin(self, seen: Seen) -> str:
        """Look at the input as a whole; returns in words how it will be split. UserError if it cannot be."""

    def of(self, first_row: int, label_B: np.ndarray, key_B: np.ndarray | None) -> np.ndarray:
        """The index into SPLITS of the next rows, asked for in their order (int8)."""


class InOrder:
    """The first rows train, the next ones validate, the last ones test."""

    def __init__(self, shares: Sequence[float]) -> None:
        self.shares = tuple(shares)

    def options(self) -> dict[str, object]:
        return {"split": "order", "shares": list(self.shares)}

    def begin(self, seen: Seen) -> str:
        self._bounds = bounds(seen.rows, self.shares)
        return "in order of the rows: " + _percent(self.shares)

    def of(self, first_row: int, label_B: np.ndarray, key_B: np.ndarray | None) -> np.ndarray:
        return np.searchsorted(self._bounds, np.arange(first_row, first_row + len(label_B)), "right").astype(np.int8)


class Sevenths(InOrder):
    """Seven equal parts in order of time, the first six train, the last halved (facebookresearch/dlrm)."""

    PARTS = 7

    def __init__(self) -> None:
        super().__init__((6 / 7, 1 / 14, 1 / 14))

    def options(self) -> dict[str, object]:
        return {"split": "sevenths"}

    def begin(self, seen: Seen) -> str:
        if seen.rows < 2 * self.PARTS:
            raise UserError(f"{seen.rows} rows are too few for {self.PARTS} parts and a split in two; needs 14")
        train, valid, _ = seventh_sizes(seen.rows)
        self._bounds = np.array([train, train + valid])
        return "in order of time: 6 of 7 equal parts train, the last halved into valid and test"


class LastDay:
    """By day (the key): the days before the last train, the last day's rows are halved in their order.

    Input of a single day has no such split and is dealt out at random.
    """

    def __init__(self, shares: Sequence[float], seed: int, what: str = "day") -> None:
        self.random, self.what = Stratified(shares, seed), what

    def options(self) -> dict[str, object]:
        return {**self.random.options(), "split": f"last {self.what}"}

    def begin(self, seen: Seen) -> str:
        self._several = len(seen.keys) > 1
        if not self._several:
            return f"the input has one {self.what} alone, so " + self.random.begin(seen)
        self._last, rows = seen.keys[-1], int(seen.key_rows[-1])
        self._valid, self._passed = rows - rows // 2, 0
        return f"by {self.what}: the last of {len(seen.keys)} halved into valid and test, those before it train"

    def of(self, first_row: int, label_B: np.ndarray, key_B: np.ndarray | None) -> np.ndarray:
        if not self._several:
            return self.random.of(first_row, label_B, key_B)
        assert key_B is not None
        split_B = np.zeros(len(key_B), np.int8)
        last = np.flatnonzero(key_B == self._last)
        split_B[last] = VALID + (np.arange(self._passed, self._passed + len(last)) >= self._valid)
        self._passed += len(last)
        return split_B


class Stratified:
    """At random from a seed: each split has its share of each class, but for less than a row."""

    def __init__(self, shares: Sequence[float], seed: int) -> None:
        self.shares, self.seed = tuple(shares), seed

    def options(self) -> dict[str, object]:
        return {"split": "stratified", "shares": list(self.shares), "split_seed": self.seed}

    def begin(self, seen: Seen) -> str:
        self._passed, self._rows = [0, 0], [seen.rows - seen.positives, seen.positives]
        return f"at random, stratified by label, seed {self.seed}: {_percent(self.shares)}"

    def of(self, first_row: int, label_B: np.ndarray, key_B: np.ndarray | None) -> np.ndarray:
        split_B = np.empty(len(label_B), np.int8)
        for label in (0, 1):
            chosen = np.flatnonzero(label_B == label)
            first, last = self._passed[label], self._passed[label] + len(chosen)
            dealt = [self._block(label, block) for block in range(first // BLOCK, -(-last // BLOCK))]
            if dealt:
                offset = first // BLOCK * BLOCK
                split_B[chosen] = np.concatenate(dealt)[first - offset : last - offset]
            self._passed[label] = last
        return split_B

    def _block(self, label: int, block: int) -> np.ndarray:
        """The splits of a class's next rows: as many of each as bring the sums to the shares of all rows so far."""
        first, last = block * BLOCK, min((block + 1) * BLOCK, self._rows[label])
        sizes = np.diff(bounds(last, self.shares) - bounds(first, self.shares), prepend=0, append=last - first)
        deal = np.repeat(np.arange(len(SPLITS), dtype=np.int8), sizes)
        return np.random.default_rng([self.seed, 3, label, block]).permutation(deal)


class ByTime:
    """By the key, a time: the earliest rows train, the latest test; rows of one time stay together."""

    def __init__(self, shares: Sequence[float], column: str) -> None:
        self.shares, self.column = tuple(shares), column

    def options(self) -> dict[str, object]:
        return {"split": "time", "shares": list(self.shares), "time_column": self.column}

    def begin(self, seen: Seen) -> str:
        if len(seen.keys) < 3:
            raise UserError(
                f"dataset.split=time: column {self.column} has {len(seen.keys)} different times; three are needed"
            )
        passed = np.cumsum(seen.key_rows)
        wanted = bounds(seen.rows, self.shares)
        first = int(np.clip(np.searchsorted(passed, wanted[0]), 0, len(passed) - 3))
        second = int(np.clip(np.searchsorted(passed, wanted[1]), first + 1, len(passed) - 2))
        self._last = seen.keys[[first, second]]
        return f"by {self.column}: train up to {self._last[0]}, valid up to {self._last[1]}, test after it"

    def of(self, first_row: int, label_B: np.ndarray, key_B: np.ndarray | None) -> np.ndarray:
        assert key_B is not None
        return np.searchsorted(self._last, key_B, "left").astype(np.int8)


class Given:
    """As the input says: the key is the split's index."""

    def __init__(self, by: str, splits: Sequence[int] = ()) -> None:
        """splits: of every file, where they are not one each in the order of SPLITS."""
        self.by, self.splits = by, tuple(splits)

    def options(self) -> dict[str, object]:
        return {"split": "given", "by": self.by, **({"splits": list(self.splits)} if self.splits else {})}

    def begin(self, seen: Seen) -> str:
        return f"as given by {self.by}"

    def of(self, first_row: int, label_B: np.ndarray, key_B: np.ndarray | None) -> np.ndarray:
        assert key_B is not None
        return key_B.astype(np.int8)


class CutFromTrain:
    """As the input says but for a split that it lacks, which takes its share of the training rows, stratified."""

    def __init__(self, given: Given, lacking: int, shares: Sequence[float], seed: int) -> None:
        self.given, self.lacking = given, lacking
        part = shares[lacking] / (shares[TRAIN] + shares[lacking])
        self.random = Stratified((1 - part, part, 0.0), seed)

    def options(self) -> dict[str, object]:
        return {**self.random.options(), **self.given.options(), "cut": SPLITS[self.lacking]}

    def begin(self, seen: Seen) -> str:
        train = int(seen.key_rows[seen.keys == TRAIN].sum()), int(seen.key_positives[seen.keys == TRAIN].sum())
        self.random.begin(replace(seen, rows=train[0], positives=train[1]))
        part, name = self.random.shares[1], SPLITS[self.lacking]
        return (f"{self.given.begin(seen)}, which lack {name}: it is {100 * part:.3g} % of the training rows, "
                f"stratified by label, seed {self.random.seed}")  # fmt: skip

    def of(self, first_row: int, label_B: np.ndarray, key_B: np.ndarray | None) -> np.ndarray:
        split_B = self.given.of(first_row, label_B, key_B)
        train = np.flatnonzero(split_B == TRAIN)
        split_B[train[self.random.of(first_row, label_B[train], None) != TRAIN]] = self.lacking
        return split_B


class AllTest:
    """Every row into the test split: rows to be evaluated with the vocabulary of others."""

    def options(self) -> dict[str, object]:
        return {"split": "test"}

    def begin(self, seen: Seen) -> str:
        return "all rows test"

    def of(self, first_row: int, label_B: np.ndarray, key_B: np.ndarray | None) -> np.ndarray:
        return np.full(len(label_B), TEST, np.int8)


def rule_for(split: str, by_time: SplitRule, shares: Sequence[float], seed: int) -> SplitRule:
    """What dataset.split names: random, test, or time."""
    if split == "random":
        return Stratified(shares, seed)
    return AllTest() if split == "test" else by_time


def bounds(rows: int, shares: Sequence[float]) -> np.ndarray:
    """First row of valid and of test when `rows` rows are cut in these shares.

    >>> bounds(10, (0.8, 0.1, 0.1)).tolist()
    [8, 9]
    """
    return np.floor(np.cumsum(shares[:2]) * rows + 1e-6).astype(np.int64)


def seventh_sizes(rows: int) -> tuple[int, int, int]:
    """Rows of train, valid and test: seven parts as equal as can be, the first ones the larger.

    >>> seventh_sizes(8000)
    (6858, 571, 571)
    """
    last = rows // Sevenths.PARTS
    return rows - last, last - last // 2, last // 2


def _percent(shares: Sequence[float]) -> str:
    return ", ".join(f"{100 * share:g} % {name}" for share, name in zip(shares, SPLITS, strict=True))
