"""Size ratios computed by hand, and the bootstrap against all resamples."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from mlet_bench.analysis.comparisons import StudyComparison
from mlet_bench.analysis.size_ratio import bootstrap, size_ratios, smallest_width
from tests.analysis.runs import comparisons, write_run


def only(root: Path) -> StudyComparison:
    (comparison,) = comparisons(root)
    return comparison


def write_toy(root: Path, seeds: tuple[int, ...] = (1, 2)) -> None:
    """Single 0.70 at d = 16; MLET 0.68, 0.69, 0.71, 0.72 at d = 2, 4, 8, 16; each ± 0.001 by seed."""
    for seed in seeds:
        shift = 0.001 * (1.5 - seed)
        write_run(root, "single", 16, None, seed, valid=0.70 + shift, test=0.75)
        for dim, valid in ((2, 0.68), (4, 0.69), (8, 0.71), (16, 0.72)):
            write_run(root, "mlet", dim, 32, seed, valid=valid + shift, test=0.74 + 0.001 * dim)


def test_ratio_by_hand(tmp_path: Path) -> None:
    write_toy(tmp_path)
    (ratio,) = size_ratios(only(tmp_path), margin=0.0)
    assert ratio.reached is not None
    assert (ratio.ref_dim, ratio.reached.dim, ratio.ratio, ratio.seeds) == (16, 8, 2.0, 2)
    assert ratio.valid_auc == pytest.approx(0.70)
    assert ratio.reached.interpolated == pytest.approx(4 * math.sqrt(2))  # half way between 4 and 8 over log d
    assert ratio.interpolated_ratio == pytest.approx(16 / (4 * math.sqrt(2)))
    assert ratio.ci95 == (2.0, 2.0)  # both seeds have the same gaps
    assert ratio.test is not None
    assert ratio.test.mean == pytest.approx(0.748 - 0.75)
    assert ratio.parameters == pytest.approx(1650 / 850)


@pytest.mark.parametrize(("margin", "dim"), [(0.0, 8), (0.0099, 8), (0.0101, 4), (0.0201, 2)])
def test_margin(tmp_path: Path, margin: float, dim: int) -> None:
    write_toy(tmp_path)
    (ratio,) = size_ratios(only(tmp_path), margin)
    assert ratio.reached is not None
    assert ratio.reached.dim == dim
    assert ratio.reached.is_smallest_tried == (dim == 2)


def test_the_best_k_of_a_width_stands_for_it_by_validation(tmp_path: Path) -> None:
    write_toy(tmp_path)
    for seed in (1, 2):
        write_run(tmp_path, "mlet", 4, 8, seed, valid=0.705, test=0.5)
    (ratio,) = size_ratios(only(tmp_path), 0.0)
    assert ratio.mlet is not None
    assert (ratio.mlet.variant, ratio.ratio) == (("mlet", 4, 8, None), 4.0)
    assert ratio.test is not None
    assert ratio.test.mean == pytest.approx(0.5 - 0.75)  # told, not used


def test_not_reached(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        write_run(tmp_path, "single", 8, None, seed, valid=0.8)
        write_run(tmp_path, "mlet", 4, 8, seed, valid=0.7)
    (ratio,) = size_ratios(only(tmp_path), 0.0)
    assert (ratio.reached, ratio.ratio, ratio.mlet, ratio.test, ratio.widest) == (None, None, None, None, 4)
    assert ratio.ci95 == (0.0, 0.0)


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    write_toy(tmp_path, seeds=(1,))
    (ratio,) = size_ratios(only(tmp_path), 0.0)
    assert (ratio.ratio, ratio.ci95, ratio.interpolated_ci95) == (2.0, None, None)


def test_gaps_are_paired_where_a_seed_is_missing(tmp_path: Path) -> None:
    """Seed 2 is a good one for everybody; MLET of d 4 did not run it. Unpaired, it would look worse than single."""
    for seed, level in ((1, 0.6), (2, 0.8)):
        write_run(tmp_path, "single", 8, None, seed, valid=level)
    write_run(tmp_path, "mlet", 4, 8, 1, valid=0.61)
    (ratio,) = size_ratios(only(tmp_path), 0.0)
    assert (ratio.ratio, ratio.seeds) == (2.0, 1)


def test_without_single_or_without_mlet_there_is_no_ratio(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "mlet", 4, 8, 1)
    write_run(tmp_path / "b", "single", 4, None, 1)
    assert size_ratios(only(tmp_path / "a"), 0.0) == []
    assert size_ratios(only(tmp_path / "b"), 0.0) == []


def test_width_that_meets_the_quality_exactly_is_its_own_interpolation() -> None:
    reached = smallest_width({2: -0.1, 4: 0.0, 8: 0.1}, 0.0)
    assert reached is not None
    assert (reached.dim, reached.interpolated) == (4, pytest.approx(4))
    assert smallest_width({2: -0.1}, 0.0) is None
    assert smallest_width({}, 0.0) is None


def test_bootstrap_against_all_resamples_of_three_seeds() -> None:
    """27 equally likely draws; the quantiles of 2,000 random ones are among those of all."""
    gaps = {
        2: [{1: -0.004, 2: 0.001, 3: 0.002}, {1: -0.001, 2: -0.001, 3: -0.002}],
        4: [{1: 0.001, 2: 0.001, 3: -0.001}],
    }
    exact = []
    for draw in itertools.product((1, 2, 3), repeat=3):
        means = {dim: max(np.mean([gap[seed] for seed in draw]) for gap in arms) for dim, arms in gaps.items()}
        exact.append(next((8 / dim for dim in (2, 4) if means[dim] >= 0), 0.0))
    low, high = np.quantile(exact, [0.025, 0.975], method="inverted_cdf")
    on_grid, interpolated = bootstrap(gaps, 8, 0.0)
    assert on_grid == (low, high)
    assert interpolated is not None
    assert on_grid[0] <= interpolated[0] <= interpolated[1] <= on_grid[1]
    assert bootstrap(gaps, 8, 0.0) == (on_grid, interpolated)
