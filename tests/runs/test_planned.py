"""What cannot fit memory or disk is reported before anything begins, by every command that needs much of them."""

import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlet_bench import cli
from mlet_bench.config import TrainCommand, convert_command
from mlet_bench.config.compose import Composer
from mlet_bench.data import made_before
from mlet_bench.runs import planned
from mlet_bench.system import files
from mlet_bench.training import trainer
from tests.conftest import TINY, Ended

Command = Callable[..., Ended]
DATA = ("dataset=criteo", "dataset.raw=train.txt")
COMMANDS = {
    "train": ("train", *DATA, *TINY),
    "sweep": ("train", "-m", *DATA, *TINY, "seed=1,2"),
    "tune": ("tune", *DATA, *TINY, "trials=2"),
    "prepare": ("prepare", *DATA),
}
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Says how many bytes of disk, or of memory, are free."""

    def say(disk: int | None = None, memory: int | None = None) -> None:
        if disk is not None:
            monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, disk))
        if memory is not None:
            monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Free", (), {"available": memory, "total": 1}))

    return say


def assert_refused(command: Command, name: str, *said: str) -> None:
    before = sorted(Path.cwd().rglob("*"))
    ended = command(*COMMANDS[name])
    assert (ended.code, ended.err.count("\n")) == (cli.MISTAKE, 1), ended
    assert all(word in ended.err for word in said), ended.err
    assert sorted(Path.cwd().rglob("*")) == before


@pytest.mark.usefixtures("criteo_file")
@pytest.mark.parametrize("name", COMMANDS)
def test_before_data_are_prepared(command: Command, free: Callable[..., None], name: str) -> None:
    free(disk=10_000)
    assert_refused(command, name, "preparing needs about", "bytes of disk and 10,000 are free")
    free(disk=10**12, memory=10_000)
    assert_refused(command, name, "preparing needs about", "bytes of memory and 10,000 are free")


@pytest.mark.usefixtures("criteo_file")
@pytest.mark.parametrize(("name", "what"), [("train", "the run"), ("sweep", "the run"), ("tune", "single d=4: ")])
def test_before_training(
    command: Command, free: Callable[..., None], monkeypatch: pytest.MonkeyPatch, name: str, what: str
) -> None:
    assert command("prepare", *DATA).code == cli.DONE
    free(disk=1_000_000)
    assert_refused(command, name, what, "bytes of disk and 1,000,000 are free")
    monkeypatch.setattr("mlet_bench.training.memory.LEAST", 0)
    free(disk=10**12, memory=5_000)
    assert_refused(command, name, what, "bytes of memory", "5,000 are free")


@pytest.mark.usefixtures("criteo_file")
@pytest.mark.parametrize(
    ("name", "what", "enough_for_one"), [("sweep", "the sweep", 1.9), ("tune", "the comparison", 5)]
)
def test_what_several_runs_leave_together(
    command: Command, free: Callable[..., None], name: str, what: str, enough_for_one: float
) -> None:
    assert command("prepare", *DATA).code == cli.DONE
    free(disk=int(enough_for_one * planned.SMALL_FILES))
    assert_refused(command, name, f"{what} needs about")


@pytest.mark.usefixtures("criteo_file")
def test_a_sweep_says_which_job_will_fail_and_runs_the_others(
    command: Command, monkeypatch: pytest.MonkeyPatch, free: Callable[..., None]
) -> None:
    assert command("prepare", *DATA).code == cli.DONE
    monkeypatch.setattr("mlet_bench.training.memory.LEAST", 0)
    free(memory=10**9)
    ended = command("train", "-m", *DATA, *TINY, "emb=mlet", "emb.inner=4,1000000")
    assert ended.code == cli.FAILED
    assert "a job will fail: " in ended.out
    assert ended.out.index("emb.inner=1000000: the run needs about") < ended.out.index("job 1 of 2")
    assert len(list(Path("outputs").glob("criteo/*/*/*/DONE"))) == 1


def test_generated_rows_count(command: Command, workplace: Path) -> None:
    ended = command("prepare", "dataset=synthetic", "dataset.rows=1000000000000")
    assert (ended.code, ended.err.count("\n")) == (cli.MISTAKE, 1)
    assert "preparing needs about 360,000,000,000,000 bytes of disk" in ended.err
    assert list(workplace.iterdir()) == []


@pytest.mark.usefixtures("criteo_file")
def test_a_finished_run_is_shown_whatever_is_free(command: Command, free: Callable[..., None]) -> None:
    assert command(*COMMANDS["train"]).code == cli.DONE
    free(disk=0, memory=0)
    assert "finished before" in command(*COMMANDS["train"]).out


@pytest.mark.usefixtures("criteo_file")
@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")]
)
def test_memory_that_runs_out_all_the_same(command: Command, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "step", fail)
        ended = command(*COMMANDS["train"])
    assert (ended.code, ended.err.count("\n")) == (cli.FAILED, 1)
    assert "memory ran out" in ended.err
    assert command(*COMMANDS["train"]).code == cli.DONE


@pytest.mark.usefixtures("criteo_file")
def test_a_run_never_takes_more_disk_than_planned(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*COMMANDS["train"], "emb=mlet", "emb.inner=300", "train.eval_every=1", "train.lr=0.01")
    words = (*words, "train.patience=null", "train.checkpoint_minutes=0.002", "train.epochs=4", "hydra.run.dir=run")
    seen, fsync = [], os.fsync

    def weighed(descriptor: int) -> None:
        seen.append(files.bytes_below(Path("run")))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", weighed)
    assert command(*words).code == cli.DONE
    config: Any = convert_command(TrainCommand, Composer("config").one(words[1:]).values)
    prepared = made_before(config.dataset)
    assert prepared is not None
    run = planned.PlannedRun(config, prepared, "run")
    assert run.peak_disk_bytes / 3 < max(seen) < run.peak_disk_bytes
    assert files.bytes_below(Path("run")) < run.final_disk_bytes
