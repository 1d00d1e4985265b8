"""What is averaged and what is set beside what."""

from pathlib import Path

import pytest

from mlet_bench.analysis.arms import Cell, Comparison, compare
from mlet_bench.analysis.collect import collect
from tests.analysis.runs import write_run


def comparisons(root: Path) -> list[Comparison]:
    return compare(collect([root]).runs)[0]


def test_mode_widths_rates_and_l2_stand_in_one_comparison(tmp_path: Path) -> None:
    write_run(tmp_path, "single", 4, None, 1)
    write_run(tmp_path, "single", 4, None, 2)
    write_run(tmp_path, "mlet", 8, 32, 1)
    write_run(tmp_path, "single", 4, None, 1, name="lr", config={"train": {"lr": 0.01}})
    write_run(tmp_path, "single", 4, None, 1, name="l2", config={"emb": {"l2": 0.1}})
    (one,) = comparisons(tmp_path)
    assert one.title == "toy · dlrm"
    assert one.cells == [Cell("single", 4, None), Cell("mlet", 8, 32)]
    assert [(arm.cell.dim, arm.setting.lr, arm.setting.l2, sorted(arm.runs)) for arm in one.arms] == [
        (4, 0.001, 0.0, [1, 2]),
        (4, 0.001, 0.1, [1]),
        (4, 0.01, 0.0, [1]),
        (8, 0.001, 0.0, [1]),
    ]


@pytest.mark.parametrize(
    ("config", "result", "variants"),
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
    tmp_path: Path, config: dict[str, object], result: dict[str, object], variants: list[str]
) -> None:
    write_run(tmp_path, seed=1)
    write_run(tmp_path, seed=2, config=config, result=result)
    found = comparisons(tmp_path)
    assert [one.variant for one in found] == variants
    assert all(len(one.runs) == 1 for one in found)


def test_places_and_checkpoints_make_no_difference(tmp_path: Path) -> None:
    write_run(tmp_path, seed=1)
    write_run(tmp_path, seed=2, config={"dataset": {"raw": "/elsewhere"}, "train": {"checkpoint_minutes": 1.0}})
    (one,) = comparisons(tmp_path)
    assert sorted(one.arms[0].runs) == [1, 2]


def test_other_data_sets_and_models_are_told_by_name_alone(tmp_path: Path) -> None:
    write_run(tmp_path, seed=1)
    write_run(tmp_path, seed=2, result={"model": "dcn"}, config={"model": {"name": "dcn"}})
    write_run(tmp_path, seed=3, result={"dataset": {"name": "other", "fingerprint": "1"}})
    assert [one.title for one in comparisons(tmp_path)] == ["other · dlrm", "toy · dcn", "toy · dlrm"]


def test_a_repeated_run_does_not_count_twice(tmp_path: Path) -> None:
    write_run(tmp_path, name="a")
    write_run(tmp_path, name="b", config={"emb": {"lr": 0.001, "l2_rows": "table"}})  # the same in effect
    found, repeated = compare(collect([tmp_path]).runs)
    assert len(found[0].runs) == 1
    assert [(one.path.name, one.state) for one in repeated] == [("b", "repeated")]
    assert "a" in repeated[0].reason


def test_the_setting_is_chosen_on_validation_not_on_test(tmp_path: Path) -> None:
    for lr, valid, test in ((0.001, 0.70, 0.80), (0.01, 0.72, 0.60)):
        for seed in (1, 2):
            write_run(tmp_path, seed=seed, valid=valid + 0.01 * seed, test=test, name=f"{lr}-{seed}",
                      config={"emb": {"lr": lr}})  # fmt: skip
    (one,) = comparisons(tmp_path)
    chosen = one.chosen(Cell("single", 4, None))
    assert chosen.setting.emb_lr == 0.01
    assert len(one.tried(chosen.cell)) == 2


def test_the_setting_is_chosen_by_the_quantity_that_training_went_by(tmp_path: Path) -> None:
    for lr, valid, logloss in ((0.001, 0.72, 0.6), (0.01, 0.70, 0.5)):
        write_run(tmp_path, valid=valid, name=f"{lr}", config={"emb": {"lr": lr}, "train": {"monitor": "logloss"}},
                  result={"metrics": {"valid": {"logloss": logloss}}})  # fmt: skip
    (one,) = comparisons(tmp_path)
    assert one.chosen(Cell("single", 4, None)).setting.emb_lr == 0.01


def test_a_lucky_single_seed_does_not_win_over_many(tmp_path: Path) -> None:
    """Rates are compared on seed 1, which both have: 0.75 beats 0.74, though the mean over seeds is lower."""
    write_run(tmp_path, seed=1, valid=0.74, name="tried", config={"emb": {"lr": 0.01}})
    for seed, valid in ((1, 0.75), (2, 0.70), (3, 0.71)):
        write_run(tmp_path, seed=seed, valid=valid)
    (one,) = comparisons(tmp_path)
    assert one.chosen(Cell("single", 4, None)).setting.emb_lr == 0.001
