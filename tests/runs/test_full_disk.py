"""A full disk, lost rights and missing folders: one line, existing files stay whole, and later everything continues."""

import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.test_faults import WORDS
from tests.outcomes import Outcome, outcome, workplace_in
from tests.processes import SEED, Running, Trouble

Count = Callable[..., None]
REPORT = ["report", "runs=outputs"]
TRAIN, PREPARE = WORDS["train"], WORDS["prepare"]


@pytest.fixture(scope="module")
def finished(room: Path) -> tuple[Path, Outcome]:
    """A working folder in which all was done, and what it came to."""
    place = workplace_in(room)
    for words in (TRAIN, PREPARE, REPORT):
        ended = Running(words, place).ended()
        assert (ended.code, ended.err) == (0, "")
    return place, outcome(place)


def begun(room: Path, finished: tuple[Path, Outcome], words: list[str]) -> Path:
    """A working folder in which this command is the next."""
    place = workplace_in(room)
    if words == REPORT:
        shutil.copytree(finished[0] / "outputs" / "criteo", place / "outputs" / "criteo")
    return place


def assert_fails_in_one_line(place: Path, words: list[str], trouble: Trouble | None = None) -> str:
    ended = Running(words, place, trouble).ended()
    assert ended.code in (1, 2), ended
    assert ended.err.startswith("mlet-bench: "), ended
    assert ended.err.count("\n") == 1, ended.err
    return ended.err


def assert_ends_right(place: Path, words: list[str], expected: Outcome) -> None:
    ended = Running(words, place).ended()
    assert (ended.code, ended.err) == (0, ""), ended
    found = outcome(place)
    assert found == {name: expected[name] for name in found}
    assert len(found) > 1


def sizes(words: list[str]) -> list[int]:
    """Where a file ends in the cases that are tried: at once, and at random places up to the largest file's size."""
    rng = random.Random(f"{SEED} {words}")
    return [0, *(int(10 ** rng.uniform(2, 4)) for _ in range(3))]


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize("words", [TRAIN, PREPARE, REPORT], ids=lambda words: words[0])
def test_files_that_cannot_grow(room: Path, finished: tuple[Path, Outcome], words: list[str], tally: Count) -> None:
    place = begun(room, finished, words)
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    for size in sizes(words):
        said = assert_fails_in_one_line(place, words, Trouble(largest_file=size))
        assert "File too large" in said
        tally("full disks said in one line")
    assert all(path.read_bytes() == content for path, content in before.items())
    assert_ends_right(place, words, finished[1])
    tally("right results once there was room again")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KB; skipped where none may be mounted."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize("words", [TRAIN, PREPARE, REPORT], ids=lambda words: words[0])
def test_full_disk(
    small_disk: Path, room: Path, finished: tuple[Path, Outcome], words: list[str], tally: Count
) -> None:
    place = small_disk / "place"
    shutil.copytree(begun(room, finished, words), place)
    free = shutil.disk_usage(small_disk).free
    (small_disk / "filled").write_bytes(bytes(max(0, free - 60_000)))
    assert_fails_in_one_line(place, words)
    tally("full disks said in one line")
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert_ends_right(place, words, finished[1])
    tally("right results once there was room again")


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize(("words", "closed"), [(TRAIN, "outputs"), (TRAIN, "data"), (PREPARE, "data"), (REPORT, ".")])
def test_folder_without_rights(
    room: Path, finished: tuple[Path, Outcome], words: list[str], closed: str, tally: Count
) -> None:
    place = begun(room, finished, words)
    (place / closed).mkdir(exist_ok=True)
    (place / closed).chmod(0o555)
    if words == REPORT:
        (place / "outputs").chmod(0o555)
    said = assert_fails_in_one_line(place, words, Trouble(ordinary=True))
    assert "ermission denied" in said
    tally("lost rights said in one line")
    (place / closed).chmod(0o755)
    if words == REPORT:
        (place / "outputs").chmod(0o755)
    assert_ends_right(place, words, finished[1])


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize(("words", "blocked"), [(TRAIN, "outputs"), (TRAIN, "data"), (PREPARE, "data")])
def test_file_where_a_folder_should_be(
    room: Path, finished: tuple[Path, Outcome], words: list[str], blocked: str, tally: Count
) -> None:
    place = begun(room, finished, words)
    (place / blocked).write_text("a file")
    assert_fails_in_one_line(place, words)
    assert (place / blocked).read_text() == "a file"
    tally("missing folders said in one line")
    (place / blocked).unlink()
    assert_ends_right(place, words, finished[1])


def test_folders_that_are_not_there(room: Path, tally: Count) -> None:
    for words in (["report", "runs=nowhere"], ["evaluate", "run=nowhere"], ["prepare", "dataset.prepared=nowhere"],
                  [*TRAIN, "dataset.raw=nowhere"]):  # fmt: skip
        place = workplace_in(room)
        assert "nowhere" in assert_fails_in_one_line(place, words)
        assert [path.name for path in place.iterdir()] == ["train.txt"]
        tally("missing folders said in one line")
