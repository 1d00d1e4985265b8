"""Evaluations of truncated and quantised tables as variants of a report."""

import json
from csv import DictReader
from pathlib import Path
from typing import Any

from mlet_bench.analysis.claims import claims
from mlet_bench.analysis.collect import Collected, collect
from mlet_bench.analysis.comparisons import compare
from mlet_bench.analysis.compressed import add_compressed
from mlet_bench.analysis.study import study
from mlet_bench.analysis.variants import EmbeddingVariant
from mlet_bench.report.figures import study_figures
from mlet_bench.report.study_tables import costs
from mlet_bench.report.table import csv_text
from tests.analysis.runs import bucket, scores, studies, write_run

TRUNCATED = EmbeddingVariant("svd", 4, 16)


def collected(root: Path) -> Collected:
    runs = collect([root])
    add_compressed(runs, [root])
    return runs


def write_evaluation(root: Path, of: str, rank: int | None, auc: float, **changes: Any) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    evaluation = {
        "version": 1, "run": {"fingerprint": of, "seed": 1}, "dataset": {"fingerprint": "abc123"},
        "split": "test", "rank": rank, "metrics": scores(auc),
        "buckets": [bucket("rarest", "1-9", auc)], **changes,
    }  # fmt: skip
    (root / "evaluation.json").write_text(json.dumps(evaluation))
    return root


def test_a_truncated_table_stands_beside_the_narrow_ones(tmp_path: Path) -> None:
    for seed in (1, 2, 3, 4, 5):
        own = {"fingerprint": f"wide{seed}"}
        write_run(tmp_path, "single", 16, None, seed, test=0.75, config=own)
        write_run(tmp_path, "single", 4, None, seed, test=0.7, config={"fingerprint": f"narrow{seed}"})
        write_run(tmp_path, "mlet", 4, 16, seed, test=0.73, config={"fingerprint": f"mlet{seed}"})
        write_evaluation(tmp_path / f"e{seed}", f"wide{seed}", 4, 0.72 + 0.0001 * seed)
        write_evaluation(tmp_path / f"whole{seed}", f"wide{seed}", None, 0.75)
        write_evaluation(tmp_path / f"valid{seed}", f"wide{seed}", 4, 0.75, split="valid")
    runs = collected(tmp_path)
    (comparison,), repeated = compare(runs.runs)
    assert (runs.left_out, repeated) == ([], [])
    assert [variant for variant in comparison.variants if variant.is_control] == [TRUNCATED]
    made = study(comparison, 0.0, None)
    (result,) = [result for result in made.results if result.variant == TRUNCATED]
    assert result.auc_gain is not None
    assert abs(result.auc_gain.mean - 0.0203) < 1e-9
    assert (result.sizes.embedding_bytes_inference, result.sizes.parameters_inference) == (1600, 450)
    (claim,) = [claim for claim in claims([made]) if "SVD" in claim.claim]
    assert (claim.holds, "+0.0097" in claim.measured) == ("yes", True)
    assert not any("svd" in warning for warning in made.warnings)


def test_quantised_tables_stand_beside_the_whole_standard_embedding(tmp_path: Path) -> None:
    for seed in (1, 2):
        for mode, inner, auc in (("single", None, 0.7), ("mlet", 16, 0.73)):
            name = f"{mode}{seed}"
            write_run(tmp_path, mode, 4, inner, seed, test=auc, config={"fingerprint": name})
            for bits in (8, 4):
                folder = tmp_path / f"{name}-{bits}"
                write_evaluation(folder, name, None, auc - 0.001 * (8 - bits), bits=bits, embedding_bytes=50 * bits)
    runs = collected(tmp_path)
    (comparison,), _ = compare(runs.runs)
    made = study(comparison, 0.0, None)
    assert [result.variant.label for result in made.results] == [
        "single, d = 4", "mlet k = 16, d = 4", "mlet k = 16, 8 bits, d = 4", "mlet k = 16, 4 bits, d = 4",
        "single, 8 bits, d = 4", "single, 4 bits, d = 4",
    ]  # fmt: skip
    gains = [result.auc_gain and round(result.auc_gain.mean, 6) for result in made.results]
    assert gains == [None, 0.03, 0.03, 0.026, 0.0, -0.004]
    assert [result.sizes.embedding_bytes_inference for result in made.results] == [1600, 1600, 400, 200, 400, 200]
    assert claims([made]) == claims(studies(tmp_path))  # which speak of trained tables alone
    assert not any("unequal" in warning for warning in made.warnings)
    csv = csv_text([costs([made])])
    assert [row["bits"] for row in DictReader(csv.splitlines())] == ["", "", "8", "4", "8", "4"]
    assert list(study_figures(made))


def test_other_data_and_factorised_tables_make_no_control(tmp_path: Path) -> None:
    write_run(tmp_path, "single", 16, None, 1, config={"fingerprint": "wide"})
    write_run(tmp_path, "mlet", 16, 64, 1, config={"fingerprint": "mlet"})
    write_evaluation(tmp_path / "factorised", "mlet", 4, 0.7)
    write_evaluation(tmp_path / "other", "wide", 4, 0.7, dataset={"fingerprint": "other"})
    runs = collected(tmp_path)
    assert len(runs.runs) == 2
    assert [(out.path.name, out.state) for out in runs.left_out] == [
        ("factorised", "no control"), ("other", "no control"),
    ]  # fmt: skip


def test_the_setting_of_a_truncated_table_is_the_one_that_is_best_on_validation_whole(tmp_path: Path) -> None:
    for rate, valid, truncated in ((0.1, 0.6, 0.72), (0.01, 0.8, 0.71), (0.001, 0.7, 0.73)):
        name = f"wide{rate}"
        own = {"fingerprint": name, "emb": {"lr": rate}}
        write_run(tmp_path, "single", 16, None, 1, valid=valid, test=0.75, name=name, config=own)
        write_evaluation(tmp_path / f"truncated{rate}", name, 4, truncated)
    runs = collected(tmp_path)
    (comparison,), _ = compare(runs.runs)
    assert comparison.chosen(TRUNCATED).tuned.emb_lr == 0.01


def test_truncated_tables_without_their_run_and_damaged_ones_are_listed(tmp_path: Path) -> None:
    write_run(tmp_path, "single", 16, None, 1)
    write_evaluation(tmp_path / "alone", "other", 4, 0.7)
    write_evaluation(tmp_path / "damaged", "other", 4, 0.7, metrics="none")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "evaluation.json").write_text("{")
    runs = collected(tmp_path)
    assert len(runs.runs) == 1
    assert [(out.path.name, out.state) for out in runs.left_out] == [
        ("alone", "unfinished"), ("damaged", "damaged"), ("torn", "damaged"),
    ]  # fmt: skip
