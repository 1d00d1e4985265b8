"""Commands that are killed again and again come to what they come to undisturbed, byte for byte."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.outcomes import Outcome, outcome, workplace_in
from tests.processes import CODES, NUMBERS, SEED, Fresh, Running, Trouble, moments

COMMON = ("dataset=criteo", "dataset.raw=train.txt", "model.bottom_mlp=[8]", "model.top_mlp=[8]", "emb.dim=4",
          "model.dropout=0.2", "train.batch_size=45", "train.epochs=2", "hardware.threads=1",
          "train.checkpoint_minutes=0.00001")  # fmt: skip
WORDS = {
    "train": ["train", *COMMON, "emb=mlet", "emb.inner=6"],
    "sweep": ["train", "-m", *COMMON, "train.epochs=1", "emb=single,mlet", "emb.inner=5"],
    "tune": ["tune", *COMMON, "train.epochs=1", "trials=2", "seeds=[1,2]", "arms.inner=[5]"],
    "cafe": ["train", *COMMON, "emb=cafe", "emb.ratio=0.3", "emb.min_rows=1", "emb.threshold=1.5", "emb.decay=0.5"],
    "fiited": ["train", *COMMON, "emb=fiited", "emb.ratio=0.3", "emb.min_rows=1", "emb.check_every=2"],
    "pep": ["train", *COMMON, "emb=pep", "emb.ratio=0.3", "emb.min_rows=1"],
    "prepare": ["prepare", "dataset=criteo", "dataset.raw=train.txt", "dataset.min_count=2"],
}
MODES = [("cafe", 4), ("fiited", 4), ("pep", 8)]
"""Kills of runs whose embeddings have a state of their own, and of one with a search."""


@pytest.fixture(scope="module")
def undisturbed(room: Path) -> Callable[[str], tuple[Outcome, int]]:
    """What a command comes to, and how often it changes files; run once."""
    known: dict[str, tuple[Outcome, int]] = {}

    def of(name: str) -> tuple[Outcome, int]:
        if name not in known:
            place = workplace_in(room)
            running = Running(WORDS[name], place)
            ended = running.ended()
            assert (ended.code, ended.err) == (0, "")
            known[name] = outcome(place), running.operations
        return known[name]

    return of


def stage(place: Path) -> str:
    """How far a killed process had come."""
    runs = sorted(place.glob("outputs/criteo/*/*/*/config.yaml"), key=lambda path: path.stat().st_mtime_ns)
    if not runs:
        if list(place.glob("data/prepared/[!.]*")):
            return "between data and training"
        return "while preparing" if (place / "data").exists() else "while starting"
    held = {path.name for path in runs[-1].parent.iterdir()}
    log = runs[-1].with_name("train.log")
    if "DONE" in held:
        return "at the end"
    if held & {"predictions.parquet", "model.safetensors", "result.json"}:
        return "while saving"
    return "in collapse and evaluation" if log.exists() and "collapse and" in log.read_text() else "while training"


def assert_ends_as(place: Path, name: str, expected: Outcome) -> None:
    ended = Running(WORDS[name], place).ended()
    assert (ended.code, ended.err) == (0, ""), ended
    assert outcome(place) == expected


def killed_before_operations(
    name: str, kills: int, undisturbed: Callable[[str], tuple[Outcome, int]], folder: Path, tally: Callable[..., None]
) -> None:
    """Two processes in a row are killed, each before a random one of its file operations; the third ends well."""
    expected, operations = undisturbed(name)
    rng, done = random.Random(f"{SEED} {name}"), 0
    positions = [int(share * operations) for share in moments(kills, rng)]
    while done < kills:
        place = workplace_in(folder)
        for position in positions[done : done + 2]:
            killed = Running(WORDS[name], place, Trouble(kill_before=position)).ended()
            assert killed.err == ""
            if killed.code == 0:  # less was left to do than that
                break
            assert killed.code == -signal.SIGKILL
            tally(f"kills before a file operation, {name}")
            tally(f"kills {stage(place)}")
        done += 2
        assert_ends_as(place, name, expected)
        tally("results after kills equal to the undisturbed one")


@pytest.mark.parametrize(("name", "kills"), [("train", 1), pytest.param("sweep", 1, marks=pytest.mark.more)])
def test_killed_before_a_file_operation(
    name: str,
    kills: int,
    undisturbed: Callable[[str], tuple[Outcome, int]],
    room: Path,
    tally: Callable[..., None],
) -> None:
    killed_before_operations(name, kills, undisturbed, room, tally)


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize(("name", "kills"), [("train", 24), ("sweep", 8), ("tune", 4), ("prepare", 8), *MODES])
def test_killed_before_many_file_operations(
    name: str,
    kills: int,
    undisturbed: Callable[[str], tuple[Outcome, int]],
    room: Path,
    tally: Callable[..., None],
) -> None:
    killed_before_operations(name, kills, undisturbed, room, tally)


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize(("name", "kills"), [("train", 10), ("sweep", 6), ("tune", 2), ("prepare", 6), *MODES])
def test_signalled_at_random_moments(
    name: str,
    kills: int,
    undisturbed: Callable[[str], tuple[Outcome, int]],
    room: Path,
    tally: Callable[..., None],
) -> None:
    """Processes as users start them; SIGKILL, SIGTERM and SIGINT in turn, over all of a life, imports included."""
    expected, _ = undisturbed(name)
    rng = random.Random(f"{SEED} {name} signals")
    began = time.monotonic()
    place = workplace_in(room)
    assert Fresh(WORDS[name], place).ended().code == 0
    seconds = time.monotonic() - began
    for index, share in enumerate(moments(kills, rng)):
        number = NUMBERS[index % len(NUMBERS)]
        if index % 2 == 0:
            place = workplace_in(room)
        running = Fresh(WORDS[name], place)
        time.sleep(share * seconds)
        alive = running.alive()
        running.kill(number)
        ended = running.ended()
        if alive and ended.code != 0:
            tally(f"{number.name} to {name}")
            tally(f"kills {stage(place)}")
            assert ended.code in (CODES[number], -number), ended  # before and after our handlers; a shell says the same
            if number != signal.SIGINT or stage(place) != "while starting":
                assert ended.err.count("\n") <= 1, ended
                assert "Traceback" not in ended.err, ended
        if index % 2 == 1:
            assert_ends_as(place, name, expected)
            tally("results after kills equal to the undisturbed one")
