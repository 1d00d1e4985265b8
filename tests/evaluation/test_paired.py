"""Means over seeds and paired differences, against SciPy."""

import numpy as np
import pytest
from scipy import stats

from mlet_bench.evaluation.paired import paired, spread


def test_paired_difference_is_scipys() -> None:
    rng = np.random.default_rng(0)
    ours = {seed: float(value) for seed, value in enumerate(rng.normal(0.8, 0.01, 6))}
    theirs = {seed: float(value) for seed, value in enumerate(rng.normal(0.79, 0.01, 5), start=1)}
    found = paired(ours, theirs)
    both = [1, 2, 3, 4, 5]
    known = stats.ttest_rel([ours[seed] for seed in both], [theirs[seed] for seed in both])
    assert (found["n"], found["t"]) == (5, pytest.approx(known.statistic))
    assert found["mean"] == pytest.approx(np.mean([ours[seed] - theirs[seed] for seed in both]))


def test_too_few_seeds_give_no_spread() -> None:
    assert spread([]) == {"n": 0, "mean": None, "sd": None}
    assert spread([0.5]) == {"n": 1, "mean": 0.5, "sd": None}
    assert paired({1: 0.5}, {2: 0.5}) == {"n": 0, "mean": None, "sd": None, "t": None}
    assert paired({1: 0.75, 2: 0.5}, {1: 0.5, 2: 0.25}) == {"n": 2, "mean": 0.25, "sd": 0.0, "t": None}
