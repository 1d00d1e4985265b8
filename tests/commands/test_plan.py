"""What a run on TorchRec would take, planned without the machines and without the data."""

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from mlet_bench import cli
from mlet_bench.config import TrainCommand, convert_command
from mlet_bench.config.compose import Composer
from mlet_bench.data.sizes import sizes_of
from mlet_bench.system import torchrec
from tests.conftest import Ended

Command = Callable[..., Ended]
PLAN = ("train", "plan=true", "hardware=torchrec", "train.optimizer=rowwise_adagrad")
GPUS = (*PLAN, "hardware.device=cuda", "dataset=criteo_1tb", "train.batch_size=65536")
with_torchrec = pytest.mark.skipif(
    find_spec("torchrec") is None, reason="TorchRec is not installed (make setup-torchrec)"
)


def sizes(*words: str) -> tuple[int, ...]:
    return sizes_of(convert_command(TrainCommand, Composer("config").one(words).values).dataset).cardinalities


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("hardware.world=8",), "hardware.world=8: no world; allowed: machines x processes on each, as 8x8"),
        (("hardware.world=0x8",), "no world"),
        (("hardware.world=1024x8",), "4,096 processes at most"),
        (("hardware.memory_gib=0",), "hardware.memory_gib=0: not allowed; allowed: a number > 0 or null"),
        (("plan=yes please",), "plan=yes please: not allowed; allowed: true, false"),
        (("hardware.sharding=columns",), "allowed: auto, row_wise, table_wise"),
        (("hardware=cpu",), "plan=true: is for hardware=torchrec"),
        (("-m", "seed=1,2"), "leave out -m"),
        (("plan=false", "hardware.world=1x2"), "hardware.world=1x2: is for plan=true"),
        (("plan=false", "hardware.memory_gib=80"), "hardware.memory_gib=80.0: is for plan=true"),
        (("dataset=criteo", "dataset.cardinalities=[3,4]"), "needs 26 numbers, C1 first; here are 2"),
    ],
)
def test_mistakes(command: Command, workplace: Path, words: tuple[str, ...], reason: str) -> None:
    ended = command(*PLAN, *words)
    assert (ended.code, ended.err.count("\n")) == (cli.MISTAKE, 1), ended
    assert reason in ended.err
    assert list(workplace.iterdir()) == []


def test_without_torchrec(command: Command, monkeypatch: pytest.MonkeyPatch, workplace: Path) -> None:
    monkeypatch.setattr(torchrec, "_version", lambda name: None)
    ended = command(*GPUS, "hardware.world=1x8", "hardware.memory_gib=80")
    assert (ended.code, ended.err.count("\n")) == (cli.MISTAKE, 1)
    assert "torchrec is not installed; `make setup-torchrec` installs it" in ended.err
    assert list(workplace.iterdir()) == []


def test_sizes_are_known_before_the_data(workplace: Path) -> None:
    published = sizes("dataset=criteo_1tb")
    assert (len(published), sum(published), max(published)) == (26, 882_774_559 + 26, 292_775_615)
    assert sizes("dataset=criteo", f"dataset.cardinalities={[7] * 26}") == (8,) * 26
    assert len(sizes("dataset.shape=avazu")) == 21
    assert list(workplace.iterdir()) == []


@pytest.mark.usefixtures("criteo_file")
def test_sizes_are_those_of_the_prepared_data_once_there_are_any(command: Command, workplace: Path) -> None:
    raw = ("dataset=criteo_1tb", "dataset.raw=train.txt")
    assert max(sizes(*raw)) == 292_775_615
    assert command("prepare", *raw).code == cli.DONE
    own = sizes(*raw)
    assert max(own) < 500
    folder = next((workplace / "data/prepared").glob("criteo_1tb-*"))
    assert sizes("dataset=criteo", f"dataset.prepared={folder}") == own


def test_sizes_of_generated_rows_are_at_least_the_prepared_ones(command: Command, workplace: Path) -> None:
    words = ("dataset=synthetic", "dataset.rows=6000")
    before = sizes(*words)
    assert command("prepare", *words).code == cli.DONE
    after = sizes(*words)
    assert all(most >= found for most, found in zip(before, after, strict=True))
    assert after != before


@pytest.mark.usefixtures("criteo_file")
@pytest.mark.parametrize("raw", [(), ("dataset.raw=train.txt",)])
def test_sizes_that_nothing_says(command: Command, raw: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchrec, "check", lambda: None)
    before = sorted(Path.cwd().rglob("*"))
    ended = command(*PLAN, "dataset=criteo", *raw)
    assert (ended.code, ended.err.count("\n")) == (cli.MISTAKE, 1)
    assert "plan=true: dataset=criteo is not prepared yet" in ended.err
    assert sorted(Path.cwd().rglob("*")) == before


@with_torchrec
@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "state"),
    [
        *(pytest.param(name, state, marks=pytest.mark.more) for name, state in [("sgd", 0), ("adagrad", 1)]),
        *[("rowwise_adagrad", 1 / 64), ("adam", 2)],
    ],
)
def test_row_wise_tables_lie_evenly(command: Command, workplace: Path, optimizer: str, state: float) -> None:
    """A GPU holds at least its part of weights and state, and little more."""
    words = (*GPUS, f"train.optimizer={optimizer}", "hardware.sharding=row_wise", "emb=mlet", "emb.inner=64")
    ended = command(*words, "hardware.world=2x8", "hardware.memory_gib=80")
    assert ended.code == cli.DONE, ended.err
    found = re.search(r"a GPU holds ([\d,]+) to ([\d,]+)", ended.out)
    assert found is not None, ended.out
    least, most = (int(text.replace(",", "")) for text in found.groups())
    part = 882_774_585 * 64 * 4 * (1 + state) / 16
    assert part < least <= most < 1.01 * part
    assert len(re.findall(r"^C\d+ .* (?:row wise +all|table wise +process \d+) *$", ended.out, re.MULTILINE)) == 26
    assert f"{int(882_774_585 * 64 * 4 * (1 + state)):,} bytes" in ended.out
    assert list(workplace.iterdir()) == []


@with_torchrec
@pytest.mark.slow
def test_the_smallest_that_fits_does_and_less_does_not(command: Command, workplace: Path) -> None:
    words = (*GPUS, "train.optimizer=adam", "emb=mlet", "emb.inner=128", "emb.dim=128")
    refused = command(*words, "hardware.world=1x8", "hardware.memory_gib=80")
    assert (refused.code, refused.err.count("\n")) == (cli.MISTAKE, 1)
    found = re.search(r"hardware\.world=(\d+)x8 or hardware\.memory_gib=(\d+)", refused.err)
    assert found is not None, refused.err
    machines, gib = int(found[1]), int(found[2])

    def code(machines: int, gib: int) -> int:
        return command(*words, f"hardware.world={machines}x8", f"hardware.memory_gib={gib}").code

    assert (code(machines, 80), code(1, gib)) == (cli.DONE, cli.DONE)
    assert (code(machines - 1, 80), code(1, gib - 1)) == (cli.MISTAKE, cli.MISTAKE)
    assert list(workplace.iterdir()) == []


@with_torchrec
@pytest.mark.slow
def test_traffic_and_the_world_of_this_launch(command: Command, workplace: Path) -> None:
    ended = command(*PLAN, "dataset=synthetic", "train.batch_size=100", "emb=mlet", "emb.inner=8", "emb.dim=4")
    assert ended.code == cli.DONE, ended.err
    fetched = sum(min(100, rows) for rows in sizes("dataset=synthetic")) * 8 * 4
    assert "1 x 1 processes" in ended.out
    assert f"at most {2 * fetched:,} bytes of rows there and gradients back" in ended.out
    assert list(workplace.iterdir()) == []
