"""Verdicts stand only between sides that were tuned alike, and no later run moves one that it has no part in."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mlet_bench.analysis.findings import findings
from mlet_bench.analysis.study import Study
from mlet_bench.report.study_tables import apart
from tests.analysis.runs import studies, write_run

SEEDS = (1, 2, 3, 4, 5)
NOISE = (0.0, 0.0002, -0.0001, 0.0001, -0.0002)
OWN, HIGH, HIGHER = 0.001, 0.01, 0.1


def write_side(
    root: Path, mode: str, inner: int | None, lr: float, test: float, seeds: Sequence[int] = SEEDS, *, dim: int = 4,
    valid: float = 0.7, **emb: Any,
) -> list[Path]:  # fmt: skip
    """Runs of one embedding with one learning rate for it, whose test AUC is `test` but for a little noise."""
    noise = (lambda seed: 0.0) if mode == "single" else (lambda seed: NOISE[seed - 1])
    own = "".join(f"-{name}{value}" for name, value in emb.items())
    return [
        write_run(root, mode, dim, inner, seed, valid=valid, test=test + noise(seed),
                  name=f"{mode}-d{dim}-k{inner}-{lr}-s{seed}{own}", config={"emb": {"lr": lr, **emb}})
        for seed in seeds
    ]  # fmt: skip


def write_tuning(
    folder: Path, sides: Sequence[tuple[str, int | None, int, Sequence[Path], Sequence[Path]]], **more: Any
) -> Path:
    """tune.json of sides, each: mode, k, the number of the chosen trial, the runs of the trials, those of the seeds."""
    arms = []
    for mode, inner, chosen, trials, seeds in sides:
        label = f"{mode} d=4" + ("" if inner is None else f" k={inner}")
        arms.append(
            {"label": label, "mode": mode, "dim": 4, "inner": inner, "chosen": {"number": chosen},
             "trials": [{"number": number, "folder": str(run)} for number, run in enumerate(trials, 1)],
             "seeds": [{"seed": seed, "folder": str(run)} for seed, run in enumerate(seeds, 1)]}
        )  # fmt: skip
    config = {"trials": len(sides[0][3]), "search": {"own_first": True}}
    folder.mkdir(parents=True)
    (folder / "tune.json").write_text(
        json.dumps({"version": 1, "state": "done", "config": config, "arms": arms, **more})
    )
    return folder


def tuned_single_and_mlet(root: Path) -> Path:
    """Two trials each: single chose HIGH, MLET with k = 64 the config's own rate; both on five seeds."""
    single_own = write_side(root / "runs", "single", None, OWN, 0.70, (1,))
    single = write_side(root / "runs", "single", None, HIGH, 0.73, valid=0.72)
    mlet = write_side(root / "runs", "mlet", 64, OWN, 0.735, valid=0.72)
    mlet_high = write_side(root / "runs", "mlet", 64, HIGH, 0.60, (1,), valid=0.6)
    return write_tuning(
        root / "tune",
        [("single", None, 2, [single_own[0], single[0]], single), ("mlet", 64, 1, [mlet[0], mlet_high[0]], mlet)],
    )


def verdicts(made: Sequence[Study]) -> dict[tuple[str, str], tuple[int, float, str]]:
    """By budget and embedding: pairs, mean gain and verdict."""
    return {
        (study.comparison.task.budget, row.variant.label): (gain.n, round(gain.mean, 9), gain.verdict)
        for study in made
        for row in study.chosen
        if (gain := row.auc_gain) is not None
    }


def test_a_tuned_standard_embedding_decides_nothing_over_untuned_mlet(tmp_path: Path) -> None:
    tuned_single_and_mlet(tmp_path)
    write_side(tmp_path / "runs", "mlet", 16, OWN, 0.71)
    found = verdicts(studies(tmp_path))
    assert found["best of 2 trials each", "mlet k = 64, d = 4"] == (5, 0.005, "higher")
    assert found["same settings", "mlet k = 16, d = 4"] == (
        1,
        0.01,
        "undecided",
    )  # of one seed
    assert ("best of 2 trials each", "mlet k = 16, d = 4") not in found


def test_what_was_tuned_on_one_side_only_has_no_verdict_and_says_why(tmp_path: Path) -> None:
    write_side(tmp_path, "single", None, OWN, 0.7)
    for lr in (HIGH, HIGHER):
        write_side(tmp_path, "mlet", 16, lr, 0.8)
    (study,) = studies(tmp_path)
    assert verdicts([study]) == {}
    assert [row.pairs for row in study.results] == [(), (), ()]
    assert study.ratios == ()
    assert any("tried on one side only" in warning for warning in study.warnings)
    assert findings([tmp_path], 0.0, None, [tmp_path]).claims == []


def test_verdicts_of_everything_are_those_of_the_tune_folder_alone(tmp_path: Path) -> None:
    folder = tuned_single_and_mlet(tmp_path)
    alone = verdicts(findings([folder], 0.0, None, [folder]).studies)
    assert alone == {("best of 2 trials each", "mlet k = 64, d = 4"): (5, 0.005, "higher")}
    for lr in (OWN, HIGH, HIGHER):  # later runs of every kind: other rates, other k, other seeds
        write_side(tmp_path / "later", "mlet", 16, lr, 0.9, valid=0.9)
    write_side(tmp_path / "later", "single", None, HIGHER, 0.9, valid=0.9)
    write_side(tmp_path / "later", "single", None, OWN, 0.9, (2, 3, 4, 5), valid=0.9)
    every = verdicts(findings([tmp_path], 0.0, None, [tmp_path]).studies)
    assert alone.items() <= every.items()


def test_tuning_moves_no_verdict_of_runs_that_were_there_before(tmp_path: Path) -> None:
    write_side(tmp_path / "sweep", "single", None, HIGHER, 0.70)
    write_side(tmp_path / "sweep", "mlet", 64, HIGHER, 0.72)
    before = verdicts(studies(tmp_path))
    assert before == {("", "mlet k = 64, d = 4"): (5, 0.02, "higher")}
    tuned_single_and_mlet(tmp_path)
    after = verdicts(studies(tmp_path))
    assert after.pop(("same settings", "mlet k = 64, d = 4")) == before["", "mlet k = 64, d = 4"]
    assert after == {("best of 2 trials each", "mlet k = 64, d = 4"): (5, 0.005, "higher")}


def test_runs_that_tune_found_there_stay_what_they_were(tmp_path: Path) -> None:
    single = write_side(tmp_path / "sweep", "single", None, OWN, 0.70)
    mlet = write_side(tmp_path / "sweep", "mlet", 64, OWN, 0.72)
    other = write_side(tmp_path / "trial", "single", None, HIGH, 0.1, (1,), valid=0.1)
    sides = [("single", None, 1, [single[0], other[0]], single), ("mlet", 64, 1, [mlet[0]] * 2, mlet)]
    path = write_tuning(tmp_path / "tune", sides) / "tune.json"
    values = json.loads(path.read_text())
    for arm in values["arms"]:
        for run in (*arm["trials"], *arm["seeds"]):
            run["before"] = "sweep" in run["folder"]
    path.write_text(json.dumps(values))
    label = "mlet k = 64, d = 4"
    expected = {("same settings", label): (5, 0.02, "higher"), ("best of 2 trials each", label): (5, 0.02, "higher")}
    assert verdicts(studies(tmp_path)) == expected


def test_settings_that_both_sides_tried_are_chosen_among_on_validation(tmp_path: Path) -> None:
    for lr, single, mlet in ((OWN, 0.74, 0.70), (HIGH, 0.72, 0.73)):
        write_side(tmp_path, "single", None, lr, single, valid=single)
        write_side(tmp_path, "mlet", 16, lr, mlet, valid=mlet)
    write_side(tmp_path, "mlet", 64, OWN, 0.75)
    write_side(tmp_path, "single", None, HIGHER, 0.9, valid=0.9)  # nothing stands beside it
    assert verdicts(studies(tmp_path)) == {
        ("best of the same 2 settings", "mlet k = 16, d = 4"): (5, -0.01, "lower"),
        ("same settings", "mlet k = 64, d = 4"): (5, 0.01, "higher"),
    }


def test_starts_and_penalties_of_factors_alone_are_no_more_trials(tmp_path: Path) -> None:
    write_side(tmp_path, "single", None, OWN, 0.7)
    write_side(tmp_path, "mlet", 16, OWN, 0.71)
    write_side(tmp_path, "mlet", 16, OWN, 0.72, valid=0.8, inner_std=0.25)
    assert verdicts(studies(tmp_path)) == {("same settings", "mlet k = 16, d = 4"): (5, 0.01, "higher")}


def test_widths_without_a_pair_of_their_own_join_what_was_tuned_like_them(tmp_path: Path) -> None:
    """For size ratios: a wide standard embedding beside narrow MLET."""
    write_side(tmp_path, "single", None, OWN, 0.7, dim=16)
    write_side(tmp_path, "mlet", 64, OWN, 0.71, valid=0.71)
    write_side(tmp_path, "single", None, HIGH, 0.7, dim=8)
    ratios = {study.comparison.task.budget: study.headline for study in studies(tmp_path)}
    headline = ratios["same settings"]
    assert headline is not None
    assert headline.ratio == 4.0
    assert ratios["not tuned alike"] is None


def test_names_are_short_and_what_sets_comparisons_apart_stands_beside(tmp_path: Path) -> None:
    for number, layers in enumerate(([8, 8], [512] * 20)):
        for mode, inner in (("single", None), ("mlet", 16)):
            write_run(tmp_path, mode, 4, inner, name=f"{mode}{number}", config={"model": {"top_mlp": layers}})
    both = studies(tmp_path)
    assert [study.title for study in both] == ["toy · dlrm (1)", "toy · dlrm (2)"]
    assert [texts[0] for texts in apart(both).texts()] == ["toy · dlrm (1)", "toy · dlrm (2)"]
    assert str([512] * 20) in "".join(text for texts in apart(both).texts() for text in texts)


@pytest.mark.parametrize(
    ("more", "state", "words"),
    [
        ({"state": "trials"}, "unfinished", "the command that began it resumes it"),
        ({"version": 9}, "damaged", "tune.json"),
        ({"arms": 3}, "damaged", "tune.json"),
    ],
)
def test_a_comparison_that_cannot_be_used_is_listed(
    tmp_path: Path, more: dict[str, Any], state: str, words: str
) -> None:
    run = write_side(tmp_path / "runs", "single", None, OWN, 0.7, (1,))
    write_tuning(tmp_path / "tune", [("single", None, 1, run, run)], **more)
    (out,) = findings([tmp_path], 0.0, None, [tmp_path]).left_out
    assert (out.path.name, out.state) == ("tune", state)
    assert words in out.reason
    assert len(studies(tmp_path)) == 1


def test_claims_are_about_what_was_tuned_where_something_was(tmp_path: Path) -> None:
    tuned_single_and_mlet(tmp_path)
    write_side(tmp_path / "later", "mlet", 16, OWN, 0.9)
    claims = {claim.claim: claim.measured for claim in findings([tmp_path], 0.0, None, [tmp_path]).claims}
    assert claims["At equal d, MLET is better than the standard embedding"].startswith("higher in 1 of 1")
