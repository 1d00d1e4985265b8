"""Modes with a search: two trainings in one run."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from mlet_bench import cli
from mlet_bench.training import trainer
from tests.commands.test_train import FILES, Command, result_of, words

PEP = ("emb=pep", "emb.ratio=0.4", "emb.min_rows=1", "model.dropout=0.2", "train.epochs=2")


@pytest.mark.usefixtures("criteo_file")
def test_stopped_in_the_search_and_after_it_goes_on_to_the_same_result(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = command(*words(*PEP, "hydra.run.dir=whole"))
    assert whole.code == cli.DONE
    step = trainer.step
    taken = []

    def interrupted(*given: Any) -> torch.Tensor:
        taken.append(1)
        if len(taken) in (5, 20):  # of 12 and 12
            signal.raise_signal(signal.SIGTERM)
        return step(*given)

    monkeypatch.setattr(trainer, "step", interrupted)
    stopped = [command(*words(*PEP, "hydra.run.dir=parts")) for _ in range(3)]
    assert [ended.code for ended in stopped] == [143, 143, cli.DONE]
    assert len(taken) == 24
    assert "resumed at step 5\n" in stopped[1].out
    assert "resumed at step 12\n" in stopped[2].out
    assert "resumed at step 8\n" in stopped[2].out
    assert {path.name for path in Path("parts").iterdir()} == FILES
    for part in ("metrics", "buckets", "collapse"):
        assert result_of("whole")[part] == result_of("parts")[part]
    for name in ("model.safetensors", "metrics.jsonl", "predictions.parquet"):
        assert (Path("whole") / name).read_bytes() == (Path("parts") / name).read_bytes()

    train, sizes = result_of("whole")["train"], result_of("whole")["collapse"]
    assert (train["steps"], train["search_steps"]) == (12, 12)
    assert 0 < train["search_seconds"] < train["seconds"]
    table = result_of("whole")["collapse"]["embedding_bytes_training"] / 2
    assert 0.39 * table < sizes["embedding_bytes_inference"] <= 0.4 * table
