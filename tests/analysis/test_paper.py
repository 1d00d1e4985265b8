"""The paper's tables beside runs of its experiments, on run folders whose numbers are known."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlet_bench.analysis.paper.published import published
from mlet_bench.analysis.paper.readings import ExperimentRuns, experiments, mlet
from mlet_bench.analysis.paper.rows import auc_rows, compressed_rows, gains_by_bucket, rare_rows, rate_rows, remaining
from mlet_bench.analysis.paper.verdict import verdict
from mlet_bench.analysis.variants import EmbeddingVariant
from mlet_bench.config.command import Reference
from tests.analysis.runs import bucket, comparisons, write_run

DCN = {"reference": "avazu_dcn", "train": {"optimizer": "adagrad", "lr": 0.02, "epochs": 1}}
DLRM = {"reference": "avazu_dlrm", "train": {"optimizer": "sgd", "lr": 0.2, "epochs": 1}}


def write(root: Path, test: float, dim: int, inner: int | None = None, *, seed: int = 1, like: Any = DCN,
          emb: Any = None, valid: float = 0.7, mode: str = "", **result: Any) -> Path:  # fmt: skip
    std = None if inner is None else {"avazu_dcn": 0.5, "avazu_dlrm": 0.25}[like["reference"]]
    own = {"lr": None, "inner_std": std, **(emb or {})}
    if "ratio" in own:
        result["emb"] = {"ratio": own["ratio"]}
    name = "-".join(str(part) for part in (mode, dim, inner, seed, *own.values()))
    mode = mode or ("single" if inner is None else "mlet")
    return write_run(root, mode, dim, inner, seed, valid=valid, test=test, name=name, config={**like, "emb": own},
                     result=result)  # fmt: skip


def only(root: Path) -> ExperimentRuns:
    (found,) = experiments(comparisons(root))
    return found


def test_every_experiment_has_its_figures_and_can_be_named() -> None:
    paper = published()
    assert set(paper.experiments) == set(Reference.__args__)
    assert {(curve.experiment, curve.inner) for curve in paper.auc} == {
        (name, inner) for name in paper.experiments for inner in (None, 64)
    }
    assert {name for entry in (*paper.curves, *paper.rare, *paper.svd) for name in [entry.experiment]} <= set(
        paper.experiments
    )
    mean = sum(int(entry.reduction.split("×")[0]) for entry in paper.experiments.values()) / 8
    assert mean == pytest.approx(5.8, abs=0.1)  # of its abstract


def test_as_published_takes_one_rate_and_the_papers_start(tmp_path: Path) -> None:
    for seed in (1, 2):
        write(tmp_path, 0.70, 4, seed=seed)
        write(tmp_path, 0.90, 4, seed=seed, emb={"lr": 0.1}, valid=0.6)
        write(tmp_path, 0.72 + seed / 1000, 4, 64, seed=seed)
        write(tmp_path, 0.99, 4, 64, seed=seed, emb={"inner_std": 0.1})
    paper, ours = auc_rows([only(tmp_path)])
    assert (paper.reading, ours.reading) == ("the paper", "toy, as published")
    assert paper.single[4] is not None
    assert paper.single[4].mean == 0.789
    assert ours.gain[4] is not None
    assert ours.gain[4].mean == pytest.approx(0.0215)
    assert ours.gain[4].n == 2


def test_rates_of_their_own_are_chosen_on_validation_among_equally_many(tmp_path: Path) -> None:
    for seed in (1, 2):
        write(tmp_path, 0.70, 16, seed=seed, valid=0.70)
        write(tmp_path, 0.73, 16, seed=seed, valid=0.74, emb={"lr": 0.1})
        write(tmp_path, 0.74, 16, 64, seed=seed, valid=0.73)
        write(tmp_path, 0.60, 16, 64, seed=seed, valid=0.72, emb={"lr": 0.1})
        write(tmp_path, 0.99, 16, 32, seed=seed)  # one rate alone: no fair comparison
    (row,) = remaining([only(tmp_path)])
    assert (row.variant, row.single.tuned.emb_lr, row.mlet.tuned.emb_lr) == (mlet(16, 64), 0.1, 0.02)
    assert row.gain.mean == pytest.approx(0.01)


def test_another_optimiser_or_several_epochs_are_no_run_of_the_experiment(tmp_path: Path) -> None:
    write(tmp_path / "a", 0.7, 4, like={**DCN, "train": {**DCN["train"], "optimizer": "adam"}})
    write(tmp_path / "b", 0.7, 4, like={**DCN, "train": {**DCN["train"], "epochs": 2}})
    write(tmp_path / "c", 0.7, 4, like={**DCN, "reference": None})
    assert experiments(comparisons(tmp_path)) == []


def test_the_largest_reduction_is_over_all_widths_and_k(tmp_path: Path) -> None:
    for dim, test in ((4, 0.70), (8, 0.71), (16, 0.72), (32, 0.75)):
        write(tmp_path, test, dim)
    for dim, inner, test in ((4, 64, 0.715), (4, 32, 0.72), (8, 64, 0.73)):
        write(tmp_path, test, dim, inner)
    _, ours = auc_rows([only(tmp_path)])
    assert ours.reduction == "4× (16 → 4, k = 32)"


def test_relative_gains_on_the_papers_sets(tmp_path: Path) -> None:
    for seed, ratio in ((1, 1.02), (2, 1.04)):
        for inner, value in ((None, 0.5), (64, 0.5 * ratio)):
            tenths = [
                {**bucket("popularity", "0", 0.7), "bucket": name, "min_count": None, "pr_auc": score}
                for name, score in (("lowest tenth", value), ("highest tenth", 0.5))
            ]
            write(tmp_path, 0.7, 16, inner, seed=seed, buckets=tenths)
    printed, last = [row for row in rare_rows([only(tmp_path)]) if (row.dim, row.inner) == (16, 64)]
    assert printed.rare is not None
    assert printed.rare.mean == 0.0045
    assert last.rare is not None
    assert last.frequent is not None
    assert (last.rare.mean, last.frequent.mean) == (pytest.approx(0.03), 0.0)


def test_gains_stand_by_tenth(tmp_path: Path) -> None:
    for rate in (None, 0.1):
        for inner, value in ((None, 0.6), (64, 0.65)):
            tenth = {**bucket("popularity", "0", value), "bucket": "lowest tenth", "min_count": None}
            write(tmp_path, 0.7, 16, inner, emb={"lr": rate}, buckets=[tenth])
    (row,) = remaining([only(tmp_path)])
    assert gains_by_bucket(row)["lowest tenth"].mean == pytest.approx(0.05)


def test_mlet_stands_beside_the_standard_embedding_with_the_rate_times_k_sigma_squared(tmp_path: Path) -> None:
    write(tmp_path, 0.70, 8, like=DLRM)
    write(tmp_path, 0.74, 8, like=DLRM, emb={"lr": 0.8})
    write(tmp_path, 0.75, 8, 64, like=DLRM)  # 64 · 0.25² = 4
    write(tmp_path, 0.76, 8, 16, like=DLRM)  # 1: the same rate, nothing to compare
    (row,) = rate_rows([only(tmp_path)])
    assert (row.multiple, row.faster.tuned.emb_lr) == (4, 0.8)
    assert row.gain is not None
    assert row.rest is not None
    assert (row.gain.mean, row.rest.mean) == (pytest.approx(0.05), pytest.approx(0.01))


def test_hashed_and_quantised_tables_stand_beside_those_as_trained(tmp_path: Path) -> None:
    for inner, test in ((None, 0.70), (64, 0.72)):
        write(tmp_path, test, 4, inner)
        write(tmp_path, test - 0.01, 4, inner, mode="hash", emb={"ratio": 0.5})
    rows = compressed_rows([only(tmp_path)])
    assert [(row.scheme, row.dim, row.gain.mean if row.gain else None) for row in rows] == [
        ("as trained", 4, pytest.approx(0.02)),
        ("hashed", 4, pytest.approx(0.02)),
    ]


def test_the_starts_of_w2_are_shown_where_three_ran(tmp_path: Path) -> None:
    for std in (0.056, 0.25, 0.48):
        write(tmp_path, 0.7, 8, 32, like=DLRM, emb={"inner_std": std})
    write(tmp_path, 0.7, 8, 64, like=DLRM)
    starts = only(tmp_path).starts
    assert {std: set(groups) for std, groups in starts.items()} == {
        std: {EmbeddingVariant("mlet", 8, 32)} for std in (0.056, 0.25, 0.48)
    }


def test_the_verdict_follows_the_second_reading(tmp_path: Path) -> None:
    for seed in range(1, 6):
        for inner, tests in ((None, (0.70, 0.75)), (64, (0.73 + seed / 1e4, 0.74))):
            for rate, test in zip((None, 0.1), tests, strict=True):
                write(tmp_path, test + seed / 1e5, 16, inner, seed=seed, valid=test, emb={"lr": rate})
    one, own, last = verdict([only(tmp_path)])
    assert one.startswith("Adagrad, one learning rate for everything: MLET with k = 64 is higher in 1 of 1 comparisons")
    assert "MLET is higher in 0 of 1 comparisons, lower in 1, undecided in 0, by -0.0100" in own
    assert "gave the standard embedding +0.0500 on average" in own
    assert last == "Tune emb.lr first: here it gives the standard embedding what MLET gives, at no cost."


def test_the_packaged_figures_are_plain_json() -> None:
    json.loads((Path(__file__).parents[2] / "src/mlet_bench/analysis/paper/published.json").read_text())
