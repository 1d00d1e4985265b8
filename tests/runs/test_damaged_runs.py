"""Every file that a command reads back, harmed: it is noticed in one line, or mended and said; results never differ."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mlet_bench import cli
from mlet_bench.errors import UserError
from mlet_bench.runs.run_folder import RunFolder
from mlet_bench.training import trainer
from tests.conftest import TINY, Ended, criteo_cells, write_criteo
from tests.damage import DAMAGE, NAMES, copied
from tests.outcomes import Outcome, outcome

Command = Callable[..., Ended]
Count = Callable[..., None]
TRAIN = ("train", "dataset=criteo", "dataset.raw=train.txt", *TINY, "hydra.run.dir=run", "hardware.threads=1",
         "train.checkpoint_minutes=0.00001", "train.eval_every=2")  # fmt: skip
RUN_FILES = ("result.json", "model.safetensors", "predictions.parquet", "config.yaml", "metrics.jsonl", "DONE")
DATA_FILES = ("manifest.json", "vocab/C1.parquet", "train/part-00000.parquet", "valid/part-00000.parquet",
              "test/part-00000.parquet")  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A working folder with a finished run in it, and what it came to."""
    place = tmp_path_factory.mktemp("finished")
    write_criteo(place / "train.txt", criteo_cells(420))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert cli.main([*TRAIN]) == cli.DONE
    return place, outcome(place)


def assert_one_line(ended: Ended, *named: str) -> None:
    assert ended.code == cli.MISTAKE, ended
    assert ended.err.count("\n") == 1, ended.err
    assert all(name in ended.err for name in named), ended.err


@pytest.mark.parametrize("damage", NAMES)
@pytest.mark.parametrize("name", RUN_FILES)
def test_file_of_a_finished_run(
    command: Command, workplace: Path, finished: tuple[Path, Outcome], tally: Count, name: str, damage: str
) -> None:
    copied(finished[0], workplace)
    rows = [line for line in command(*TRAIN).out.splitlines() if line]
    assert command("evaluate", "run=run", "hydra.run.dir=evaluated").code == cli.DONE
    evaluated = Path("evaluated/evaluation.json").read_bytes()
    tally("damages tried")
    DAMAGE[damage](Path("run") / name)
    ends = {
        "train": command(*TRAIN),
        "evaluate": command("evaluate", "run=run", "hydra.run.dir=evaluated"),
        "report": command("report", "runs=run", "hydra.run.dir=report"),
    }
    for ended in ends.values():
        assert ended.code in (cli.DONE, cli.MISTAKE), ended
        assert ended.err.count("\n") == (ended.code == cli.MISTAKE), ended
    if ends["train"].code == cli.DONE:
        assert [line for line in ends["train"].out.splitlines() if line] == rows
    if ends["evaluate"].code == cli.DONE:
        assert Path("evaluated/evaluation.json").read_bytes() == evaluated
    said = "".join(ended.out + ended.err for ended in ends.values())
    if (name, damage) == ("predictions.parquet", "flip"):  # of a single run nothing reads them
        with pytest.raises(UserError, match=name):
            RunFolder(Path("run")).check(name)
    elif name != "DONE" or damage not in ("flip", "empty"):  # of another file; as in earlier versions
        assert name in said
    tally("damages noticed or without effect")


@pytest.mark.parametrize("name", ["result.json", "model.safetensors"])
def test_damaged_run_is_made_anew(command: Command, workplace: Path, finished: tuple[Path, Outcome], name: str) -> None:
    copied(finished[0], workplace)
    DAMAGE["cut"](Path("run") / name)
    assert_one_line(command(*TRAIN), name, "rerun=true")
    assert command(*TRAIN, "rerun=true").code == cli.DONE
    assert outcome(workplace) == finished[1]


@pytest.mark.parametrize("damage", NAMES)
@pytest.mark.parametrize("name", DATA_FILES)
def test_file_of_prepared_data(
    command: Command, workplace: Path, finished: tuple[Path, Outcome], tally: Count, name: str, damage: str
) -> None:
    copied(finished[0], workplace)
    (prepared,) = Path("data/prepared").iterdir()
    tally("damages tried")
    DAMAGE[damage](prepared / name)
    assert_one_line(
        command(*TRAIN, "hydra.run.dir=other", "seed=2"),
        name.split("/")[0],
        *["prepare it again"] * (damage != "folder"),
    )
    assert_one_line(command("prepare", *TRAIN[1:3], "verify=true"), name.split("/")[0])
    tally("damages noticed or without effect")


@pytest.mark.parametrize("damage", NAMES)
def test_memory_of_md5(
    command: Command, workplace: Path, finished: tuple[Path, Outcome], tally: Count, damage: str
) -> None:
    copied(finished[0], workplace)
    command("prepare", *TRAIN[1:3])  # of a raw file that is at another place now
    tally("damages tried")
    DAMAGE[damage](Path("data/raw-md5.json"))
    ended = command("prepare", *TRAIN[1:3])
    assert (ended.code, len(list(Path("data/prepared").iterdir()))) == (cli.DONE, 1) or ended.err.count("\n") == 1
    tally("damages noticed or without effect")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, finished: tuple[Path, Outcome]) -> Path:
    """A working folder with a run that was stopped in the middle, two checkpoints behind it."""
    place = copied(finished[0], tmp_path_factory.mktemp("stopped"))
    step, taken = trainer.step, []

    def interrupted(*given: Any) -> torch.Tensor:
        taken.append(1)
        if len(taken) == 5:
            signal.raise_signal(signal.SIGINT)
        return step(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(trainer, "step", interrupted)
        assert cli.main([*TRAIN, "rerun=true"]) == 130
    return place


CHECKPOINT_FILES = ("state-{}.json", "state-{}.safetensors", "best-{}.safetensors")


@pytest.mark.parametrize("damage", NAMES)
@pytest.mark.parametrize("kind", CHECKPOINT_FILES)
def test_checkpoint(
    command: Command, workplace: Path, finished: tuple[Path, Outcome], stopped: Path, tally: Count, kind: str,
    damage: str,
) -> None:  # fmt: skip
    copied(stopped, workplace)
    newest = sorted(Path("run/checkpoint").glob(kind.format("*")))[-1]
    tally("damages tried")
    DAMAGE[damage](newest)
    ended = command(*TRAIN)
    assert (ended.code, ended.err) == (cli.DONE, "")
    assert ended.out.count("checkpoint not used") >= 1
    assert newest.name in ended.out
    assert outcome(workplace) == finished[1]
    tally("damages noticed or without effect")


def test_other_kinds_of_things_in_a_run_folder(command: Command, workplace: Path, stopped: Path) -> None:
    copied(stopped, workplace)
    for path in Path("run/checkpoint").iterdir():
        path.unlink()
    Path("run/checkpoint").rmdir()
    Path("run/checkpoint").touch()
    assert_one_line(command(*TRAIN), "checkpoint", "remove it")
