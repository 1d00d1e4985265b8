"""The state of a sweep's jobs: written by many processes, read at any time, and never stuck."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from mlet_bench.errors import UserError
from mlet_bench.runs.sweep_folder import SWEEP, SweepFolder
from mlet_bench.system import files


def states(folder: Path) -> list[str]:
    return [job.state for job in SweepFolder(folder).jobs()]


def broken_off(sweep: SweepFolder, number: int) -> None:
    with sweep.job(number) as entry:
        assert entry.headline == "job 3 of 3: 1 done, 1 failed"
        raise KeyboardInterrupt


def test_a_job_goes_from_waiting_to_its_end(tmp_path: Path) -> None:
    sweep = SweepFolder(tmp_path / "sweeps" / "one")
    with sweep.opened([["seed=1"], ["seed=2"], ["seed=3"]]):
        assert states(sweep.path) == ["waiting"] * 3
        with sweep.job(1) as entry:
            assert entry.headline == "job 1 of 3: 0 done, 0 failed"
            assert states(sweep.path) == ["running", "waiting", "waiting"]
            entry.set_folder(Path("run"))
            assert sweep.jobs()[0].folder == str(Path("run").absolute())
        with sweep.job(2) as entry:
            entry.error = "no luck"
        with pytest.raises(KeyboardInterrupt):
            broken_off(sweep, 3)
        assert sweep.at_work
    found = sweep.jobs()
    assert [job.state for job in found] == ["done", "failed", "stopped"]
    assert [job.error for job in found] == [None, "no luck", None]
    assert [job.overrides for job in found] == [["seed=1"], ["seed=2"], ["seed=3"]]
    assert all(job.seconds is not None and job.seconds >= 0 for job in found)
    assert not sweep.at_work
    assert [path.name for path in sweep.path.iterdir()] == [SWEEP]


def work(folder: str, numbers: range) -> None:
    for number in numbers:
        with SweepFolder(Path(folder)).job(number) as entry:
            entry.set_folder(Path(f"run{number}"))
            entry.error = "odd" if number % 2 else None


def test_jobs_of_many_processes_lose_nothing_of_each_other(tmp_path: Path) -> None:
    sweep, context = SweepFolder(tmp_path), multiprocessing.get_context("spawn")
    with sweep.opened([[f"seed={number}"] for number in range(1, 61)]):
        parts = [context.Process(target=work, args=(str(tmp_path), range(first, 61, 3))) for first in (1, 2, 3)]
        for part in parts:
            part.start()
        while any(part.is_alive() for part in parts):
            assert len(sweep.jobs()) == 60  # whole at every moment
        for part in parts:
            part.join()
    found = sweep.jobs()
    assert [job.state for job in found] == ["failed", "done"] * 30
    assert [Path(job.folder or "").name for job in found] == [f"run{number}" for number in range(1, 61)]
    assert [job.overrides for job in found] == [[f"seed={number}"] for number in range(1, 61)]


def hang(folder: str) -> None:
    sweep = SweepFolder(Path(folder))
    with sweep.opened([["seed=1"], ["seed=2"]]), sweep.job(1):
        time.sleep(600)


def test_a_killed_job_is_not_shown_as_running(tmp_path: Path) -> None:
    part = multiprocessing.get_context("spawn").Process(target=hang, args=(str(tmp_path),))
    part.start()
    while not (tmp_path / SWEEP).is_file() or states(tmp_path) != ["running", "waiting"]:
        time.sleep(0.05)
    assert part.pid
    os.kill(part.pid, signal.SIGKILL)
    part.join()
    assert json.loads((tmp_path / SWEEP).read_text())["jobs"][0]["state"] == "running"
    assert states(tmp_path) == ["stopped", "waiting"]
    assert not SweepFolder(tmp_path).at_work
    with SweepFolder(tmp_path).opened([["seed=1"]]):  # the locks it left do not hinder the next sweep
        assert states(tmp_path) == ["waiting"]


def test_two_sweeps_cannot_work_in_one_folder(tmp_path: Path) -> None:
    with SweepFolder(tmp_path).opened([["seed=1"]]):
        with pytest.raises(UserError, match="another sweep"), SweepFolder(tmp_path).opened([["seed=2"]]):
            pass
        assert SweepFolder(tmp_path).jobs()[0].overrides == ["seed=1"]


def test_a_job_goes_on_where_the_file_is_gone(tmp_path: Path) -> None:
    sweep = SweepFolder(tmp_path)
    with sweep.job(4) as entry:
        assert entry.headline == "job 4"
        entry.set_folder(tmp_path)


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"version": 2, "jobs": []}', '{"version": 1, "jobs": [{"job": 0}]}']
)
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / SWEEP).write_text(content)
    with pytest.raises(UserError, match=r"sweep\.json"):
        SweepFolder(tmp_path).jobs()


def test_asking_for_a_lock_does_not_take_it(tmp_path: Path) -> None:
    assert not files.is_held(tmp_path / "lock")
    assert not (tmp_path / "lock").exists()
    with files.locked(tmp_path / "lock", "busy"):
        assert files.is_held(tmp_path / "lock")
    (tmp_path / "lock").touch()  # as a killed process leaves it
    assert not files.is_held(tmp_path / "lock")
