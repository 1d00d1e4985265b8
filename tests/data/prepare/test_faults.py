"""prepare as a process that is killed, interrupted and run twice at once: a folder whole, or none."""

import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from mlet_bench.data.prepared import Prepared
from tests.conftest import Ended, criteo_cells
from tests.data import reference
from tests.processes import SEED, Running

ROWS = 60_000


class Preparing(Running):
    """`prepare` on its way, with data/ at `place`."""

    def __init__(self, raw: Path, place: Path) -> None:
        self.place = place
        super().__init__(["prepare", "dataset=criteo", f"dataset.raw={raw}", "dataset.min_count=2"], place.parent)

    def wait_until_at_work(self) -> None:
        """Until it has made a working folder of its own, or ended."""
        while self.alive():
            for path in self.place.glob("prepared/.*.tmp/spool"):
                with suppress(FileNotFoundError):
                    if path.stat().st_mtime_ns > self.began_ns:
                        return
            time.sleep(0.002)


def assert_done(ended: Ended) -> None:
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.rstrip().splitlines()[-1].startswith("prepared folder: ")


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
    place = tmp_path_factory.mktemp("undisturbed") / "data"
    running = Preparing(raw, place)
    running.wait_until_at_work()
    began = time.monotonic()
    assert_done(running.ended())
    (folder,) = (place / "prepared").iterdir()
    return reference.contents(folder), time.monotonic() - began


def assert_survives(
    kills: int, raw: Path, place: Path, whole: dict[str, bytes], seconds: float, tally: Callable[..., None]
) -> None:
    rng, in_the_middle, attempts = random.Random(f"{SEED} prepare {kills}"), 0, 0
    while in_the_middle < kills:
        attempts += 1
        assert attempts <= 5 * kills
        running = Preparing(raw, place)
        running.wait_until_at_work()
        time.sleep(seconds * rng.random())
        running.kill()
        ended = running.ended()
        assert (ended.code in (0, -signal.SIGKILL), ended.err) == (True, "")  # 0: it was faster
        if list(place.glob("prepared/.*.tmp")):
            in_the_middle += 1
            tally("SIGKILL to prepare at work")
        else:
            seconds *= 0.8  # too late: the machine is less busy now
        for folder in place.glob("prepared/[!.]*"):  # killed at the very end
            Prepared.open(folder).verify()
            assert reference.contents(folder) == whole
            folder.rename(place.with_name(f"finished-{time.monotonic_ns()}"))
    assert_done(Preparing(raw, place).ended())
    assert_only(place, whole)
    tally("results after kills equal to the undisturbed one")


def test_killed_twice(
    raw: Path, undisturbed: tuple[dict[str, bytes], float], workplace: Path, tally: Callable[..., None]
) -> None:
    assert_survives(2, raw, workplace / "data", *undisturbed, tally)


@pytest.mark.faults
@pytest.mark.slow
def test_killed_ten_times(
    raw: Path, undisturbed: tuple[dict[str, bytes], float], workplace: Path, tally: Callable[..., None]
) -> None:
    assert_survives(10, raw, workplace / "data", *undisturbed, tally)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(raw: Path, workplace: Path, number: signal.Signals, code: int) -> None:
    place = workplace / "data"
    running = Preparing(raw, place)
    running.wait_until_at_work()
    running.kill(number)
    ended = running.ended()
    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    assert "the same command resumes it" in ended.err
    assert left_in(place) <= {"raw-md5.json"}


@pytest.mark.parametrize("elsewhere", [False, True])
def test_two_processes_at_once(
    raw: Path, undisturbed: tuple[dict[str, bytes], float], workplace: Path, elsewhere: bool
) -> None:
    other = reference.write(workplace / "copy of train.txt", raw.read_bytes()) if elsewhere else raw
    both = [Preparing(path if path == raw else Path("copy of train.txt"), workplace / "data") for path in (raw, other)]
    for running in both:
        assert_done(running.ended())
    assert_only(workplace / "data", undisturbed[0])
