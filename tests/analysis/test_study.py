"""Numbers of a comparison from runs whose numbers are known."""

import math
from pathlib import Path

import numpy as np
import pytest

from mlet_bench.analysis.formatting import diff_ci, mean_sd
from tests.analysis.runs import only_study, write_grid, write_predictions, write_run


def test_gain_is_paired_by_seed_and_a_missing_seed_is_left_out_and_named(tmp_path: Path) -> None:
    for seed, single, mlet in ((1, 0.70, 0.71), (2, 0.60, 0.63), (3, 0.65, 0.67)):
        write_run(tmp_path, "single", 4, None, seed, test=single)
        write_run(tmp_path, "mlet", 4, 16, seed, test=mlet)
    write_run(tmp_path, "mlet", 4, 16, 9, test=0.99)
    study = only_study(tmp_path)
    single, mlet = study.results
    assert single.auc_gain is None
    assert single.auc.mean == pytest.approx(0.65)
    assert single.auc.sd == pytest.approx(0.05)
    assert mlet.auc.n == 4
    assert mlet.auc_gain is not None
    assert (mlet.auc_gain.n, mlet.auc_gain.mean) == (3, pytest.approx(0.02))
    assert mlet.auc_gain.t == pytest.approx(0.02 / (0.01 / math.sqrt(3)))
    assert mlet.auc_gain.half == pytest.approx(4.302653 * 0.01 / math.sqrt(3))
    assert mlet.auc_gain.verdict == "undecided"
    assert "mlet k = 16, d = 4: seeds 9 ran on one side only and are not paired" in study.warnings


def test_one_seed_has_no_spread_and_no_verdict(tmp_path: Path) -> None:
    write_run(tmp_path, "single", 4, None, 1, test=0.7)
    write_run(tmp_path, "mlet", 4, 16, 1, test=0.8)
    study = only_study(tmp_path)
    gain = study.results[1].auc_gain
    assert gain is not None
    assert (mean_sd(study.results[1].auc), diff_ci(gain), gain.p) == ("0.8000", "+0.1000", None)
    assert any("one seed" in warning for warning in study.warnings)


def test_delong_of_each_pair(tmp_path: Path) -> None:
    write_grid(tmp_path, dims=(4,), seeds=(1, 2))
    study = only_study(tmp_path)
    single, *others = study.results
    for result in others:
        assert [pair.seed for pair in result.pairs] == [1, 2]
        for pair in result.pairs:
            aucs = [group.runs[pair.seed].result.metrics.test.auc or 0.0 for group in (result.group, single.group)]
            assert pair.difference.difference == pytest.approx(aucs[0] - aucs[1], abs=1e-12)
            assert pair.difference.p is not None


def test_unusable_predictions_are_named(tmp_path: Path) -> None:
    write_grid(tmp_path, dims=(4,), seeds=(1,))
    (tmp_path / "mlet-d4-k8-s1" / "predictions.parquet").write_bytes(b"PAR1 no")
    label_R = np.arange(400) % 4 == 1
    keep = (tmp_path / "mlet-d4-k32-s1" / "result.json").read_text()
    write_predictions(tmp_path / "mlet-d4-k32-s1", label_R, np.random.default_rng(0).normal(size=400))
    (tmp_path / "mlet-d4-k32-s1" / "result.json").write_text(keep)
    study = only_study(tmp_path)
    assert not any(result.pairs for result in study.results)
    text = "\n".join(study.warnings)
    assert "mlet-d4-k8-s1: predictions.parquet cannot be read" in text
    assert "mlet-d4-k32-s1: predictions.parquet gives AUC" in text


def test_other_rows_are_not_compared(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for mode, inner, remainder in (("single", None, 0), ("mlet", 8, 1)):
        folder = write_run(tmp_path, mode, 4, inner, 1)
        write_predictions(folder, np.arange(400) % 4 == remainder, rng.normal(size=400))
    study = only_study(tmp_path)
    assert study.results[1].pairs == ()
    assert any("evaluated on different rows" in warning for warning in study.warnings)


def test_cost_ratios(tmp_path: Path) -> None:
    write_run(tmp_path, "single", 4, None, 1)
    write_run(tmp_path, "mlet", 4, 16, 1, result={"train": {"peak_memory_bytes": 3 * 2**20}})
    single, mlet = only_study(tmp_path).results
    assert (single.time_ratio, single.peak_ratio, single.embedding_ratio) == (None, None, None)
    assert mlet.time_ratio is not None
    assert mlet.peak_ratio is not None
    assert (mlet.time_ratio.mean, mlet.peak_ratio.mean, mlet.embedding_ratio) == (4.0, 3.0, 4.0)


def test_headline_ratio_is_at_the_largest_width_or_the_one_asked_for(tmp_path: Path) -> None:
    write_grid(tmp_path)
    assert [ratio.ref_dim for ratio in only_study(tmp_path).ratios] == [2, 4, 8]
    largest, asked = only_study(tmp_path).headline, only_study(tmp_path, dim=4).headline
    assert largest is not None
    assert asked is not None
    assert (largest.ref_dim, asked.ref_dim) == (8, 4)


def test_a_better_narrower_standard_embedding_is_a_warning(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_run(tmp_path, "single", 4, None, seed, valid=0.8)
        write_run(tmp_path, "single", 8, None, seed, valid=0.7)
        write_run(tmp_path, "mlet", 4, 16, seed, valid=0.75)
    assert any("favours MLET" in warning for warning in only_study(tmp_path).warnings)


@pytest.mark.parametrize(("mode", "dims", "reason"), [
    ("robe", (4, 8), "it is MLET's, and none ran here"), ("mlet", (4,), "it needs two widths d or more"),
])  # fmt: skip
def test_a_missing_size_ratio_has_its_reason(tmp_path: Path, mode: str, dims: tuple[int, ...], reason: str) -> None:
    for dim in dims:
        write_run(tmp_path, "single", dim, None, 1)
        write_run(tmp_path, mode, dim, 16 if mode == "mlet" else None, 1)
    assert f"no size ratio: {reason}" in only_study(tmp_path).warnings
