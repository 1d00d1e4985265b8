"""AUC within groups against a loop over groups with scikit-learn."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mlet_bench.evaluation.buckets import EvalRows, buckets_of, evaluate
from mlet_bench.evaluation.gauc import group_auc
from mlet_bench.evaluation.metrics import Groups, Scored, auc_with_interval


def by_loop(label_R: np.ndarray, logit_R: np.ndarray, id_R: np.ndarray, reserved: int) -> dict[str, float | None]:
    won, rows, groups, left_out = 0.0, 0, 0, 0
    for one in np.unique(id_R[id_R >= reserved]):
        chosen = id_R == one
        if len(np.unique(label_R[chosen])) < 2:
            left_out += 1
            continue
        won += chosen.sum() * roc_auc_score(label_R[chosen], logit_R[chosen])
        rows, groups = rows + int(chosen.sum()), groups + 1
    return {
        "gauc": won / rows if rows else None,
        "gauc_rows": rows,
        "gauc_groups": groups,
        "gauc_one_class_groups": left_out,
        "gauc_unknown_rows": int((id_R < reserved).sum()),
    }


def found_in(label_R: np.ndarray, logit_R: np.ndarray, id_R: np.ndarray, reserved: int) -> dict[str, float | None]:
    scored, order_R = Scored.of(label_R, logit_R)
    return group_auc(scored, id_R[order_R], reserved)


Row = st.tuples(st.integers(0, 1), st.integers(-2, 2), st.integers(0, 4))


@given(st.lists(Row, max_size=40), st.integers(0, 2))
def test_agrees_with_a_loop_over_groups(rows: list[tuple[int, int, int]], reserved: int) -> None:
    label_R, logit_R, id_R = (np.array([row[part] for row in rows], kind) for part, kind in enumerate("ffi"))
    assert found_in(label_R, logit_R, id_R, reserved) == pytest.approx(by_loop(label_R, logit_R, id_R, reserved))


def test_one_group_has_the_auc_of_all_rows() -> None:
    rng = np.random.default_rng(1)
    label_R, logit_R = (rng.random(500) < 0.3).astype(np.float32), rng.normal(size=500).round(1)
    auc, _ = auc_with_interval(Groups.of(Scored.of(label_R, logit_R)[0]))
    assert found_in(label_R, logit_R, np.full(500, 3), 1)["gauc"] == pytest.approx(auc, abs=1e-12)


def test_a_constant_added_to_a_groups_scores_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    label_R, logit_R = (rng.random(2_000) < 0.3).astype(np.float32), rng.normal(size=2_000)
    id_R = rng.integers(1, 60, 2_000)
    moved_R = logit_R + rng.normal(0, 100, 60)[id_R]
    before, after = (found_in(label_R, scores_R, id_R, 1) for scores_R in (logit_R, moved_R))
    assert after == pytest.approx(before, abs=1e-12)


def test_stands_among_the_metrics_only_where_a_field_groups_the_rows() -> None:
    rng = np.random.default_rng(3)
    label_R, logit_R = (rng.random(900) < 0.4).astype(np.float32), rng.normal(size=900).astype(np.float32)
    id_R, buckets_RG = rng.integers(0, 50, 900).astype(np.int32), buckets_of(rng.integers(0, 30, (900, 1)), [1, 10])
    tenth_R = np.zeros(900, np.uint8)
    alone, buckets = evaluate(EvalRows(label_R, buckets_RG, tenth_R, None), logit_R, ["a"], [1, 10])
    grouped, same = evaluate(EvalRows(label_R, buckets_RG, tenth_R, None, id_R), logit_R, ["a"], [1, 10], reserved=2)
    assert grouped == {**alone, **by_loop(label_R, logit_R, id_R, 2)} | {"gauc": grouped["gauc"]}
    assert grouped["gauc"] == pytest.approx(by_loop(label_R, logit_R, id_R, 2)["gauc"], abs=1e-12)
    assert buckets == same
    assert not any(name.startswith("gauc") for name in alone)


@pytest.mark.slow
def test_millions_of_rows_take_seconds() -> None:
    rng = np.random.default_rng(4)
    label_R, logit_R = (rng.random(4_000_000) < 0.3).astype(np.float32), rng.normal(size=4_000_000)
    scored, order_R = Scored.of(label_R, logit_R)
    id_R = rng.integers(0, 1_000_000, 4_000_000)[order_R]
    began = time.perf_counter()
    group_auc(scored, id_R, 1)
    assert time.perf_counter() - began < 10
