"""Differences between runs against brute force and SciPy."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from mlet_bench.evaluation.metrics import Groups, Scored, auc_with_interval
from mlet_bench.evaluation.statistics import Placed, Spread, paired_by_seed, paired_delong


def brute(label_B: np.ndarray, one_B: np.ndarray, other_B: np.ndarray) -> tuple[float, float]:
    """Difference and standard error from all pairs of a positive and a negative, by DeLong's covariance matrices."""
    by_positive, by_negative = [], []
    for logit_B in (one_B, other_B):
        positive, negative = logit_B[label_B == 1], logit_B[label_B == 0]
        wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
        by_positive.append(wins.mean(1))
        by_negative.append(wins.mean(0))
    covariance = np.cov(by_positive) / len(by_positive[0]) + np.cov(by_negative) / len(by_negative[0])
    contrast = np.array([1.0, -1.0])
    difference = float(by_positive[0].mean() - by_positive[1].mean())
    return difference, float(np.sqrt(max(0.0, contrast @ covariance @ contrast)))


def sample(rows: int, seed: int, ties: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label_B = (rng.random(rows) < 0.3).astype(np.int8)
    shared_B = rng.normal(size=rows) + label_B
    one_B, other_B = (shared_B + noise * rng.normal(size=rows) for noise in (0.3, 0.6))
    if ties:
        one_B, other_B = np.round(one_B), np.round(2 * other_B) / 2
    return label_B, one_B.astype(np.float32), other_B.astype(np.float32)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_paired_delong_against_all_pairs(seed: int, ties: bool) -> None:
    label_B, one_B, other_B = sample(400, seed, ties)
    found = paired_delong(Placed.of(label_B, one_B), Placed.of(label_B, other_B))
    difference, error = brute(label_B, one_B, other_B)
    assert found.difference == pytest.approx(difference, abs=1e-14)
    assert found.standard_error == pytest.approx(error, rel=1e-10)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(difference) / error), rel=1e-9)
    assert found.ci95 == pytest.approx(stats.norm.interval(0.95, difference, error), rel=1e-9)
    assert found.difference == pytest.approx(roc_auc_score(label_B, one_B) - roc_auc_score(label_B, other_B), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 3)), min_size=4, max_size=20))
def test_paired_delong_on_a_few_rows_with_many_ties(rows: list[tuple[bool, int, int]]) -> None:
    label_B, one_B, other_B = (np.array(column, float) for column in zip(*rows, strict=True))
    if not 2 <= label_B.sum() <= len(rows) - 2:
        return
    found = paired_delong(Placed.of(label_B, one_B), Placed.of(label_B, other_B))
    difference, error = brute(label_B, one_B, other_B)
    assert found.difference == pytest.approx(difference, abs=1e-12)
    assert found.standard_error == pytest.approx(error, abs=1e-7)


def test_the_variance_of_one_run_is_that_of_its_interval() -> None:
    label_B, one_B, _ = sample(500, 5, ties=True)
    placed = Placed.of(label_B, one_B)
    auc, (low, high) = auc_with_interval(Groups.of(Scored.of(label_B, one_B)[0]))
    parts = [placed.value_B[label_B == kind] for kind in (0, 1)]
    error = np.sqrt(sum(part.var(ddof=1) / len(part) for part in parts))
    assert placed.auc == auc
    assert (high - low) / 2 == pytest.approx(1.959964 * error, rel=1e-6)


def test_the_same_ranking_is_no_difference() -> None:
    label_B, one_B, _ = sample(300, 6, ties=False)
    found = paired_delong(Placed.of(label_B, one_B), Placed.of(label_B, 3 * one_B))
    assert (found.difference, found.standard_error, found.p) == (0, 0, 1)


def test_one_positive_row_leaves_the_error_unknown() -> None:
    label_B = np.array([1, 0, 0])
    found = paired_delong(Placed.of(label_B, np.array([3.0, 1, 2])), Placed.of(label_B, np.array([1.0, 2, 3])))
    assert (found.difference, found.standard_error, found.p, found.ci95) == (1, None, None, None)


def test_other_rows_are_refused() -> None:
    logit_B = np.array([1.0, 2.0])
    with pytest.raises(ValueError, match="different rows"):
        paired_delong(Placed.of(np.array([0, 1]), logit_B), Placed.of(np.array([1, 0]), logit_B))
    with pytest.raises(ValueError, match="both classes"):
        Placed.of(np.array([1, 1]), logit_B)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8))
def test_paired_by_seed_against_scipy(pairs: list[tuple[float, float]]) -> None:
    one, other = dict(enumerate(a for a, _ in pairs)), dict(enumerate(b for _, b in pairs))
    gaps = [a - b for a, b in pairs]
    if np.std(gaps) < 1e-9:
        return
    found = paired_by_seed(one, other)
    assert found is not None
    theirs = stats.ttest_rel([a for a, _ in pairs], [b for _, b in pairs])
    assert found.t == pytest.approx(theirs.statistic, rel=1e-6, abs=1e-9)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-6)
    low, high = theirs.confidence_interval(0.95)
    assert found.ci95 == pytest.approx((low, high), rel=1e-6, abs=1e-9)
    assert (found.verdict == "undecided") == (len(gaps) < 5 or low <= 0 <= high)


def test_seeds_of_one_side_alone_are_left_out() -> None:
    found = paired_by_seed({1: 0.5, 2: 0.6, 7: 0.0}, {1: 0.4, 2: 0.4, 8: 1.0})
    assert found is not None
    assert found.n == 2
    assert found.mean == pytest.approx(0.15)
    assert paired_by_seed({1: 0.5}, {2: 0.5}) is None


def test_one_seed_decides_nothing() -> None:
    found = paired_by_seed({1: 0.9}, {1: 0.1})
    assert found is not None
    assert (found.n, found.p, found.ci95, found.verdict) == (1, None, None, "undecided")


@pytest.mark.parametrize(
    ("gap", "p", "verdict"), [(0.0, 1.0, "undecided"), (0.25, 0.0, "higher"), (-0.25, 0.0, "lower")]
)
def test_equal_differences_have_no_t(gap: float, p: float, verdict: str) -> None:
    base = {seed: 0.25 + 0.125 * (seed % 2) for seed in range(5)}
    found = paired_by_seed({seed: value + gap for seed, value in base.items()}, base)
    assert found is not None
    assert (found.mean, found.t, found.p, found.verdict) == (gap, None, p, verdict)


def test_spread_needs_two_values() -> None:
    assert Spread.of([]) == Spread(0, None, None)
    assert Spread.of([0.5]) == Spread(1, 0.5, None)
    assert Spread.of([1.0, 2.0, 6.0]).sd == pytest.approx(np.std([1, 2, 6], ddof=1))


@pytest.mark.more
@pytest.mark.slow
def test_five_million_rows_take_seconds() -> None:
    label_B, one_B, other_B = sample(5_000_000, 9, ties=False)
    began = time.process_time()
    found = paired_delong(Placed.of(label_B, one_B), Placed.of(label_B, other_B))
    assert time.process_time() - began < 30
    assert found.p is not None
    assert found.p < 1e-9
