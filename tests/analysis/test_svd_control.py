"""Evaluations of cut tables as arms of a report."""

import json
from pathlib import Path
from typing import Any

from mlet_bench.analysis.arms import Cell, compare
from mlet_bench.analysis.claims import claims
from mlet_bench.analysis.collect import collect
from mlet_bench.analysis.study import study
from mlet_bench.analysis.svd_control import add_cuts
from tests.analysis.runs import bucket, scores, write_run


def write_cut(root: Path, of: str, rank: int | None, auc: float, **changes: Any) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    found = {
        "version": 1, "run": {"fingerprint": of, "seed": 1}, "dataset": {"fingerprint": "abc123"},
        "split": "test", "rank": rank, "metrics": scores(auc),
        "buckets": [bucket("rarest", "1-9", auc)], **changes,
    }  # fmt: skip
    (root / "evaluation.json").write_text(json.dumps(found))
    return root


def test_a_cut_table_stands_beside_the_narrow_ones(tmp_path: Path) -> None:
    for seed in (1, 2, 3, 4, 5):
        own = {"fingerprint": f"wide{seed}"}
        write_run(tmp_path, "single", 16, None, seed, test=0.75, config=own)
        write_run(tmp_path, "single", 4, None, seed, test=0.7, config={"fingerprint": f"narrow{seed}"})
        write_run(tmp_path, "mlet", 4, 16, seed, test=0.73, config={"fingerprint": f"mlet{seed}"})
        write_cut(tmp_path / f"e{seed}", f"wide{seed}", 4, 0.72 + 0.0001 * seed)
        write_cut(tmp_path / f"whole{seed}", f"wide{seed}", None, 0.75)
        write_cut(tmp_path / f"valid{seed}", f"wide{seed}", 4, 0.75, split="valid")
    found = collect([tmp_path])
    add_cuts(found, [tmp_path])
    (comparison,), repeated = compare(found.runs)
    assert (found.left_out, repeated) == ([], [])
    cell = Cell("svd", 4, 16)
    assert [one for one in comparison.cells if one.is_control] == [cell]
    made = study(comparison, 0.0, None)
    (quality,) = [one for one in made.qualities if one.arm.cell == cell]
    assert quality.auc_gain is not None
    assert abs(quality.auc_gain.mean - 0.0203) < 1e-9
    size = next(iter(quality.arm.runs.values())).result.collapse
    assert (size.embedding_bytes_inference, size.parameters_inference) == (1600, 450)
    (said,) = [one for one in claims([made]) if "SVD" in one.claim]
    assert (said.holds, "+0.0097" in said.measured) == ("yes", True)
    assert not any("svd" in warning for warning in made.warnings)


def test_other_data_and_factorised_tables_make_no_control(tmp_path: Path) -> None:
    write_run(tmp_path, "single", 16, None, 1, config={"fingerprint": "wide"})
    write_run(tmp_path, "mlet", 16, 64, 1, config={"fingerprint": "mlet"})
    write_cut(tmp_path / "factorised", "mlet", 4, 0.7)
    write_cut(tmp_path / "other", "wide", 4, 0.7, dataset={"fingerprint": "other"})
    found = collect([tmp_path])
    add_cuts(found, [tmp_path])
    assert len(found.runs) == 2
    assert [(one.path.name, one.state) for one in found.left_out] == [
        ("factorised", "no control"), ("other", "no control"),
    ]  # fmt: skip


def test_the_setting_of_a_cut_table_is_the_one_that_is_best_on_validation_whole(tmp_path: Path) -> None:
    for rate, valid, cut in ((0.1, 0.6, 0.72), (0.01, 0.8, 0.71), (0.001, 0.7, 0.73)):
        name = f"wide{rate}"
        own = {"fingerprint": name, "emb": {"lr": rate}}
        write_run(tmp_path, "single", 16, None, 1, valid=valid, test=0.75, name=name, config=own)
        write_cut(tmp_path / f"cut{rate}", name, 4, cut)
    found = collect([tmp_path])
    add_cuts(found, [tmp_path])
    (comparison,), _ = compare(found.runs)
    assert comparison.chosen(Cell("svd", 4, 16)).setting.emb_lr == 0.01


def test_cuts_without_their_run_and_damaged_ones_are_listed(tmp_path: Path) -> None:
    write_run(tmp_path, "single", 16, None, 1)
    write_cut(tmp_path / "alone", "other", 4, 0.7)
    write_cut(tmp_path / "damaged", "other", 4, 0.7, metrics="none")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "evaluation.json").write_text("{")
    found = collect([tmp_path])
    add_cuts(found, [tmp_path])
    assert len(found.runs) == 1
    assert [(one.path.name, one.state) for one in found.left_out] == [
        ("alone", "unfinished"), ("damaged", "damaged"), ("torn", "damaged"),
    ]  # fmt: skip
