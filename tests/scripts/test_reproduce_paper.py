"""The commands of scripts/reproduce_paper.py are sound; running them is tried by real processes."""

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
from mlet_bench.analysis.paper.published import published
from mlet_bench.commands.tune import arms_of, run_config, search_of
from mlet_bench.config import TrainCommand, TuneCommand, convert_command
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


@pytest.fixture(scope="module")
def composers() -> dict[str, Composer]:
    return {"train": Composer("config"), "tune": Composer("tune")}


def single_jobs(words: tuple[str, ...]) -> list[list[str]]:
    """The first job of a sweep for every value of each word, instead of every combination."""
    choices = [[f"{word.partition('=')[0]}={value}" for value in word.partition("=")[2].split(",")]
               if "[" not in word and '"' not in word else [word] for word in words]  # fmt: skip
    longest = max(map(len, choices))
    return [[values[min(place, len(values) - 1)] for values in choices] for place in range(longest)]


@pytest.mark.parametrize(
    "profile", ["small", *(pytest.param(name, marks=pytest.mark.more) for name in ("medium", "full"))]
)
def test_every_command_is_sound(
    script: ModuleType, profile: str, tmp_path: Path, composers: dict[str, Composer]
) -> None:
    jobs = script.PROFILES[profile](raw_folder(tmp_path / 'raw = [1] "x"'))
    assert len({job.name for job in jobs}) == len(jobs)
    seen = set()
    for job in jobs:
        command, *words = job.words
        shape = (command, *(word.partition("=")[0] for word in words), words[1 if command == "train" else 0])
        if shape in seen:
            continue  # the same command for another data set or model
        seen.add(shape)
        if command == "train":
            assert words[0] == "-m"
            swept = single_jobs(tuple(words[1:]))
            for one in [swept[0], swept[-1]] if profile == "small" else swept:
                config = convert_command(TrainCommand, composers["train"].one(one).values)
                models.settings_of(config.model)
                assert config.train.epochs == 1
                assert config.reference in published().experiments
            continue
        config = convert_command(TuneCommand, composers["tune"].one(words).values)
        arms = arms_of(config)
        assert len(config.seeds) >= 3
        for arm in arms:
            made = run_config(config, arm, search_of(config).highest, 1)
            assert made.reference == config.reference is not None
            assert made.dataset.raw is None or made.dataset.raw.exists()


def test_small_has_every_model_with_three_seeds_and_the_headline_with_five(script: ModuleType) -> None:
    jobs = script.small(Path())
    for model in script.MODELS:
        own = [word for job in jobs if job.name.startswith(f"{model}, ") for word in job.words]
        assert {"seed=1,2,3", "emb=single,mlet"} <= set(own)
        assert ("seeds=[1,2,3,4,5]" in own) == (model in script.CURVES)


def test_a_missing_set_is_named_and_left_out(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "frappe_x1").mkdir()
    jobs = script.medium(tmp_path)
    assert jobs
    assert all("frappe_x1" in job.name for job in jobs)
    assert "left out: movielens1m" in capsys.readouterr().out
    assert script.full(tmp_path) == []


def test_a_profile_without_data_is_a_mistake(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                             monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["reproduce_paper.py", "--profile", "full", "--raw", "nowhere"])
    assert script.main() == 2
    assert "none of its data sets is below --raw nowhere" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


LITTLE = ("dataset.rows=6000", "train.eval_every=null")


def begin(folder: Path) -> "subprocess.Popen[str]":
    """The script on a few small runs: one sweep and one comparison of DCN."""
    code = f"""
import runpy, sys
sys.argv = ["reproduce_paper.py", "--jobs", "1", "--", *{LITTLE!r}]
found = runpy.run_path({str(SCRIPT)!r}, run_name="script")
main, Job = found["main"], found["Job"]
words = ("experiment=paper/avazu_dcn", "dataset=synthetic", "dataset.shape=avazu", "emb.l2=0")
main.__globals__["PROFILES"]["small"] = lambda raw: [
    Job("dcn, generated, sweep", ("train", "-m", *words, "emb=single,mlet", "emb.inner=64", "emb.dim=4,32", "seed=1")),
    Job("dcn, generated, tune", ("tune", *words, "arms.dims=[4]", "arms.inner=[64]", "search.lr=null",
        "search.emb_lr=[1,9]", "trials=2", "seeds=[1,2]")),
]
sys.exit(main())
"""
    return subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env={**os.environ, "MLET_BENCH_DATA": str(folder / "data")})  # fmt: skip


@pytest.mark.faults
def test_a_stopped_one_goes_on_and_a_finished_one_only_draws(tmp_path: Path) -> None:
    process = begin(tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if "trial 1/2" in line:
            process.send_signal(signal.SIGTERM)
            break
    assert process.wait(60) == 143
    out = tmp_path / "outputs" / "paper-small"
    assert not (out / "report").exists()
    ran = {path: path.stat().st_mtime_ns for path in out.rglob("DONE")}
    assert len(ran) >= 4
    pages = []
    for _ in range(2):
        process = begin(tmp_path)
        text, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        page = out / "report" / "report.html"
        assert text.rstrip().endswith(str(page))
        assert "Table 3: AUC, and size at equal quality" in text
        assert "Table 5: against SVD" in text
        assert {path: path.stat().st_mtime_ns for path in ran} == ran
        ran = {path: path.stat().st_mtime_ns for path in out.rglob("DONE")}
        pages.append(page.read_bytes())
    assert pages[0] == pages[1]
    assert json.loads(next(out.rglob("tune.json")).read_text())["state"] == "done"
