"""Sweeps: nothing is done twice, nothing that fails stops the others, and several jobs at once."""

import signal
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from mlet_bench import cli
from mlet_bench.training import loop
from tests.conftest import TINY, Ended

Command = Callable[..., Ended]
WORDS = ("train", "-m", "dataset=criteo", "dataset.raw=train.txt", *TINY, "hardware.threads=1", "emb=mlet")


@pytest.mark.usefixtures("criteo_file")
def test_stopped_sweep_goes_on(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    step, taken = loop.step, []

    def interrupted(*given: Any) -> torch.Tensor:
        taken.append(1)
        if len(taken) == 9:  # in the second job of six steps each
            signal.raise_signal(signal.SIGINT)
        return step(*given)

    monkeypatch.setattr(loop, "step", interrupted)
    stopped = command(*WORDS, "emb.inner=3,5,7")
    assert (stopped.code, stopped.err.count("\n")) == (130, 1)
    assert "the same command goes on" in stopped.err
    again = command(*WORDS, "emb.inner=3,5,7")
    assert again.code == cli.DONE
    assert again.out.count("finished before") == 1
    assert len(taken) == 3 * 6  # no step was taken twice
    assert len(list(Path("outputs/criteo/dlrm/mlet").glob("*/DONE"))) == 3


@pytest.mark.usefixtures("criteo_file")
def test_failed_job_is_listed_with_its_error(command: Command) -> None:
    ended = command(*WORDS, "train.optimizer=sgd", "train.lr=0.1,1e30", "train.epochs=2")
    assert ended.code == cli.FAILED
    assert "2 jobs, 1 failed" in ended.out
    assert "failed: the loss is" in ended.out
    assert len(list(Path("outputs/criteo/dlrm/mlet").glob("*/DONE"))) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("criteo_file")
def test_several_jobs_at_once(command: Command) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="the extra joblib brings it")
    alone = command("train", *WORDS[2:], "emb.inner=3")
    assert alone.code == cli.DONE
    ended = command(*WORDS, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "emb.inner=0,3,5,7")
    assert ended.code == cli.FAILED
    assert "4 jobs, 1 failed" in ended.out
    assert "failed: emb.inner=0" in ended.out
    assert len(list(Path("outputs/criteo/dlrm/mlet").glob("*/DONE"))) == 3
    assert len(list(Path("outputs/criteo/dlrm/mlet").iterdir())) == 3


def test_launcher_that_is_not_there_is_named_with_its_extra(command: Command, workplace: Path) -> None:
    if find_spec("hydra_plugins") and find_spec("hydra_plugins.hydra_ray_launcher"):
        pytest.skip("it is there")
    ended = command("train", "-m", "hydra/launcher=ray", "seed=1,2")
    assert ended.code == cli.MISTAKE
    assert "mlet-bench[ray]" in ended.err
    assert list(workplace.iterdir()) == []
