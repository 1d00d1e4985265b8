"""What is averaged and what is set beside what."""

from pathlib import Path
from typing import Any

import pytest

from mlet_bench.analysis.collect import collect
from mlet_bench.analysis.comparisons import compare
from mlet_bench.analysis.variants import EmbeddingVariant
from tests.analysis.runs import comparisons, write_run

SINGLE = EmbeddingVariant("single", 4, None)


def test_mode_widths_rates_and_l2_stand_in_one_comparison(tmp_path: Path) -> None:
    write_run(tmp_path, "single", 4, None, 1)
    write_run(tmp_path, "single", 4, None, 2)
    write_run(tmp_path, "mlet", 8, 32, 1)
    write_run(tmp_path, "single", 4, None, 1, name="lr", config={"train": {"lr": 0.01}})
    write_run(tmp_path, "single", 4, None, 1, name="l2", config={"emb": {"l2": 0.1}})
    (comparison,) = comparisons(tmp_path)
    assert comparison.task.title == "toy · dlrm"
    assert comparison.variants == [SINGLE, EmbeddingVariant("mlet", 8, 32)]
    groups = [(group.variant.dim, group.tuned.lr, group.tuned.l2, sorted(group.runs)) for group in comparison.groups]
    assert groups == [
        (4, 0.001, 0.0, [1, 2]),
        (4, 0.001, 0.1, [1]),
        (4, 0.01, 0.0, [1]),
        (8, 0.001, 0.0, [1]),
    ]


@pytest.mark.parametrize(
    ("config", "result", "distinctions"),
    [
        ({"train": {"epochs": 2}}, {}, ["train.epochs 1", "train.epochs 2"]),
        ({"model": {"top_mlp": [16]}}, {}, ["model.top_mlp [16]", "model.top_mlp [8, 8]"]),
        ({"emb": {"init_std": 0.1}}, {}, ["emb.init_std 0.1", "emb.init_std None"]),
        ({}, {"dataset": {"fingerprint": "def456"}}, ["data abc123", "data def456"]),
        ({}, {"hardware": {"threads": 2}}, ["hardware.threads 1", "hardware.threads 2"]),
        (
            {"dataset": {"min_count": 10}},
            {"dataset": {"fingerprint": "def456"}},
            ["dataset.min_count 1", "dataset.min_count 10"],
        ),
    ],
)
def test_any_other_difference_is_another_comparison_and_is_named(
    tmp_path: Path, config: dict[str, object], result: dict[str, object], distinctions: list[str]
) -> None:
    write_run(tmp_path, seed=1)
    write_run(tmp_path, seed=2, config=config, result=result)
    both = comparisons(tmp_path)
    assert [comparison.task.distinction for comparison in both] == distinctions
    assert all(len(comparison.runs) == 1 for comparison in both)


def test_places_and_checkpoints_make_no_difference(tmp_path: Path) -> None:
    write_run(tmp_path, seed=1)
    write_run(tmp_path, seed=2, config={"dataset": {"raw": "/elsewhere"}, "train": {"checkpoint_minutes": 1.0}})
    (comparison,) = comparisons(tmp_path)
    assert sorted(comparison.groups[0].runs) == [1, 2]


def test_other_data_sets_and_models_are_told_by_name_alone(tmp_path: Path) -> None:
    write_run(tmp_path, seed=1)
    write_run(tmp_path, seed=2, result={"model": "dcn"}, config={"model": {"name": "dcn"}})
    write_run(tmp_path, seed=3, result={"dataset": {"name": "other", "fingerprint": "1"}})
    assert [comparison.task.title for comparison in comparisons(tmp_path)] == [
        "other · dlrm",
        "toy · dcn",
        "toy · dlrm",
    ]


def test_a_repeated_run_does_not_count_twice(tmp_path: Path) -> None:
    write_run(tmp_path, name="a")
    write_run(tmp_path, name="b", config={"emb": {"lr": 0.001, "l2_rows": "table"}})  # the same in effect
    (comparison,), (repeated,) = compare(collect([tmp_path]).runs)
    assert len(comparison.runs) == 1
    assert (repeated.path.name, repeated.state) == ("b", "repeated")
    assert repeated.reason.endswith("/a")


def test_the_setting_is_chosen_on_validation_not_on_test(tmp_path: Path) -> None:
    for lr, valid, test in ((0.001, 0.70, 0.80), (0.01, 0.72, 0.60)):
        for seed in (1, 2):
            write_run(tmp_path, seed=seed, valid=valid + 0.01 * seed, test=test, name=f"{lr}-{seed}",
                      config={"emb": {"lr": lr}})  # fmt: skip
    (comparison,) = comparisons(tmp_path)
    assert comparison.chosen(SINGLE).tuned.emb_lr == 0.01
    assert len(comparison.tried(SINGLE)) == 2


@pytest.mark.parametrize("changes", [{}, {"auc": None, "positives": 0}])
def test_the_setting_is_chosen_by_the_quantity_that_training_went_by(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Also where validation has one class alone, and so no AUC."""
    for lr, valid, logloss in ((0.001, 0.72, 0.6), (0.01, 0.70, 0.5)):
        write_run(tmp_path, valid=valid, name=f"{lr}", config={"emb": {"lr": lr}, "train": {"monitor": "logloss"}},
                  result={"metrics": {"valid": {"logloss": logloss, **changes}}})  # fmt: skip
    (comparison,) = comparisons(tmp_path)
    assert comparison.chosen(SINGLE).tuned.emb_lr == 0.01


def test_a_lucky_single_seed_does_not_win_over_many(tmp_path: Path) -> None:
    """Rates are compared on seed 1, which both have: 0.75 beats 0.74, though the mean over seeds is lower."""
    write_run(tmp_path, seed=1, valid=0.74, name="tried", config={"emb": {"lr": 0.01}})
    for seed, valid in ((1, 0.75), (2, 0.70), (3, 0.71)):
        write_run(tmp_path, seed=seed, valid=valid)
    (comparison,) = comparisons(tmp_path)
    assert comparison.chosen(SINGLE).tuned.emb_lr == 0.001


def test_modes_of_any_name_are_compared_and_only_those_that_say_so_are_controls(tmp_path: Path) -> None:
    for mode, inner in (("single", None), ("mlet", 4), ("mlet_frozen", 4), ("later.mode", None), ("later.mode", 4)):
        write_run(tmp_path, mode, 4, inner)
    (comparison,) = comparisons(tmp_path)
    roles = {variant.label: (variant.is_baseline, variant.is_method, variant.is_control)
             for variant in comparison.variants}  # fmt: skip
    assert roles == {
        "single, d = 4": (True, False, False),
        "later.mode, d = 4": (False, False, False),
        "later.mode k = 4, d = 4": (False, False, False),
        "mlet k = 4, d = 4": (False, True, False),
        "mlet_frozen k = 4, d = 4": (False, False, True),
    }


def test_keys_that_a_mode_alone_has_make_variants_of_their_own(tmp_path: Path) -> None:
    write_run(tmp_path, "single", 4, None)
    for ratio, knots in ((0.5, 3), (0.5, 4), (0.1, 3)):
        own = {"ratio": ratio, "knots": knots}
        name = f"{ratio}-{knots}"
        write_run(tmp_path, "later", 4, None, name=name, result={"emb": own}, config={"emb": own})
    (comparison,), repeated = compare(collect([tmp_path]).runs)
    assert repeated == []
    assert [variant.label for variant in comparison.variants] == [
        "single, d = 4", "later 0.1, knots=3, d = 4", "later 0.5, knots=3, d = 4", "later 0.5, knots=4, d = 4",
    ]  # fmt: skip
