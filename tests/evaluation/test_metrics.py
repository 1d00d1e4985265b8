"""Metrics against scikit-learn and brute force."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from mlet_bench.evaluation.buckets import TENTHS, EvalRows, buckets_of, evaluate, popularity, tenths_of
from mlet_bench.evaluation.metrics import Groups, Scored, auc_with_interval, metrics, probability


def sample(rows: int, seed: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logit_B = rng.normal(-1, 2, rows).astype(np.float32)
    label_B = (rng.random(rows) < probability(logit_B)).astype(np.float32)
    return label_B, np.round(logit_B, 0 if ties else 6).astype(np.float32)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("rows", [10, 1_000, 50_000])
def test_agrees_with_scikit_learn(rows: int, ties: bool) -> None:
    label_B, logit_B = sample(rows, 4, ties)
    found = metrics(Scored.of(label_B, logit_B)[0])
    assert found["auc"] == pytest.approx(roc_auc_score(label_B, logit_B), abs=1e-12)
    assert found["pr_auc"] == pytest.approx(average_precision_score(label_B, logit_B), abs=1e-12)
    assert found["pr_auc_ci95"][0] <= found["pr_auc"] <= found["pr_auc_ci95"][1]
    assert found["logloss"] == pytest.approx(log_loss(label_B, probability(logit_B)), abs=1e-9)
    rate = label_B.mean(dtype=np.float64)
    assert found["calibration"] == pytest.approx(probability(logit_B).mean() / rate, abs=1e-12)
    entropy = -(rate * math.log(rate) + (1 - rate) * math.log(1 - rate))
    assert found["normalized_entropy"] == pytest.approx(found["logloss"] / entropy, abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_delong_interval_against_its_definition(ties: bool) -> None:
    label_B, logit_B = sample(300, 1, ties)
    positive, negative = logit_B[label_B == 1], logit_B[label_B == 0]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    variance = wins.mean(1).var(ddof=1) / len(positive) + wins.mean(0).var(ddof=1) / len(negative)
    auc, interval = auc_with_interval(Groups.of(Scored.of(label_B, logit_B)[0]))
    assert interval is not None
    low, high = interval
    assert auc == pytest.approx(wins.mean(), abs=1e-12)
    assert (high - low) / 2 == pytest.approx(1.959964 * math.sqrt(variance), rel=1e-6)


def test_one_row_of_a_class_gives_no_interval() -> None:
    assert auc_with_interval(Groups.of(Scored.of(np.array([1.0, 0.0, 0.0]), np.array([0.5, 0.1, 0.9]))[0])) == (
        0.5,
        None,
    )


def test_extreme_logits_have_an_exact_logloss() -> None:
    label_B, logit_B = np.array([1.0, 0.0, 1.0, 0.0]), np.array([-800.0, -800.0, 60.0, 60.0])
    assert metrics(Scored.of(label_B, logit_B)[0])["logloss"] == pytest.approx((800 + 60) / 4)


@pytest.mark.parametrize(
    ("labels", "reason"), [([], "no rows"), ([0, 0], "all labels are 0"), ([1], "all labels are 1")]
)
def test_one_class_has_no_auc(labels: list[int], reason: str) -> None:
    found = metrics(Scored.of(np.array(labels, float), np.zeros(len(labels)))[0])
    assert (found["auc"], found["auc_ci95"], found["auc_reason"]) == (None, None, reason)
    assert (found["pr_auc"], found["pr_auc_ci95"]) == (None, None)


def eval_rows(
    label_R: np.ndarray, counts_RF: np.ndarray, edges: list[int], true_logit_R: np.ndarray | None = None
) -> EvalRows:
    return EvalRows(label_R, buckets_of(counts_RF, edges), tenths_of(popularity(counts_RF)), true_logit_R)


def test_buckets_split_every_field_and_the_rarest() -> None:
    label_B, logit_B = sample(5_000, 2, ties=True)
    rng = np.random.default_rng(3)
    counts_BF = rng.choice([0, 1, 9, 10, 99, 100, 5_000], (5_000, 3))
    whole, buckets = evaluate(eval_rows(label_B, counts_BF, [1, 10, 100]), logit_B, ["a", "b", "c"], [1, 10, 100])
    for field in ("a", "b", "c", "rarest"):
        chosen = [bucket for bucket in buckets if bucket["field"] == field]
        assert sum(bucket["rows"] for bucket in chosen) == whole["rows"] == 5_000
        assert sum(bucket["positives"] for bucket in chosen) == whole["positives"]
        total = sum(bucket["logloss"] * bucket["rows"] for bucket in chosen)
        assert total / 5_000 == pytest.approx(whole["logloss"], abs=1e-12)
        count_B = counts_BF.min(1) if field == "rarest" else counts_BF[:, "abc".index(field)]
        for bucket in chosen:
            high = math.inf if bucket["max_count"] is None else bucket["max_count"]
            rows_B = (count_B >= bucket["min_count"]) & (count_B <= high)
            assert bucket["rows"] == rows_B.sum()
            assert bucket["auc"] == pytest.approx(roc_auc_score(label_B[rows_B], logit_B[rows_B]), abs=1e-12)
    assert [bucket["bucket"] for bucket in buckets if bucket["field"] == "a"] == ["0", "1-9", "10-99", "100+"]


def test_truth_is_scored_on_the_same_rows() -> None:
    label_B, logit_B = sample(2_000, 5, ties=False)
    counts_B1 = np.arange(2_000)[:, None] % 20
    whole, buckets = evaluate(eval_rows(label_B, counts_B1, [1, 10], logit_B), -logit_B, ["a"], [1, 10])
    assert whole["best_auc"] == pytest.approx(1 - whole["auc"], abs=1e-12)
    for bucket in buckets:
        assert bucket["best_auc"] == pytest.approx(1 - bucket["auc"], abs=1e-12)


def test_pr_auc_interval_covers_the_mean_of_many_samples() -> None:
    """Boyd, Eng & Page 2013: the interval of the logit holds the true value in about 95 of 100 samples."""
    label_B, logit_B = sample(400_000, 7, ties=False)
    true = average_precision_score(label_B, logit_B)
    covered = 0
    for start in range(0, 400_000, 1_000):
        piece = slice(start, start + 1_000)
        low, high = metrics(Scored.of(label_B[piece], logit_B[piece])[0])["pr_auc_ci95"]
        covered += low <= true <= high
    assert 0.9 < covered / 400 < 0.995


def test_popularity_tenths_add_up_in_the_order_of_the_product() -> None:
    label_B, logit_B = sample(5_003, 2, ties=False)
    rng = np.random.default_rng(3)
    counts_BF = rng.integers(1, 10_000, (5_003, 3)) * (rng.random((5_003, 3)) > 0.05)
    whole, buckets = evaluate(eval_rows(label_B, counts_BF, [1, 10]), logit_B, ["a", "b", "c"], [1, 10])
    tenths = [bucket for bucket in buckets if bucket["field"] == "popularity"]
    assert [bucket["bucket"] for bucket in tenths] == list(TENTHS)
    assert {bucket["rows"] for bucket in tenths} == {500, 501}
    assert sum(bucket["positives"] for bucket in tenths) == whole["positives"]
    product_B = counts_BF.prod(1)
    places_B = np.argsort(product_B)[-500:]  # the paper's set A
    highest = tenths[-1]
    assert highest["pr_auc"] == pytest.approx(average_precision_score(label_B[places_B], logit_B[places_B]), abs=1e-12)
    lowest_B = tenths_of(popularity(counts_BF)) == 0
    assert product_B[lowest_B].max() == 0  # rows with a category that training never saw, those with most of them first
    unseen_B = (counts_BF == 0).sum(1)
    assert unseen_B[lowest_B].min() >= 1
    assert (unseen_B[~lowest_B] > 1).sum() == 0


def test_a_column_named_as_a_pseudo_field_is_told_apart() -> None:
    label_B, logit_B = sample(100, 2, ties=False)
    counts_BF = np.tile([[0, 5], [20, 5]], (50, 1))
    _, buckets = evaluate(eval_rows(label_B, counts_BF, [1, 10]), logit_B, ["rarest", "b"], [1, 10])
    by_field = [(bucket["field"], bucket["bucket"]) for bucket in buckets if bucket["field"].startswith("rarest")]
    assert by_field == [("rarest (column)", "0"), ("rarest (column)", "10+"), ("rarest", "0"), ("rarest", "1-9")]
