"""Folders of runs with damage at random: counted as before, or left out with a reason, and the page is made."""

import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mlet_bench import cli
from mlet_bench.analysis.collect import Collected, collect
from mlet_bench.analysis.predictions import PredictionCache
from mlet_bench.commands.report import make_report
from mlet_bench.config import ReportCommand
from mlet_bench.report import write
from mlet_bench.runs.run_folder import DONE, RunFolder
from tests.analysis.runs import write_grid
from tests.counts import count, times
from tests.ends import alarmed, end_of
from tests.mutations import changed_json, damaged

NAMES = ("config.yaml", "result.json", "metrics.jsonl", "predictions.parquet", "DONE", "train.log")


@pytest.fixture
def runs(workplace: Path) -> Path:
    write_grid(workplace / "runs", dims=(2,), seeds=(1, 2))
    for folder in (workplace / "runs").iterdir():
        (folder / "train.log").write_text("2026-11-01 10:00:00,0 INFO go\n")
        RunFolder(folder).finish()
    return workplace / "runs"


def damage(folder: Path, rng: random.Random) -> dict[Path, bytes]:
    """Damage one or two files of a run, or DONE alone; returns what they were."""
    names = rng.sample(NAMES, rng.choice([1, 1, 1, 2]))
    if DONE in names:
        names = [DONE]
    kept = {folder / name: (folder / name).read_bytes() for name in names}
    for path, content in kept.items():
        is_json = path.suffix == ".json" and rng.random() < 0.5
        path.write_bytes(changed_json(content, rng) if is_json else damaged(content or b"{}", rng))
    return kept


def contents(collected: Collected) -> dict[Path, tuple[object, ...]]:
    """All that a report takes from each run that counts."""
    predictions = PredictionCache(keep=99)
    return {
        run.path: (run.result, run.config, run.curve or None, getattr(predictions.placed(run), "auc", None))
        for run in collected.runs
    }


def test_what_counts_is_what_was_written(runs: Path) -> None:
    whole = contents(collect([runs]))
    folders = sorted(runs.iterdir())
    for number in range(times(260)):
        rng = random.Random(number)
        folder = rng.choice(folders)
        kept = damage(folder, rng)
        with count("run folders at report"), alarmed():
            collected = collect([folder])
            assert len(collected.runs) + len(collected.left_out) == 1
            assert all(out.reason for out in collected.left_out)
            for values in contents(collected).values():
                for value, undamaged in zip(values, whole[folder], strict=True):
                    assert value == undamaged or value is None, kept.keys()
        for path, content in kept.items():
            path.write_bytes(content)


def test_runs_without_checksums_make_a_page(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        write, "_write_figures", lambda folder, number, figures: list(figures) and []
    )  # to write them takes longest
    folders = sorted(runs.iterdir())
    for number in range(times(12)):
        rng = random.Random(number)
        folder = rng.choice(folders)
        kept = {folder / DONE: (folder / DONE).read_bytes(), **damage(folder, rng)}
        (folder / DONE).write_bytes(b"")
        config = ReportCommand(runs=[runs], margin=0.0, dim=None)  # type: ignore[arg-type]
        with count("run folders at report, without checksums"), alarmed():
            page = make_report(config, Path("page"), Console(file=io.StringIO(), width=rng.choice([40, 80, 200])))
            assert page.read_text(encoding="utf-8").rstrip().endswith("</html>")
        for path, content in kept.items():
            path.write_bytes(content)


def test_the_whole_command_on_damaged_runs(runs: Path) -> None:
    rng = np.random.default_rng(0)
    for number, folder in enumerate(sorted(runs.iterdir())[:-1]):
        damage(folder, random.Random(number + int(rng.integers(9))))
    ended = end_of("report", "runs=runs")
    assert (ended.code, ended.err) == (cli.DONE, "")
    assert ended.out.splitlines()[-1] == "outputs/report/report.html"


def test_a_result_that_is_edited_is_left_out_with_the_reason(runs: Path) -> None:
    folder = sorted(runs.iterdir())[0]
    values = json.loads((folder / "result.json").read_text())
    values["metrics"]["test"]["auc"] += 0.001
    (folder / "result.json").write_text(json.dumps(values))
    (out,) = collect([runs]).left_out
    assert (out.path, out.state) == (folder, "damaged")
    assert out.reason == "result.json: damaged, it is not what the run wrote; rerun=true makes the run again"
