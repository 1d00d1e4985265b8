"""Sweeps: nothing is done twice, nothing that fails stops the others, and several jobs at once."""

import signal
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from mlet_bench import cli
from mlet_bench.commands import train as recipe
from mlet_bench.runs.sweep_folder import SweepFolder
from mlet_bench.training import trainer
from tests.conftest import TINY, Ended

Command = Callable[..., Ended]
WORDS = ("train", "-m", "dataset=criteo", "dataset.raw=train.txt", *TINY, "hardware.threads=1", "emb=mlet")


@pytest.mark.usefixtures("criteo_file")
def test_stopped_sweep_resumes(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    step, taken = trainer.step, []

    def interrupted(*given: Any) -> torch.Tensor:
        taken.append(1)
        if len(taken) == 9:  # in the second job of six steps each
            signal.raise_signal(signal.SIGINT)
        return step(*given)

    monkeypatch.setattr(trainer, "step", interrupted)
    stopped = command(*WORDS, "emb.inner=3,5,7")
    assert (stopped.code, stopped.err.count("\n")) == (130, 1)
    assert "the same command resumes it" in stopped.err
    again = command(*WORDS, "emb.inner=3,5,7")
    assert again.code == cli.DONE
    assert again.out.count("finished before") == 1
    assert len(taken) == 3 * 6  # no step was taken twice
    first, second = sorted(Path("outputs/sweeps").iterdir())
    shown = command("report", f"runs={first}").out.splitlines()
    assert shown[0].endswith("3 jobs, 1 waiting, 1 done, 1 stopped; it was interrupted, the same sweep resumes it")
    assert [line.split()[1] for line in shown[1:7] if line.split()[:1] in (["1"], ["2"], ["3"])] == [
        *("done", "stopped", "not")
    ]
    assert command("report", f"runs={second}").out.splitlines()[0].endswith("3 jobs, 3 done; it has ended")
    assert len(list(Path("outputs/criteo/dlrm/mlet").glob("*/DONE"))) == 3


@pytest.mark.usefixtures("criteo_file")
def test_sweep_says_how_far_it_is_while_it_runs(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    run, seen = recipe.run, []

    def watched(*given: Any) -> Any:
        (folder,) = Path("outputs/sweeps").iterdir()
        seen.append([job.state for job in SweepFolder(folder).jobs()])
        return run(*given)

    monkeypatch.setattr(recipe, "run", watched)
    ended = command(*WORDS, "emb.inner=3,0,5")
    assert ended.code == cli.FAILED
    assert seen == [["running", "waiting", "waiting"], ["done", "failed", "running"]]
    for line in ("job 1 of 3: 0 done, 0 failed", "job 2 of 3: 1 done, 0 failed", "job 3 of 3: 1 done, 1 failed"):
        assert f"{line} · dataset=criteo" in ended.out
    (folder,) = Path("outputs/sweeps").iterdir()
    assert f"mlet-bench report runs={folder}" in ended.out
    report = command("report", f"runs={folder}")
    assert report.code == cli.DONE
    assert report.out.splitlines()[-1] == "outputs/report/report.html"
    assert "3 jobs, 2 done, 1 failed; it has ended" in report.out
    assert sorted(path.name for path in folder.iterdir()) == ["multirun.yaml", "sweep.json"]


@pytest.mark.usefixtures("criteo_file")
def test_sweep_without_any_finished_run_is_shown(command: Command, workplace: Path) -> None:
    with SweepFolder(workplace / "sweep").opened([["seed=1"], ["seed=2"]]):
        ended = command("report", "runs=sweep")
        assert ended.code == cli.MISTAKE
        assert "2 jobs, 2 waiting" in ended.out
        assert ended.err == "mlet-bench: runs=sweep: no job of the sweep has a run to report yet\n"
    assert not Path("outputs").exists()


@pytest.mark.usefixtures("criteo_file")
def test_folder_of_a_sweep_with_special_characters(command: Command) -> None:
    name = "a=b [c] 'd' \\ $x"
    quoted = name.replace("'", "\\'")
    assert command(*WORDS, "emb.inner=3", f"hydra.sweep.dir='{quoted}'").code == cli.DONE
    assert [job.state for job in SweepFolder(Path(name)).jobs()] == ["done"]
    assert (Path(name) / "multirun.yaml").is_file()


@pytest.mark.usefixtures("criteo_file")
def test_jobs_that_are_the_same_run_are_one_job(command: Command) -> None:
    ended = command(*WORDS[:-1], "emb=single,mlet", "emb.inner=3,5")  # the standard embedding has no inner dimension
    assert ended.code == cli.DONE
    (folder,) = Path("outputs/sweeps").iterdir()
    found = SweepFolder(folder).jobs()
    assert [job.state for job in found] == ["done"] * 3
    assert [job.overrides[-2:] for job in found] == [
        *(["emb=single", "emb.inner=3"], ["emb=mlet", "emb.inner=3"], ["emb=mlet", "emb.inner=5"])
    ]
    assert "3 jobs, 0 failed" in ended.out
    assert "job 3 of 3: 2 done" in ended.out
    assert "left out, the same run as emb=single emb.inner=3: emb=single emb.inner=5" in ended.out.splitlines()
    assert len(list(Path("outputs").glob("criteo/*/*/*/DONE"))) == 3


@pytest.mark.usefixtures("criteo_file")
def test_failed_job_is_listed_with_its_error(command: Command) -> None:
    ended = command(*WORDS, "train.optimizer=sgd", "train.lr=0.1,1e30", "train.epochs=2")
    assert ended.code == cli.FAILED
    assert "2 jobs, 1 failed" in ended.out
    assert "failed: the loss is" in ended.out
    assert len(list(Path("outputs/criteo/dlrm/mlet").glob("*/DONE"))) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("criteo_file")
@pytest.mark.more
def test_several_jobs_at_once(command: Command) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="the extra joblib brings it")
    alone = command("train", *WORDS[2:], "emb.inner=3")
    assert alone.code == cli.DONE
    ended = command(*WORDS, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "emb.inner=0,3,5,7")
    assert ended.code == cli.FAILED
    assert "4 jobs, 1 failed" in ended.out
    assert "failed: emb.inner=0" in ended.out
    (folder,) = Path("outputs/sweeps").iterdir()
    found = SweepFolder(folder).jobs()
    assert [job.state for job in found] == ["failed", "done", "done", "done"]
    assert [job.overrides[-1] for job in found] == [f"emb.inner={inner}" for inner in (0, 3, 5, 7)]
    assert [(Path(job.folder) / "DONE").is_file() for job in found if job.folder] == [True] * 3
    assert all("hydra" not in text for job in found for text in job.overrides)
    assert len(list(Path("outputs/criteo/dlrm/mlet").glob("*/DONE"))) == 3
    assert len(list(Path("outputs/criteo/dlrm/mlet").iterdir())) == 3


def test_launcher_that_is_not_there_is_named_with_its_extra(command: Command, workplace: Path) -> None:
    if find_spec("hydra_plugins") and find_spec("hydra_plugins.hydra_ray_launcher"):
        pytest.skip("it is there")
    ended = command("train", "-m", "hydra/launcher=ray", "seed=1,2")
    assert ended.code == cli.MISTAKE
    assert "mlet-bench[ray]" in ended.err
    assert list(workplace.iterdir()) == []
