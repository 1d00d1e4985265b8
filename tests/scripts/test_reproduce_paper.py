"""The comparisons of scripts/reproduce_paper.py are sound commands; running them is tried by real processes."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mlet_bench import models
from mlet_bench.commands.tune import arms_of, run_config, search_of
from mlet_bench.config import TuneCommand, convert_command
from mlet_bench.config.compose import Composer

SCRIPT = Path(__file__).parents[2] / "scripts" / "reproduce_paper.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reproduce_paper", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def raw_folder(root: Path) -> Path:
    """A folder in which every data set seems to lie."""
    for place in ("ml-1m", "frappe_x1", "criteo/train.txt", "avazu/train.csv"):
        (root / place).mkdir(parents=True)
    return root


@pytest.mark.parametrize("profile", ["small", "medium", "full"])
def test_every_arm_of_every_comparison_can_run(script: ModuleType, profile: str, tmp_path: Path) -> None:
    comparisons = script.PROFILES[profile](raw_folder(tmp_path / 'raw = [1] "x"'))
    assert len({one.name for one in comparisons}) == len(comparisons) == {"small": 6, "medium": 12, "full": 6}[profile]
    composer = Composer("tune")
    for one in comparisons:
        config = convert_command(TuneCommand, composer.one(list(one.words)).values)
        assert len(config.seeds) == 5
        arms = arms_of(config)
        assert {arm.mode for arm in arms} >= {"single", "mlet"}
        for arm in arms:
            made = run_config(config, arm, search_of(config).highest, 1)
            models.settings_of(made.model)
            assert made.dataset.raw is None or made.dataset.raw.exists()


def test_a_missing_set_is_named_and_left_out(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "frappe_x1").mkdir()
    names = [one.name for one in script.medium(tmp_path)]
    assert len(names) == 6
    assert all("frappe_x1" in name for name in names)
    assert "left out: movielens1m" in capsys.readouterr().out
    assert script.full(tmp_path) == []


def test_a_profile_without_data_is_a_mistake(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                             monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["reproduce_paper.py", "--profile", "full", "--raw", "nowhere"])
    assert script.main() == 2
    assert "none of its data sets is below --raw nowhere" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


LITTLE = (
    "dataset.rows=4000",
    "trials=1",
    "seeds=[1]",
    "train.epochs=1",
    "arms.frozen_per_dim=[]",
    "arms.inner_per_dim=[4]",
)


def begin(folder: Path) -> "subprocess.Popen[str]":
    """The script on one comparison of a few small runs."""
    code = f"""
import runpy, sys
sys.argv = ["reproduce_paper.py", "--jobs", "1", "--", *{LITTLE!r}]
found = runpy.run_path({str(SCRIPT)!r}, run_name="script")
main, small = found["main"], found["small"]
main.__globals__["PROFILES"]["small"] = lambda raw: small(raw)[:1]
sys.exit(main())
"""
    return subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env={**os.environ, "MLET_BENCH_DATA": str(folder / "data")})  # fmt: skip


@pytest.mark.faults
def test_a_stopped_one_goes_on_and_a_finished_one_only_draws(tmp_path: Path) -> None:
    process = begin(tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if "trial 1/1" in line:
            process.send_signal(signal.SIGTERM)
            break
    assert process.wait(60) == 143
    out = tmp_path / "outputs" / "paper-small"
    assert not (out / "report").exists()
    ran = [path.parent.name for path in out.rglob("DONE")]
    pages = []
    for least in (len(ran), 8):
        process = begin(tmp_path)
        text, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        page = out / "report" / "report.html"
        assert text.rstrip().endswith(str(page))
        assert "The paper's claims on these runs" in text
        assert "wide table cut to d by SVD" in text
        assert text.count("(finished before)") >= least
        pages.append(page.read_bytes())
    assert pages[0] == pages[1]
    assert json.loads(next(out.rglob("tune.json")).read_text())["state"] == "done"
