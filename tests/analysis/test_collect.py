"""Which runs count, and the notes about the others."""

import json
from pathlib import Path

import pytest

from mlet_bench.analysis.collect import collect
from mlet_bench.errors import UserError
from tests.analysis.runs import write_run


def left_out(root: Path) -> list[tuple[str, str, str]]:
    return [(out.path.name, out.state, out.reason) for out in collect([root]).left_out]


def test_finds_runs_at_any_depth_in_a_path_with_spaces(tmp_path: Path) -> None:
    root = tmp_path / "a path [with] = signs"
    write_run(root, name="b/run 1")
    write_run(root, name="a", seed=2)
    collected = collect([root])
    first, second = collected.runs
    assert (first.result.seed, second.result.seed) == (2, 1)
    assert first.config["emb.dim"] == 4
    assert first.config["model.top_mlp"] == "[8, 8]"
    assert [line.valid_auc for line in first.curve] == pytest.approx([0.65, 0.7])
    assert collected.left_out == []


def test_overlapping_folders_count_a_run_once(tmp_path: Path) -> None:
    write_run(tmp_path / "x")
    assert len(collect([tmp_path, tmp_path / "x"]).runs) == 1


def test_a_folder_may_be_the_run_itself(tmp_path: Path) -> None:
    assert len(collect([write_run(tmp_path)]).runs) == 1


def test_configs_of_others_are_no_runs(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("defaults: []\n")
    collected = collect([tmp_path])
    assert (collected.runs, collected.left_out) == ([], [])


def test_unfinished_and_failed_runs_are_listed(tmp_path: Path) -> None:
    unfinished = write_run(tmp_path, name="a", done=False)
    (unfinished / "result.json").unlink()
    (unfinished / ".lock").touch()
    failed = write_run(tmp_path, name="b", done=False)
    (failed / "result.json").unlink()
    (failed / "train.log").write_text("2026-11-01 10:00:00,0 INFO go\n2026-11-01 10:00:01,0 ERROR Failed: NaN\n")
    write_run(tmp_path, name="c", done=False)
    assert left_out(tmp_path) == [
        ("a", "unfinished", "no DONE, a process may be at work in it"),
        ("b", "failed", "Failed: NaN"),
        ("c", "failed", "it has a result and no DONE: collapse changed its logits"),
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not JSON"),
        ("[1]", "not a result"),
        ("{}", "version"),
        ('{"version": 2}', "version"),
        (None, "cannot be read"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_damaged_result(tmp_path: Path, content: str | None, reason: str) -> None:
    folder = write_run(tmp_path)
    if content is None:
        (folder / "result.json").unlink()
    else:
        (folder / "result.json").write_text(content)
    ((_, state, said),) = left_out(tmp_path)
    assert state == "damaged"
    assert said.startswith("result.json")
    assert reason in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"metrics": {"test": {"auc": "high"}}}, "metrics.test.auc=high"),
        ({"metrics": {"valid": {"auc": 1.5}}}, "metrics.valid.auc=1.5"),
        ({"emb": {"dim": 0}}, "emb.dim=0"),
        ({"collapse": {"parameters_inference": None}}, "collapse.parameters_inference"),
        ({"metrics": {"test": {"logloss": float("nan")}}}, "metrics.test.logloss"),
    ],
)
def test_impossible_values_are_damage(tmp_path: Path, changes: dict[str, object], named: str) -> None:
    write_run(tmp_path, result=changes)
    ((_, state, said),) = left_out(tmp_path)
    assert state == "damaged"
    assert named in said


@pytest.mark.parametrize(
    "content", ["a: [", "- 1", "", "&a [*a]", "!!python/object/apply:os.getcwd []", "fingerprint: x\nseed: 7"]
)
def test_damaged_config(tmp_path: Path, content: str) -> None:
    folder = write_run(tmp_path)
    (folder / "config.yaml").write_text(content)
    ((_, state, said),) = left_out(tmp_path)
    assert state == "damaged"
    assert said.startswith("config.yaml")


def test_a_small_config_that_unfolds_without_end_is_damage(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40))]
    (folder / "config.yaml").write_text("\n".join(lines))
    assert "no run has such keys" in left_out(tmp_path)[0][2]


def test_a_damaged_curve_leaves_the_run_counted_with_a_note(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    (folder / "metrics.jsonl").write_text('{"epoch": 0.5, "valid_auc": 0.6}\n{"epo')
    (run,) = collect([tmp_path]).runs
    assert run.curve == ()
    assert "metrics.jsonl: damaged" in run.notes[0]


def test_missing_folder_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    with pytest.raises(UserError, match=r"no such folder\. Did you mean outputs\?"):
        collect([tmp_path / "output"])
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        collect([tmp_path / "file"])


def test_results_as_the_contract_shows_them_are_enough(tmp_path: Path) -> None:
    """No key beyond those of version 1 is needed."""
    folder = write_run(tmp_path)
    values = json.loads((folder / "result.json").read_text())
    del values["dataset"]["fingerprint"]
    values["hardware"], values["software"] = {}, {}
    values["train"]["samples_per_s"] = None
    (folder / "result.json").write_text(json.dumps(values))
    assert len(collect([tmp_path]).runs) == 1
