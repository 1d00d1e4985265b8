"""Numbers of a comparison from runs whose numbers are known."""

import math
from pathlib import Path

import numpy as np
import pytest

from mlet_bench.analysis import formatting
from mlet_bench.analysis.arms import compare
from mlet_bench.analysis.collect import collect
from mlet_bench.analysis.study import Study, study
from mlet_bench.report import ratio_views, views
from tests.analysis.runs import bucket, write_grid, write_predictions, write_run


def of(root: Path, margin: float = 0.0, dim: int | None = None) -> Study:
    ((one,), _) = compare(collect([root]).runs)
    return study(one, margin, dim)


def test_gain_is_paired_by_seed_and_a_missing_seed_is_left_out_and_named(tmp_path: Path) -> None:
    for seed, single, mlet in ((1, 0.70, 0.71), (2, 0.60, 0.63), (3, 0.65, 0.67)):
        write_run(tmp_path, "single", 4, None, seed, test=single)
        write_run(tmp_path, "mlet", 4, 16, seed, test=mlet)
    write_run(tmp_path, "mlet", 4, 16, 9, test=0.99)
    found = of(tmp_path)
    single, mlet = found.qualities
    assert single.auc_gain is None
    assert single.auc.mean == pytest.approx(0.65)
    assert single.auc.sd == pytest.approx(0.05)
    assert mlet.auc.n == 4
    assert mlet.auc_gain is not None
    assert (mlet.auc_gain.n, mlet.auc_gain.mean) == (3, pytest.approx(0.02))
    assert mlet.auc_gain.t == pytest.approx(0.02 / (0.01 / math.sqrt(3)))
    assert mlet.auc_gain.half == pytest.approx(4.302653 * 0.01 / math.sqrt(3))
    assert mlet.auc_gain.verdict == "undecided"
    assert "mlet k = 16, d = 4: seeds 9 ran on one side only and are not paired" in found.warnings


def test_one_seed_has_no_spread_and_no_verdict(tmp_path: Path) -> None:
    write_run(tmp_path, "single", 4, None, 1, test=0.7)
    write_run(tmp_path, "mlet", 4, 16, 1, test=0.8)
    found = of(tmp_path)
    assert formatting.level(found.qualities[1].auc) == "0.8000"
    assert formatting.gain(found.qualities[1].auc_gain) == "+0.1000"
    row = dict(zip(views.quality(found).columns, views.quality(found).rows[1], strict=True))
    assert (row["verdict"], row["p"]) == ("one seed", "–")
    assert any("one seed" in warning for warning in found.warnings)


def test_delong_of_each_pair(tmp_path: Path) -> None:
    write_grid(tmp_path, dims=(4,), seeds=(1, 2))
    found = of(tmp_path)
    for one in found.qualities[1:]:
        assert [seed for seed, _ in one.by_rows] == [1, 2]
        for seed, pair in one.by_rows:
            single = found.qualities[0].arm.runs[seed].result.metrics.test.auc
            own = one.arm.runs[seed].result.metrics.test.auc
            assert pair.difference == pytest.approx(own - single, abs=1e-12)
            assert pair.p is not None


def test_unusable_predictions_are_named(tmp_path: Path) -> None:
    write_grid(tmp_path, dims=(4,), seeds=(1,))
    (tmp_path / "mlet-d4-k8-s1" / "predictions.parquet").write_bytes(b"PAR1 no")
    label_R = np.arange(400) % 4 == 1
    keep = (tmp_path / "mlet-d4-k32-s1" / "result.json").read_text()
    write_predictions(tmp_path / "mlet-d4-k32-s1", label_R, np.random.default_rng(0).normal(size=400))
    (tmp_path / "mlet-d4-k32-s1" / "result.json").write_text(keep)
    found = of(tmp_path)
    assert all(not one.by_rows for one in found.qualities)
    text = "\n".join(found.warnings)
    assert "mlet-d4-k8-s1: predictions.parquet cannot be read" in text
    assert "mlet-d4-k32-s1: predictions.parquet gives AUC" in text


def test_other_rows_are_not_compared(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for mode, inner, remainder in (("single", None, 0), ("mlet", 8, 1)):
        folder = write_run(tmp_path, mode, 4, inner, 1)
        write_predictions(folder, np.arange(400) % 4 == remainder, rng.normal(size=400))
    found = of(tmp_path)
    assert found.qualities[1].by_rows == ()
    assert any("judged on different rows" in warning for warning in found.warnings)


def test_unequal_tuning_is_a_warning(tmp_path: Path) -> None:
    write_run(tmp_path, "single", 4, None, 1)
    for lr in (0.01, 0.1):
        write_run(tmp_path, "mlet", 4, 16, 1, name=f"{lr}", config={"emb": {"lr": lr}})
    found = of(tmp_path)
    assert "unequal tuning at d = 4: settings tried: single 1, mlet k = 16 2" in found.warnings
    assert [(one.tried, one.chosen) for one in found.qualities] == [(1, True), (2, True), (2, False)]


def test_gain_by_bucket(tmp_path: Path) -> None:
    for seed in (1, 2):
        for mode, inner, never in (("single", None, 0.5), ("mlet", 16, 0.5 + 0.01 * seed)):
            shown = [bucket("rarest", "0", never, 7), bucket("rarest", "1-9", None, 3), bucket("item", "10+", 0.8, 10)]
            write_run(tmp_path, mode, 4, inner, seed, result={"buckets": shown})
    found = of(tmp_path)
    view = views.gains(found, "rarest", 4)
    assert view is not None
    assert view.columns == ("training count", "test rows", "mlet k = 16, d = 4")
    assert view.rows == (("never seen", "7", "+0.0150 ± 0.0635"),)  # 12.7062 * 0.005; one class has no AUC
    item = views.gains_of_all(found, "item")
    assert item is not None
    assert item.columns == ("embedding", "10+ (10 rows)")
    assert item.rows == (("mlet k = 16, d = 4", "0.0000 ± 0.0000"),)
    assert views.gains(found, "rarest", 8) is None
    assert views.gains_of_all(found, "other") is None


def test_cost_ratios(tmp_path: Path) -> None:
    write_run(tmp_path, "single", 4, None, 1)
    write_run(tmp_path, "mlet", 4, 16, 1, result={"train": {"peak_memory_bytes": 3 * 2**20}})
    single, mlet = of(tmp_path).costs
    assert (single.time_ratio.mean, single.embedding_ratio) == (None, None)
    assert (mlet.time_ratio.mean, mlet.peak_ratio.mean, mlet.embedding_ratio) == (4.0, 3.0, 4.0)
    assert mlet.embedding_bytes == (6400, 1600)


def test_headline_ratio_is_at_the_largest_width_or_the_one_asked_for(tmp_path: Path) -> None:
    write_grid(tmp_path)
    assert [one.ref_dim for one in of(tmp_path).ratios] == [2, 4, 8]
    largest, asked = of(tmp_path).headline, of(tmp_path, dim=4).headline
    assert largest is not None
    assert asked is not None
    assert (largest.ref_dim, asked.ref_dim) == (8, 4)


def test_a_better_narrower_single_table_is_a_warning(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_run(tmp_path, "single", 4, None, seed, valid=0.8)
        write_run(tmp_path, "single", 8, None, seed, valid=0.7)
        write_run(tmp_path, "mlet", 4, 16, seed, valid=0.75)
    assert any("flatters MLET" in warning for warning in of(tmp_path).warnings)


def test_mean_and_maximum_over_models(tmp_path: Path) -> None:
    for model, reaching in (("dlrm", 2), ("dcn", 4), ("fm", None)):
        changes = {"result": {"model": model}, "config": {"model": {"name": model}}}
        for dim in (2, 4, 8):
            valid = 0.9 if reaching is not None and dim >= reaching else 0.1
            write_run(tmp_path / model, "mlet", dim, 16, 1, valid=valid, **changes)
        write_run(tmp_path / model, "single", 8, None, 1, valid=0.5, **changes)
    comparisons, _ = compare(collect([tmp_path]).runs)
    studies = [study(one, 0.0, None) for one in comparisons]
    over_all = ratio_views.summaries(studies)["all"]
    assert (over_all.comparisons, over_all.reached, over_all.mean, over_all.maximum) == (3, 2, 3.0, 4.0)
    assert over_all.is_bound
    view = ratio_views.size(studies)
    assert view is not None
    assert [row[0] for row in view.rows][3:] == ["all: mean (of 2; 1 not reached)", "all: maximum"]
    assert [row[3] for row in view.rows] == ["2.0×", "≥ 4.0×", "< 1.0×", "≥ 3.0×", "≥ 4.0×"]
