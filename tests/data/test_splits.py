"""Random splits give each split its share of each class, however few rows a class has."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlet_bench.data.prepared import Prepared
from mlet_bench.data.splits import Seen, Stratified
from tests.conftest import prepare
from tests.data.sources.test_rows_of_criteo import quick


def split_of(label_R: np.ndarray, shares: Sequence[float], seed: int, rows_at_a_time: int) -> np.ndarray:
    none = np.empty(0, np.int64)
    rule = Stratified(shares, seed)
    rule.begin(Seen(len(label_R), int(label_R.sum()), none, none, none))
    starts = range(0, len(label_R), rows_at_a_time)
    return np.concatenate([rule.of(start, label_R[start : start + rows_at_a_time], None) for start in starts])


@quick
@given(
    negatives=st.integers(1, 400),
    positives=st.integers(0, 300),
    seed=st.integers(0, 2**32),
    shares=st.sampled_from([(0.8, 0.1, 0.1), (0.85, 0.05, 0.1), (1 / 3, 1 / 3, 1 / 3), (0.777, 0.123, 0.1)]),
    rows_at_a_time=st.sampled_from([7, 100, 1000]),
)
def test_every_share_of_every_class_is_within_a_row(
    negatives: int, positives: int, seed: int, shares: tuple[float, ...], rows_at_a_time: int
) -> None:
    label_R = np.random.default_rng(seed).permutation(np.repeat(np.array([0, 1], np.int8), [negatives, positives]))
    split_R = split_of(label_R, shares, seed, rows_at_a_time)
    for label, rows in enumerate((negatives, positives)):
        found = np.bincount(split_R[label_R == label], minlength=3)
        assert np.abs(found - np.array(shares) * rows).max() < 1 + 1e-6
    np.testing.assert_array_equal(split_R, split_of(label_R, shares, seed, len(label_R)))


def prepared_of(workplace: Path, labels: Sequence[int]) -> Prepared:
    raw = workplace / "a.csv"
    raw.write_text("\n".join(["label,c", *(f"{label},{place % 3}" for place, label in enumerate(labels))]))
    return prepare("table", raw)


def test_twenty_rows(workplace: Path) -> None:
    manifest = prepared_of(workplace, [place % 2 for place in range(20)]).manifest
    assert manifest["rows"] == {"train": 16, "valid": 2, "test": 2}
    assert manifest["positives"] == {"train": 8, "valid": 1, "test": 1}
    assert manifest["warnings"] == []


def test_seven_positives_of_a_hundred_are_in_every_split(workplace: Path) -> None:
    manifest = prepared_of(workplace, [int(place % 14 == 0 and place < 98) for place in range(100)]).manifest
    assert manifest["positives"] == {"train": 5, "valid": 1, "test": 1}
    assert manifest["rows"] == {"train": 79, "valid": 10, "test": 11}


@pytest.mark.parametrize("rare", [0, 1])
def test_class_with_fewer_rows_than_splits_is_said(workplace: Path, rare: int) -> None:
    prepared = prepared_of(workplace, [rare if place < 2 else 1 - rare for place in range(100)])
    said = f"valid has none of the 2 rows of class {rare}, so no AUC; take more rows or larger dataset.shares"
    assert [warning.split(", or")[0] for warning in prepared.notes if "class" in warning] == [said]
