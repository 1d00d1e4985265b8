"""Composition: a user's own configs, sweeps, and what may not be instantiated."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mlet_bench import cli, models
from mlet_bench.commands.help_text import choices
from mlet_bench.config import DATASETS, ModelSection, TrainCommand, convert_command
from mlet_bench.config.compose import Composer
from mlet_bench.embedding import SingleEmbedding
from mlet_bench.errors import UserError
from mlet_bench.models import build
from mlet_bench.system.shipped import shipped
from tests.conftest import Ended


def test_config_dir_of_the_user_wins(workplace: Path) -> None:
    folder = workplace / "mine" / "emb"
    folder.mkdir(parents=True)
    text = (shipped() / "emb" / "mlet.yaml").read_text()
    (folder / "mlet.yaml").write_text(text.replace("inner: 64", "inner: 7"))
    (folder / "wide.yaml").write_text(text.replace("dim: 16", "dim: 99"))
    composer = Composer("config", workplace / "mine")
    assert composer.one(["emb=mlet"]).values["emb"]["inner"] == 7
    assert composer.one(["emb=wide"]).values["emb"]["dim"] == 99
    assert Composer("config").one(["emb=mlet"]).values["emb"]["inner"] == 64


@pytest.mark.parametrize("group", ["dataset", "model", "emb", "hardware", "train"])
def test_every_shipped_choice_composes(group: str) -> None:  # every experiment runs a step in test_experiment.py
    for choice in choices(group):
        values = Composer("config").one([f"{group}={choice}"]).values
        assert isinstance(convert_command(TrainCommand, values), TrainCommand)


def test_shipped_defaults_are_those_of_the_contract() -> None:
    config = convert_command(TrainCommand, Composer("config").one([]).values)
    assert (config.dataset.name, config.model.name, config.emb.mode) == ("synthetic", "dlrm", "single")
    assert (config.emb.dim, config.emb.inner, config.hardware.device, config.seed) == (16, None, "cpu", 1)
    mlet = convert_command(TrainCommand, Composer("config").one(["emb=mlet"]).values)
    assert mlet.emb.inner == 64


@pytest.mark.parametrize("reader", DATASETS)
def test_data_set_files_hold_exactly_the_keys_of_their_schema(reader: str) -> None:
    named = [yaml.safe_load((shipped() / "dataset" / f"{name}.yaml").read_text()) for name in choices("dataset")]
    for values in named:
        if values["reader"] == reader:
            assert set(values) == set(DATASETS[reader].model_fields)


def test_sweep_expands_in_hydras_order() -> None:
    jobs = Composer("config").jobs(["emb=single,mlet", "emb.inner=3,5"])
    assert [(job.values["emb"]["mode"], job.values["emb"]["inner"]) for job in jobs] == [
        ("single", 3), ("single", 5), ("mlet", 3), ("mlet", 5)
    ]  # fmt: skip


@pytest.mark.parametrize("override", ["hydra.launcher._target_=os.system", "hydra.sweeper._target_=builtins.eval"])
def test_sweep_instantiates_nothing_but_the_known_launchers(override: str, workplace: Path) -> None:
    with pytest.raises(UserError, match=r"hydra\.(launcher|sweeper)"):
        Composer("config").sweep([override, "seed=1,2"], lambda config: None)
    assert list(workplace.iterdir()) == []


def test_sweep_refuses_callbacks() -> None:
    with pytest.raises(UserError, match="callbacks"):
        Composer("config").sweep(["+hydra.callbacks.x._target_=os.system", "seed=1"], lambda config: None)


def test_run_folder_is_no_part_of_the_values() -> None:
    composed = Composer("config").one(["hydra.run.dir=/tmp/x"])
    assert (composed.run_dir, composed.run_dir_given) == ("/tmp/x", True)
    assert "hydra" not in composed.values
    assert Composer("config").one([]).run_dir == "outputs/{dataset}/dlrm/single/seed1-{fingerprint}"


@pytest.mark.parametrize("name", ["hydra._internal.hydra", "hydra._internal.core_plugins.basic_sweeper"])
def test_a_hydra_without_what_is_used_of_it_is_named_in_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mlet_bench.config.hydra_internals")
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"hydra-core \S+ is not what mlet-bench was made for .*pip install"):
        importlib.import_module("mlet_bench.config.hydra_internals")


AVAZU = ("dlrm", "widedeep", "deepfm", "xdeepfm", "dcn", "autoint", "nfm")
PAPER = ["criteo_dlrm", *(f"avazu_{model}" for model in AVAZU)]


@pytest.mark.parametrize("name", PAPER)
def test_an_experiment_of_the_paper_has_its_protocol_on_any_data_set(name: str) -> None:
    words = [f"experiment=paper/{name}", "dataset=synthetic", "emb=mlet", "emb.inner=64", "emb.dim=4"]
    config = convert_command(TrainCommand, Composer("config").one(words).values)
    assert (config.reference, config.dataset.name, config.train.epochs) == (name, "synthetic", 1)
    dlrm = name.endswith("dlrm")
    assert (config.train.optimizer, config.train.lr) == (("sgd", 0.2) if dlrm else ("adagrad", 0.02))
    assert (config.emb.table_init, config.emb.inner_std) == ("glorot", 0.25 if dlrm else 0.5)
    # DeepCTR-Torch adds 1e-5 ‖w‖² to the sum of a batch's losses, which here is λ/2 to their mean.
    assert config.emb.l2 / 2 * config.train.batch_size == pytest.approx(0 if dlrm else 1e-5)
    if dlrm:
        widths = {"avazu_dlrm": [256, 128], "criteo_dlrm": [512, 256, 128]}[name]
        model = build(config.model, SingleEmbedding.empty([3], 4), 1)
        assert [len(layer.weight) for layer in model.bottom] == [*widths, 4]
    own = convert_command(TrainCommand, Composer("config").one([words[0]]).values)
    assert own.dataset.name == ("criteo" if name.startswith("criteo") else "avazu_paper")


@pytest.mark.parametrize("model", choices("model"))
def test_the_quick_experiment_takes_every_model(model: str) -> None:
    values = Composer("config").one(["experiment=quick", f"model={model}"]).values
    alone = Composer("config").one([f"model={model}"]).values["model"]
    config = convert_command(TrainCommand, values)
    assert models.settings_of(config.model) == models.settings_of(ModelSection.model_validate(alone))
    assert (config.train.batch_size, config.dataset.rows) == (256, 48000)


def test_jobs_of_a_sweep_are_composed_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    composer, loaded = Composer("config"), []
    load = composer._load
    monkeypatch.setattr(composer, "_load", lambda *given: loaded.append(given) or load(*given))
    assert len(composer.jobs(["emb=mlet", "emb.inner=1,2,3", "seed=1,2"])) == 6
    assert len(loaded) == 6


@pytest.mark.parametrize("words", [
    "train experiment=frappe_x1/dcn model=dlrm", "train -m experiment=frappe_x1/dcn model=dlrm seed=1,2",
    "tune experiment=frappe_x1/dcn model=dlrm",
])  # fmt: skip
def test_a_key_of_an_experiment_names_its_file(command: Callable[..., Ended], words: str) -> None:
    ended = command(*words.split())
    assert ended.code == cli.MISTAKE
    assert ended.err.startswith("mlet-bench: model.mlp: no such key; allowed: bottom_mlp, top_mlp,")
    assert ended.err.endswith("It was set by experiment=frappe_x1/dcn, conf/experiment/frappe_x1/dcn.yaml\n")


def test_an_experiment_of_the_users_own_is_named_where_it_lies(workplace: Path, command: Callable[..., Ended]) -> None:
    folder = workplace / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "wide.yaml").write_text("# @package _global_\ntrain:\n  lr: -1.0\n  epochs: 0\n")
    own = ("train", "--config-dir", "mine", "experiment=wide")
    file = f"It was set by experiment=wide, {folder / 'wide.yaml'}\n"
    ended = command(*own, "train.epochs=1")
    assert ended.err == f"mlet-bench: train.lr=-1.0: not allowed; allowed: a number > 0. {file}"
    ended = command(*own, "train.lr=-2")
    assert ended.err.endswith(f"train.epochs=0: not allowed; allowed: a whole number >= 1. {file}")
    ended = command(*own, "train.epochs=1", "train.lr=-2")
    assert ended.err == "mlet-bench: train.lr=-2: not allowed; allowed: a number > 0.\n"


@pytest.mark.parametrize(("words", "line"), [
    ("prepare model=dcn", "model: no such key; allowed: dataset, verify."),
    ("report mode=dcn", "mode: no such key; allowed: dim, margin, runs."),
    ("evaluate model=dcn", "model: no such key; allowed: bits, dataset, hardware, keep, rank, run, split."),
    ("bench xyz=9", "xyz: no such key; allowed: categories, emb, hardware, model, seed, steps, train."),
])  # fmt: skip
def test_a_command_offers_what_it_takes(command: Callable[..., Ended], words: str, line: str) -> None:
    assert command(*words.split()).err == f"mlet-bench: {line}\n"
