"""prepare as a process that is killed, interrupted and run twice at once: a folder whole, or none."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from mlet_bench.data.prepared import Prepared
from tests.conftest import criteo_cells
from tests.data import reference

ROWS = 60_000


def started(raw: Path, place: Path, *more: str) -> subprocess.Popen[str]:
    """mlet-bench prepare on its way, with data/ at `place`."""
    words = ["prepare", "dataset=criteo", f"dataset.raw={raw}", "dataset.min_count=2", *more]
    environment = {**os.environ, "MLET_BENCH_DATA": str(place), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "mlet_bench", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_until_at_work(process: subprocess.Popen[str], place: Path, began_ns: int) -> None:
    """Until the process, begun at that time, has made a working folder of its own, or ended."""
    while process.poll() is None:
        for path in place.glob("prepared/.*.tmp/spool"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime_ns > began_ns:
                    return
        time.sleep(0.002)


def left_in(place: Path) -> set[str]:
    """Everything below, hidden files too, but for what stands inside a finished folder."""
    return {str(path.relative_to(place)) for path in (*place.glob("*"), *place.glob("prepared/*"))}


def assert_only(place: Path, whole: dict[str, bytes]) -> None:
    """One folder with this content and nothing else."""
    (folder,) = (place / "prepared").iterdir()
    assert left_in(place) == {"prepared", f"prepared/{folder.name}", "raw-md5.json"}
    assert reference.contents(folder) == whole


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = ["\t".join(row).encode() for row in criteo_cells(2_000)]
    rng = random.Random(0)
    content = b"".join(rng.choice(lines) + b"%x\n" % rng.randrange(30_000) for _ in range(ROWS))
    return reference.write(tmp_path_factory.mktemp("raw") / "train.txt", content)


@pytest.fixture(scope="module")
def undisturbed(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], float]:
    """The content of the folder, and the seconds from the first file in it to the last."""
    place = tmp_path_factory.mktemp("undisturbed")
    began_ns = time.time_ns()
    process = started(raw, place)
    wait_until_at_work(process, place, began_ns)
    began = time.monotonic()
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert out.rstrip().splitlines()[-1].startswith("prepared folder: ")
    (folder,) = (place / "prepared").iterdir()
    return reference.contents(folder), time.monotonic() - began


def assert_survives(kills: int, raw: Path, place: Path, whole: dict[str, bytes], seconds: float) -> None:
    rng, in_the_middle, attempts = random.Random(kills), 0, 0
    while in_the_middle < kills:
        attempts += 1
        assert attempts <= 5 * kills
        began_ns = time.time_ns()
        process = started(raw, place)
        wait_until_at_work(process, place, began_ns)
        time.sleep(seconds * rng.random())
        process.send_signal(signal.SIGKILL)
        _, err = process.communicate(timeout=60)
        assert (process.returncode in (0, -signal.SIGKILL), err) == (True, "")  # 0: it was faster
        if list(place.glob("prepared/.*.tmp")):
            in_the_middle += 1
        else:
            seconds *= 0.8  # too late: the machine is less busy now
        for folder in place.glob("prepared/[!.]*"):  # killed at the very end
            Prepared.open(folder).verify()
            assert reference.contents(folder) == whole
            folder.rename(place.with_name(f"finished-{time.monotonic_ns()}"))
    process = started(raw, place)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert_only(place, whole)


def test_killed_three_times(raw: Path, undisturbed: tuple[dict[str, bytes], float], workplace: Path) -> None:
    assert_survives(3, raw, workplace / "data", *undisturbed)


@pytest.mark.faults
@pytest.mark.slow
def test_killed_twenty_times(raw: Path, undisturbed: tuple[dict[str, bytes], float], workplace: Path) -> None:
    assert_survives(20, raw, workplace / "data", *undisturbed)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(raw: Path, workplace: Path, number: signal.Signals, code: int) -> None:
    place = workplace / "data"
    began_ns = time.time_ns()
    process = started(raw, place)
    wait_until_at_work(process, place, began_ns)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "")
    assert err.count("\n") == 1
    assert "the same command goes on" in err
    assert left_in(place) <= {"raw-md5.json"}


@pytest.mark.parametrize("elsewhere", [False, True])
def test_two_processes_at_once(
    raw: Path, undisturbed: tuple[dict[str, bytes], float], workplace: Path, elsewhere: bool
) -> None:
    other = reference.write(workplace / "copy of train.txt", raw.read_bytes()) if elsewhere else raw
    processes = [
        started(path if path == raw else Path("copy of train.txt"), workplace / "data") for path in (raw, other)
    ]
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, "")
    assert_only(workplace / "data", undisturbed[0])
