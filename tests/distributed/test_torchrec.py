"""Several processes over tables that TorchRec holds: as one process, and nothing is lost when some of them die."""

import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from mlet_bench import cli, load_model
from tests.conftest import Ended, prepare
from tests.distributed.launcher import ROWS, TIMID, Forked, ended, launched, mlet_bench, ranks, relative, wait_for_state

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("torchrec") is None, reason="TorchRec is not installed (make setup-torchrec)"),
]
WORDS = (*ROWS, *TIMID, "emb=mlet", "emb.inner=16", "train.optimizer=rowwise_adagrad")
ROOT = Path(__file__).parents[2]


def equal_steps(processes: int, *prepared: Path) -> list[dict[str, Any]]:
    code, out, err = ended(launched(processes, "-m", "tests.distributed.equal_steps", *map(str, prepared)))
    assert code == 0, err
    found = [json.loads(line) for line in out.splitlines()]
    assert all(0 < line["held"] < line["of"] for line in found)
    return found


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """What two processes found, launched once: over random and generated rows, and Criteo's where they are."""
    place = tmp_path_factory.mktemp("rows")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        folders = [place / prepare("synthetic", rows=8_000).folder]
        with suppress(pytest.skip.Exception):  # whoever asks for them is skipped then
            raw = request.getfixturevalue("shared_data") / "criteo" / "train.txt"
            folders.append(place / prepare("criteo", raw).folder)
        patch.chdir(ROOT)
        return equal_steps(2, *folders)


def assert_an_epoch_comes_to_the_same(found: list[dict[str, Any]]) -> None:
    assert len(found) == 8
    assert max(max(line["tables"], line["network"]) for line in found) < 1e-5
    assert all(abs(line["auc"] - line["auc_of_several"]) < 5e-4 for line in found), found
    assert len({line["auc"] for line in found}) == 8  # no two cases are the same


@pytest.mark.more
def test_every_case_of_two_processes_trains_as_one(of_two: list[dict[str, Any]]) -> None:
    found = [line for line in of_two if line["rows"] == "random"]
    assert len(found) == 18
    assert max(max(line["tables"], line["network"], line["whole"]) for line in found) < 1e-5
    assert_an_epoch_comes_to_the_same([line for line in of_two if line["rows"] == "synthetic"])


@pytest.mark.more
def test_two_processes_train_as_one_on_real_rows(shared_data: Path, of_two: list[dict[str, Any]]) -> None:
    assert_an_epoch_comes_to_the_same([line for line in of_two if line["rows"] == "criteo"])


@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=pytest.mark.more)])
def test_processes_train_as_one(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that do not divide, a field of one category, and a last batch of which all but one process have nothing."""
    monkeypatch.chdir(ROOT)
    found = equal_steps(processes)
    assert len(found) == 5
    assert max(max(line["tables"], line["network"], line["whole"]) for line in found) < 1e-5


def test_killed_processes_are_gone_on_from_by_others(command: Callable[..., Ended], workplace: Path) -> None:
    """One of two is killed; three go on; what they leave is one process's, and is read as any run's."""
    words = ("train", *WORDS, "train.batch_size=250", "train.eval_every=null")
    assert command(*words, "hydra.run.dir=alone").code == cli.DONE
    words = (*words, "hardware=torchrec", "hydra.run.dir=run", "train.checkpoint_minutes=0.001")
    going = mlet_bench(2, *words)
    wait_for_state("run", 4)
    os.kill(ranks("run")[1], signal.SIGKILL)
    code, _, err = ended(going, 60)
    assert code == 1
    said = [line for line in err.splitlines() if line.startswith("mlet-bench: ")]
    assert len(said) <= 1  # the launcher may stop the others first
    assert not Path("run/DONE").exists()

    ends = Forked(3, list(words), workplace).ended()
    assert [end.code for end in ends] == [0, 0, 0], ends
    assert ends[0].out.count("resumed at step") == 1
    alone, ours = (json.loads(Path(folder, "result.json").read_text()) for folder in ("alone", "run"))
    for split in ("valid", "test"):
        assert ours["metrics"][split]["auc"] == pytest.approx(alone["metrics"][split]["auc"], abs=5e-4)
    assert ours["collapse"]["parameters_training"] == alone["collapse"]["parameters_training"]
    assert ours["collapse"]["embedding_bytes_inference"] == alone["collapse"]["embedding_bytes_inference"]
    assert not Path("run/checkpoint").exists()
    one, other = load_model("alone").state_dict(), load_model("run").state_dict()
    assert {name: value.shape for name, value in one.items()} == {name: value.shape for name, value in other.items()}
    assert max(relative(weight, other[name]) for name, weight in one.items()) < 1e-5
    assert command("evaluate", "run=run", "hydra.run.dir=again").code == cli.DONE
    again = json.loads(Path("again/evaluation.json").read_text())
    assert again["metrics"]["auc"] == pytest.approx(ours["metrics"]["test"]["auc"], abs=1e-6)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["emb=qr"], "allowed: single, mlet, hash"),
        (["emb.l2=0.1"], "within the backward pass"),
        (["train.clip_norm=1.0"], "allowed: null"),
        (["train.optimizer=adam"], "allowed with hardware.device=cpu: sgd, adagrad, rowwise_adagrad"),
        (["emb.dim=6"], "a multiple of 4"),
        (["model=fm"], "first-order weights"),
    ],
)
def test_what_cannot_be_sharded_is_refused_in_one_line(
    command: Callable[..., Ended], words: list[str], reason: str, workplace: Path
) -> None:
    found = command("train", "hardware=torchrec", "train.optimizer=sgd", *words)
    assert found.code == cli.MISTAKE
    assert reason in found.err
    assert found.err.count("\n") == 1
    assert not list(workplace.iterdir())


@pytest.mark.more
def test_a_mistake_is_said_once_and_makes_nothing(workplace: Path) -> None:
    code, _, err = ended(mlet_bench(2, "train", "hardware=torchrec", "model=dlmr"))
    assert code == 1
    assert len([line for line in err.splitlines() if line.startswith("mlet-bench: ")]) == 1
    assert "Did you mean dlrm?" in err
    assert not list(workplace.iterdir())
