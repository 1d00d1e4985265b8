"""spectra.jsonl in whole runs: what it says, that it changes nothing, and that nothing is lost when a run stops."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mlet_bench import cli, experiment
from mlet_bench.compose import Composer
from mlet_bench.config import TrainCommand, convert_command
from mlet_bench.embedding import MODES
from mlet_bench.memory import plan
from mlet_bench.report.live import Live, make_console
from mlet_bench.training import loop
from mlet_bench.training.optimisers import Optimisers
from mlet_bench.training.spectra import Spectra
from mlet_bench.training.step import step
from tests.conftest import Ended
from tests.models.small import ALL, rows, small_model
from tests.test_experiment import config_of, result_of, words
from tests.training.test_optimisers import emb_config, train_config

Command = Callable[..., Ended]
pytestmark = pytest.mark.usefixtures("criteo_file")


def lines(folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(folder) / "spectra.jsonl").read_text().splitlines()]


def movements(folder: str) -> list[dict[str, Any]]:
    return [one["movement"] for line in lines(folder)[:-1] for one in line["fields"].values()]


@pytest.mark.parametrize("mode", MODES)
def test_looking_changes_nothing(command: Command, mode: str) -> None:
    more = [f"emb={mode}", "model.dropout=0.2", "train.epochs=2", "train.plateau_factor=0.5"]
    command(*words(*more, "hydra.run.dir=off"))
    assert command(*words(*more, "train.spectra=true", "hydra.run.dir=on")).code == cli.DONE
    for part in ("metrics", "buckets", "collapse"):
        assert result_of("off")[part] == result_of("on")[part]
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (Path("off") / name).read_bytes() == (Path("on") / name).read_bytes()
    assert {path.name for path in Path("on").iterdir()} - {path.name for path in Path("off").iterdir()} == {
        "spectra.jsonl"}  # fmt: skip


def test_off_it_is_no_part_of_the_fingerprint() -> None:
    values = Composer("config").one(words()[1:]).values
    del values["train"]["spectra"]  # as runs of before have it
    older = convert_command(TrainCommand, values)
    assert older.train.not_in_fingerprint == {"checkpoint_minutes", "shuffle_gb", "spectra"}
    assert "spectra" not in config_of("train.spectra=true").train.not_in_fingerprint


@pytest.mark.parametrize("mode", MODES)
def test_a_line_for_the_start_and_every_evaluation(command: Command, mode: str) -> None:
    command(*words(f"emb={mode}", "emb.inner=6", "train.spectra=true", "train.epochs=2", "hydra.run.dir=run",
                   "train.patience=null", "train.optimizer=sgd", "train.lr=0.1"))  # fmt: skip
    found, metrics = lines("run"), [json.loads(one) for one in Path("run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in found] == [0, *(one["step"] for one in metrics)]
    assert [line["epoch"] for line in found] == [0, *(one["epoch"] for one in metrics)]
    assert all(len(line["fields"]) == 26 and line["lr"] == 0.1 for line in found)
    assert {one["movement"] is None for one in found[-1]["fields"].values()} == {True}
    (best,) = (line for line in found if line["step"] == result_of("run")["train"]["best_step"])
    weights = load_file("run/model.safetensors")
    bounds = weights["embedding.fields.offsets"]
    for field, one in enumerate(best["fields"].values()):
        table_ND = weights["embedding.table.weight"][bounds[field] : bounds[field + 1]]
        expected = np.linalg.svd(table_ND.numpy().astype(float), compute_uv=False)
        assert one["rows"] == len(table_ND)
        np.testing.assert_allclose(one["singular_values"]["E"], expected, rtol=1e-5, atol=1e-7)
        assert one["singular_values"].keys() == ({"E", "W1", "W2"} if mode == "mlet" else {"E"})
    for moved in movements("run"):
        assert moved["cosine"] == pytest.approx(1, abs=1e-4)
        assert moved["error"] < 1e-2  # float32 weights
        assert moved["error"] <= moved["first_order_error"] + 1e-4
        assert mode == "mlet" or moved["absent_share"] == 0


@pytest.mark.parametrize("mode", MODES)
def test_only_exact_adam_moves_absent_rows_of_a_single_table(command: Command, mode: str) -> None:
    for update in ("lazy", "exact"):
        command(*words(f"emb={mode}", "train.spectra=true", f"train.update={update}", f"hydra.run.dir={update}"))
        for moved in movements(update):
            assert moved["error"] is None
            assert moved["first_order_error"] is None
            assert -1 <= moved["cosine"] < 0.99
        later = [one["movement"] for line in lines(update)[1:-1] for one in line["fields"].values()]
        moves = [moved["absent_rms"] > 0 for moved in later if moved["absent_rows"] > 1]
        assert moves
        assert all(moves) if (mode, update) != ("single", "lazy") else not any(moves)


@pytest.mark.parametrize("stop", [2, 7, 12])
def test_a_stopped_run_loses_and_doubles_no_line(command: Command, monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    """Evaluations stand after steps 2, 3, 5 and 6 of every six; the run stops after `stop` steps, 12 being the last."""
    more = ["emb=mlet", "train.epochs=2", "train.spectra=true", "train.patience=null"]
    command(*words(*more, "hydra.run.dir=whole"))
    taken = []

    def interrupted(*given: Any) -> torch.Tensor:
        taken.append(1)
        if len(taken) == stop:
            signal.raise_signal(signal.SIGINT)
        return step(*given)

    monkeypatch.setattr(loop, "step", interrupted)
    assert command(*words(*more, "hydra.run.dir=parts")).code == 130
    monkeypatch.setattr(loop, "step", step)
    assert command(*words(*more, "hydra.run.dir=parts")).code == cli.DONE
    assert Path("whole/spectra.jsonl").read_bytes() == Path("parts/spectra.jsonl").read_bytes()


def test_a_torn_line_is_written_again(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    more = ["emb=mlet", "train.spectra=true"]
    command(*words(*more, "hydra.run.dir=whole"))

    def killed(*given: Any) -> torch.Tensor:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        experiment.run(config_of(*more), "torn", Live(make_console()))
    monkeypatch.setattr(loop, "step", step)
    Path("torn/spectra.jsonl").write_text('{"step": 0, "epo')
    assert command(*words(*more, "hydra.run.dir=torn")).code == cli.DONE
    assert Path("whole/spectra.jsonl").read_bytes() == Path("torn/spectra.jsonl").read_bytes()


@pytest.mark.parametrize("name", ALL)
def test_every_model_is_looked_at(name: str) -> None:
    model = small_model(name, 3, 2, factorised=True).train()
    optimisers = Optimisers(model, train_config(optimizer="sgd", lr=0.1), emb_config("mlet"))
    spectra = Spectra(model, ["a", "b", "c"], "sgd", Path("spectra.jsonl"))
    spectra.begin(0, 0.0, optimisers.emb_lr)
    step(model, optimisers, (*rows(8, 3, 2), torch.arange(8) % 2.0), lambda name, value: None)
    spectra.finish()
    spectra.finish()  # nothing was begun: nothing is written
    (line,) = lines(".")
    assert list(line["fields"]) == ([] if name == "lr" else ["a", "b", "c"])
    for one in line["fields"].values():
        assert one["movement"]["error"] < 1e-4


def test_what_diverges_fails_as_it_does_without(command: Command) -> None:
    ended = command(*words("train.optimizer=sgd", "train.lr=1e30", "train.epochs=5", "hydra.run.dir=run", "emb=mlet",
                           "train.spectra=true"))  # fmt: skip
    assert ended.code == cli.FAILED
    assert "the loss is" in ended.err or "logloss on validation" in ended.err
    assert "NaN" not in Path("run/spectra.jsonl").read_text()


def test_the_plan_counts_the_copy() -> None:
    def planned(*more: str) -> int:
        config = config_of("emb=mlet", *more)
        return plan(config.model, config.emb, config.train, [50, 3], 4).spectra

    assert planned() == 0
    assert planned("train.spectra=true") == 4 * (53 * 64 + 2 * 64 * 4)
