"""Commands that are killed again and again come to what they come to undisturbed, byte for byte."""

import json
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import criteo_cells, write_criteo
from tests.processes import CODES, NUMBERS, SEED, Fresh, Running, Trouble, moments, tally

__all__ = ["tally"]
Outcome = dict[str, Any]
COMMON = ("dataset=criteo", "dataset.raw=train.txt", "model.bottom_mlp=[8]", "model.top_mlp=[8]", "emb.dim=4",
          "model.dropout=0.2", "train.batch_size=32", "train.epochs=2", "hardware.threads=1",
          "train.checkpoint_minutes=0.00001")  # fmt: skip
WORDS = {
    "train": ["train", *COMMON, "emb=mlet", "emb.inner=6"],
    "sweep": ["train", "-m", *COMMON, "train.epochs=1", "emb=single,mlet", "emb.inner=5"],
    "tune": ["tune", *COMMON, "train.epochs=1", "trials=2", "seeds=[1,2]", "arms.inner=[5]"],
    "prepare": ["prepare", "dataset=criteo", "dataset.raw=train.txt", "dataset.min_count=2"],
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Outcome, int]]:
    """What a command comes to, and how often it changes files; run once."""
    known: dict[str, tuple[Outcome, int]] = {}

    def of(name: str) -> tuple[Outcome, int]:
        if name not in known:
            place = workplace_in(tmp_path_factory.mktemp(name))
            running = Running(WORDS[name], place)
            ended = running.ended()
            assert (ended.code, ended.err) == (0, "")
            known[name] = outcome(place), running.operations
        return known[name]

    return of


def workplace_in(folder: Path) -> Path:
    place = folder / f"place-{time.monotonic_ns()}"
    place.mkdir()
    write_criteo(place / "train.txt", criteo_cells(420))
    return place


def outcome(place: Path) -> Outcome:
    """All that a finished command leaves, without what differs between equal runs; nothing half-done lies about."""
    found: Outcome = {}
    for path in sorted(place.rglob("*")):
        name = str(path.relative_to(place))
        assert not name.endswith((".tmp", ".lock")), name
        assert "checkpoint" not in name
        if path.is_dir() or name.startswith("outputs/sweeps/"):
            continue
        if path.name == "result.json":
            result = json.loads(path.read_text())
            found[name] = {key: result[key] for key in ("metrics", "buckets", "collapse", "dataset")}
        elif path.name == "tune.json":
            found[name] = without_times(json.loads(path.read_text()))
        elif path.name not in ("train.log", "DONE", "raw-md5.json"):
            found[name] = path.read_bytes()
    return found


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(inner) for key, inner in value.items() if key not in ("seconds", "train_minutes")}
    return [without_times(inner) for inner in value] if isinstance(value, list) else value


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


@pytest.mark.parametrize(("name", "kills"), [("train", 4), ("sweep", 2)])
def test_killed_before_a_file_operation(
    name: str,
    kills: int,
    undisturbed: Callable[[str], tuple[Outcome, int]],
    tmp_path: Path,
    tally: Callable[..., None],
) -> None:
    killed_before_operations(name, kills, undisturbed, tmp_path, tally)


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize(("name", "kills"), [("train", 40), ("sweep", 12), ("tune", 8), ("prepare", 12)])
def test_killed_before_many_file_operations(
    name: str,
    kills: int,
    undisturbed: Callable[[str], tuple[Outcome, int]],
    tmp_path: Path,
    tally: Callable[..., None],
) -> None:
    killed_before_operations(name, kills, undisturbed, tmp_path, tally)


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize(("name", "kills"), [("train", 12), ("sweep", 8), ("tune", 4), ("prepare", 4)])
def test_signalled_at_random_moments(
    name: str,
    kills: int,
    undisturbed: Callable[[str], tuple[Outcome, int]],
    tmp_path: Path,
    tally: Callable[..., None],
) -> None:
    """Processes as users start them; SIGKILL, SIGTERM and SIGINT in turn, over all of a life, imports included."""
    expected, _ = undisturbed(name)
    rng = random.Random(f"{SEED} {name} signals")
    began = time.monotonic()
    place = workplace_in(tmp_path)
    assert Fresh(WORDS[name], place).ended().code == 0
    seconds = time.monotonic() - began
    for index, share in enumerate(moments(kills, rng)):
        number = NUMBERS[index % len(NUMBERS)]
        if index % 2 == 0:
            place = workplace_in(tmp_path)
        running = Fresh(WORDS[name], place)
        time.sleep(share * seconds)
        alive = running.alive()
        running.kill(number)
        ended = running.ended()
        if alive and ended.code != 0:
            tally(f"{number.name} to {name}")
            tally(f"kills {stage(place)}")
            started = "goes on" in ended.err or stage(place) != "while starting"
            assert ended.code == CODES[number] or not started, ended
            assert "Traceback" not in ended.err or not started, ended
            assert ended.err.count("\n") <= 1 or not started, ended
        if index % 2 == 1:
            assert_ends_as(place, name, expected)
            tally("results after kills equal to the undisturbed one")
