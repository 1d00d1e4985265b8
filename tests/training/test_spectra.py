"""spectra.jsonl in whole runs: what it says, that it changes nothing, and that nothing is lost when a run stops."""

import functools
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mlet_bench.commands import train as recipe
from mlet_bench.config import TrainCommand, convert_command
from mlet_bench.config.compose import Composer
from mlet_bench.errors import Interrupted, RunFailedError
from mlet_bench.models import CTRModel
from mlet_bench.report.console.progress import ProgressConsole, make_console
from mlet_bench.system import signals
from mlet_bench.training import trainer
from mlet_bench.training.memory import plan
from mlet_bench.training.optimizers import Optimizers
from mlet_bench.training.spectra import Spectra
from mlet_bench.training.step import step
from tests.commands.test_train import config_of, result_of, words
from tests.models.small import ALL, rows, small_model
from tests.training.test_optimizers import emb_config, train_config

TRACED = ("single", "mlet", "hash")
"""The last one with emb.inner: two layers over rows that ids share."""

composed = functools.cache(config_of)
pytestmark = pytest.mark.usefixtures("criteo_file")


def run(folder: str, mode: str, spectra: bool = True, dropout: float = 0.0, **train: Any) -> None:
    """A finished run, or what is missing of it."""
    config = composed(f"emb={mode}", "emb.inner=8", f"model.dropout={dropout}", "hardware.threads=1")
    given = {"epochs": 2, "patience": None, "spectra": spectra, **train}
    config = config.model_copy(update={"train": config.train.model_copy(update=given)})
    recipe.run(config, folder, ProgressConsole(make_console()))


def lines(folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(folder) / "spectra.jsonl").read_text().splitlines()]


def movements(folder: str) -> list[dict[str, Any]]:
    return [one["movement"] for line in lines(folder)[:-1] for one in line["fields"].values()]


@pytest.mark.parametrize("mode", TRACED)
def test_looking_changes_nothing(mode: str) -> None:
    for folder, spectra in (("off", False), ("on", True)):
        run(folder, mode, spectra, dropout=0.2, plateau_factor=0.5)
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
    assert "spectra" not in older.train.model_copy(update={"spectra": True}).not_in_fingerprint


@pytest.mark.parametrize("mode", TRACED)
def test_a_line_for_the_start_and_every_evaluation(mode: str) -> None:
    run("run", mode, optimizer="sgd", lr=0.1)
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
        assert one["singular_values"].keys() == ({"E"} if mode == "single" else {"E", "W1", "W2"})
    for moved in movements("run"):
        assert moved["cosine"] == pytest.approx(1, abs=1e-4)
        assert moved["error"] < 1e-2  # float32 weights
        assert moved["error"] <= moved["first_order_error"] + 1e-4
        assert mode != "single" or moved["absent_share"] == 0


@pytest.mark.parametrize("mode", TRACED)
def test_only_exact_adam_moves_absent_rows_of_a_standard_embedding(mode: str) -> None:
    for update in ("lazy", "exact"):
        run(update, mode, update=update)
        for moved in movements(update):
            assert moved["error"] is None
            assert moved["first_order_error"] is None
            assert -1 <= moved["cosine"] < 0.99
        later = [one["movement"] for line in lines(update)[1:-1] for one in line["fields"].values()]
        moves = [moved["absent_rms"] > 0 for moved in later if moved["absent_rows"] > 1]
        assert moves
        assert all(moves) if (mode, update) != ("single", "lazy") else not any(moves)


@pytest.mark.parametrize("stop", [2, 7, 12])
def test_a_stopped_run_loses_and_doubles_no_line(monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    """Evaluations stand after steps 2, 3, 5 and 6 of every six; the run stops after `stop` steps, 12 being the last."""
    run("whole", "mlet")
    taken = []

    def counted(*given: Any) -> torch.Tensor:
        taken.append(1)
        return step(*given)

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "step", counted)
        patched.setattr(signals, "requested", lambda: signal.SIGINT if len(taken) == stop else None)
        with pytest.raises(Interrupted):
            run("parts", "mlet")
    run("parts", "mlet")
    assert Path("whole/spectra.jsonl").read_bytes() == Path("parts/spectra.jsonl").read_bytes()


def test_a_torn_line_is_written_again() -> None:
    spectra, model = looked_at("dlrm")
    spectra.begin(5, 0.5, 0.1)
    spectra.finish()
    whole = Path("spectra.jsonl").read_text()
    assert [line["step"] for line in lines(".")] == [0, 5]
    for torn in (whole, whole[:-20], whole.splitlines()[0] + "\n{}\n"):
        Path("spectra.jsonl").write_text(torn)
        spectra.keep_before(5)
        spectra.begin(5, 0.5, 0.1)
        spectra.finish()
        assert Path("spectra.jsonl").read_text() == whole
    spectra.keep_before(0)
    assert lines(".") == []
    assert not model.embedding._forward_hooks


def looked_at(name: str) -> tuple[Spectra, CTRModel]:
    """A first line with the first step of a small model."""
    model = small_model(name, 3, 2, factorised=True).train()
    optimizers = Optimizers(model, train_config(optimizer="sgd", lr=0.1), emb_config("mlet"))
    spectra = Spectra(model, ["a", "b", "c"], "sgd", Path("spectra.jsonl"))
    spectra.begin(0, 0.0, optimizers.emb_lr)
    step(model, optimizers, (*rows(8, 3, 2), torch.arange(8) % 2.0), lambda name, value: None)
    spectra.finish()
    spectra.finish()  # nothing was begun: nothing is written
    return spectra, model


@pytest.mark.parametrize("name", ALL)
def test_every_model_is_looked_at(name: str) -> None:
    looked_at(name)
    (line,) = lines(".")
    assert list(line["fields"]) == ([] if name == "lr" else ["a", "b", "c"])
    for one in line["fields"].values():
        assert one["movement"]["error"] < 1e-4


def test_what_diverges_fails_as_it_does_without() -> None:
    with pytest.raises(RunFailedError, match=r"the loss is|logloss on validation"):
        run("run", "mlet", optimizer="sgd", lr=1e30)
    assert "NaN" not in Path("run/spectra.jsonl").read_text()


def test_the_plan_counts_the_copy() -> None:
    config = composed("emb=mlet")
    for spectra, copy in ((False, 0), (True, 4 * (53 * 64 + 2 * 64 * 4))):
        train = config.train.model_copy(update={"spectra": spectra})
        assert plan(config.model, config.emb, train, [50, 3], 13).spectra == copy
