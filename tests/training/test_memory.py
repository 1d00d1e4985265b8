"""The memory plan against the sizes of what is then built."""

import pytest
import torch

from mlet_bench import models
from mlet_bench.commands.help_text import choices
from mlet_bench.config import TrainCommand, convert_command
from mlet_bench.config.compose import Composer
from mlet_bench.embedding import build
from mlet_bench.errors import UserError
from mlet_bench.training.memory import MemoryPlan, plan
from mlet_bench.training.optimizers import Optimizers
from tests.counts import every

CARDINALITIES, NUMERIC = [50, 3, 700], 4


@pytest.mark.parametrize("mode", ["single", "mlet", "hash"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adagrad", "rowwise_adagrad"])
@pytest.mark.parametrize("name", every(3, choices("model")))
def test_weights_and_optimiser_state_are_what_is_built(name: str, optimizer: str, mode: str) -> None:
    words = [f"model={name}", f"emb={mode}", "emb.dim=6", f"train.optimizer={optimizer}"]
    config = convert_command(TrainCommand, Composer("config").one(words).values)
    before = torch.get_rng_state()
    planned = plan(config.model, config.emb, config.train, CARDINALITIES, NUMERIC)
    assert torch.equal(before, torch.get_rng_state())
    embedding = build(config.emb, CARDINALITIES, torch.ones(sum(CARDINALITIES), dtype=torch.bool))
    model = models.build(config.model, embedding, NUMERIC)
    assert planned.weights == 4 * sum(p.numel() for p in model.parameters())
    optimizers = Optimizers(model, config.train, config.emb)
    ids_BF = torch.stack([torch.randint(size, (32,)) for size in CARDINALITIES], 1)
    model(ids_BF, torch.randn(32, NUMERIC)).sum().backward()
    optimizers.step()
    kept = sum(value.numel() for name, value in optimizers.state().items() if not name.endswith(("step", "steps")))
    assert planned.optimizer == 4 * kept


def test_exact_adam_needs_gradients_of_whole_tables() -> None:
    def gradients(*words: str) -> int:
        config = convert_command(TrainCommand, Composer("config").one(["model=dcn", *words]).values)
        return plan(config.model, config.emb, config.train, CARDINALITIES, NUMERIC).gradients

    tables = 4 * 16 * sum(CARDINALITIES)
    lazy = gradients()
    assert gradients("train.update=exact") == lazy + tables
    assert gradients("train.update=exact", "train.optimizer=sgd") == gradients("train.optimizer=sgd")


def test_what_does_not_fit_is_refused_with_the_bytes() -> None:
    small = MemoryPlan(weights=10, gradients=10, optimizer=20, batch=5, rows=1, evaluation=20)
    assert small.bytes == 46
    small.check(torch.device("cpu"))
    large = MemoryPlan(weights=10**15, gradients=0, optimizer=0, batch=0, rows=0, evaluation=10**15)
    with pytest.raises(
        UserError, match=r"2,000,000,000,000,000 bytes of memory \(weights 1,000,000,000,000,000, evalu"
    ):
        large.check(torch.device("cpu"))


def test_a_network_that_does_not_fit_is_planned_without_being_built() -> None:
    config = convert_command(TrainCommand, Composer("config").one(["model=dcn", "emb.dim=100000000"]).values)
    with pytest.raises(UserError, match="bytes of memory"):
        plan(config.model, config.emb, config.train, CARDINALITIES, NUMERIC).check(torch.device("cpu"))


def test_a_gpus_step_is_planned_on_the_path_that_it_takes() -> None:
    """There AutoInt keeps the attention weights of the whole batch, and a row is read for each place."""
    config = convert_command(TrainCommand, Composer("config").one(["model=autoint", "emb=mlet"]).values)
    wide = [50] * 26
    cpu, gpu = (plan(config.model, config.emb, config.train, wide, 13, device=device) for device in ("cpu", "cuda"))
    settings = config.model.settings
    weights = settings["attention_layers"] * settings["attention_heads"] * (26 + 13) ** 2
    assert gpu.batch - cpu.batch >= 4 * config.train.batch_size * weights
    assert (cpu.weights, cpu.optimizer, cpu.evaluation) == (gpu.weights, gpu.optimizer, gpu.evaluation)
