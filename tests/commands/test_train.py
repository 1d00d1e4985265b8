"""The recipe end to end, on generated rows in Criteo's layout."""

import json
import math
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import load_file
from sklearn.metrics import log_loss, roc_auc_score

from mlet_bench import cli, data, models
from mlet_bench.commands.help_text import choices
from mlet_bench.commands.prepare import best_reachable
from mlet_bench.config import EMBEDDINGS, BarsConfig, TrainCommand, convert_command
from mlet_bench.config.compose import Composer
from mlet_bench.data.batches import training_rows
from mlet_bench.embedding import SingleEmbedding
from mlet_bench.models.seeded import build_model
from mlet_bench.runs.planned import PlannedRun
from mlet_bench.system import files, hardware
from mlet_bench.system.seeds import order, seeded
from mlet_bench.training import trainer
from mlet_bench.training.optimizers import Optimizers
from mlet_bench.training.step import step
from tests.conftest import CONF, RUN, TINY, Ended, criteo_cells, unheard, write_criteo

Command = Callable[..., Ended]
FILES = {"DONE", "config.yaml", "metrics.jsonl", "model.safetensors", "predictions.parquet", "result.json",
         "train.log"}  # fmt: skip


OWN_ROWS = ("single", "mlet", "mlet_frozen", "hash")
"""Modes in which id 0 has a row of its own."""
MAIN = ("single", "mlet", "qr", "cafe", "lpt")
EACH = {mode: (f"emb={mode}", "emb.ratio=0.5", *(("emb.min_rows=10",) if mode == "qr" else ())) for mode in EMBEDDINGS}
"""A half of the bytes; the fields here have fewer ids than qr splits by default."""
SOME_MODES = [pytest.param(mode, marks=[] if mode in MAIN else pytest.mark.more) for mode in EMBEDDINGS]


def composed_emb(mode: str) -> dict[str, Any]:
    emb: dict[str, Any] = Composer("config").one(words(f"emb={mode}")[1:]).values["emb"]
    return emb


def weights_of(folder: Path, *names: str) -> list[int]:
    """The first of these tensors in a run's model, as whole numbers."""
    weights = load_file(folder / "model.safetensors")
    numbers: list[int] = next(weights[name] for name in names if name in weights).tolist()
    return numbers


def words(*more: str) -> list[str]:
    return ["train", "dataset=criteo", "dataset.raw=train.txt", *TINY, *more]


def config_of(*more: str) -> TrainCommand:
    return convert_command(TrainCommand, Composer("config").one(words(*more)[1:]).values)


def result_of(folder: str | Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((Path(folder) / "result.json").read_text())
    return result


@pytest.mark.usefixtures("criteo_file")
@pytest.mark.parametrize("mode", SOME_MODES)
def test_run_folder_holds_what_the_contract_says(command: Command, mode: str) -> None:
    ended = command(*words(*EACH[mode], "hydra.run.dir=run", "train.epochs=2"))
    assert ended.code == cli.DONE
    assert {path.name for path in Path("run").iterdir()} == FILES
    result = result_of("run")
    assert result["version"] == 1
    assert result["dataset"]["rows"] == {"train": 360, "valid": 30, "test": 30}
    assert (result["dataset"]["name"], result["dataset"]["fields"]) == ("criteo", 26)
    own = ("mlet", "mlet_frozen")
    inner, ratio = 64 if mode in own else None, None if mode in ("single", *own) else 0.5
    assert {"mode": mode, "dim": 4, "inner": inner, "ratio": ratio}.items() <= result["emb"].items()
    if ratio is not None:
        assert result["emb"]["min_rows"] == (10 if mode == "qr" else composed_emb(mode)["min_rows"])
        single = 4 * 4 * sum(weights_of(Path("run"), "embedding.cardinalities_F", "embedding.fields.cardinalities_F"))
        assert result["collapse"]["embedding_bytes_inference"] <= 0.5 * single
    assert {bucket["field"] for bucket in result["buckets"]} == {
        *(f"C{i}" for i in range(1, 27)),
        "rarest",
        "popularity",
    }
    for field in {bucket["field"] for bucket in result["buckets"]}:
        assert sum(bucket["rows"] for bucket in result["buckets"] if bucket["field"] == field) == 30
    assert "NaN" not in (Path("run") / "result.json").read_text()
    held = yaml.safe_load((Path("run") / "config.yaml").read_text())
    composed = Composer("config").one(words(*EACH[mode], "train.epochs=2")[1:]).values
    for section, values in composed.items():
        assert held[section].keys() == values.keys() if isinstance(values, dict) else held[section] == values
    assert held["emb"]["mode"] == mode
    assert len(held["fingerprint"]) == 12
    lines = [json.loads(line) for line in (Path("run") / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == result["train"]["steps"] <= 12
    assert result["train"]["best_step"] in [line["step"] for line in lines]
    assert result["metrics"]["valid"]["auc"] == pytest.approx(max(line["valid_auc"] for line in lines), abs=1e-6)


def test_metrics_are_those_of_the_predictions(finished_run: Path) -> None:
    table = pq.read_table(finished_run / "predictions.parquet")
    assert [str(field.type) for field in table.schema] == ["int64", "int8", "float", "double"]
    assert table.column("row").to_pylist() == list(range(30))
    label, p = table.column("label").to_numpy(), table.column("probability").to_numpy()
    test = result_of(finished_run)["metrics"]["test"]
    assert test["auc"] == pytest.approx(roc_auc_score(label, p), abs=1e-12)
    assert test["logloss"] == pytest.approx(log_loss(label, p), abs=1e-12)
    assert test["calibration"] == pytest.approx(p.mean() / label.mean(), abs=1e-12)
    assert label.tolist() == [int(row[0]) for row in criteo_cells(420)[390:]]


def test_collapsed_model_loads_strictly_into_the_plain_model(finished_run: Path) -> None:
    config = config_of()
    prepared = data.prepared_for(config.dataset, best=best_reachable, progress=unheard)
    plain = models.build(config.model, SingleEmbedding.empty(prepared.cardinalities, 4), len(prepared.numeric))
    plain.load_state_dict(load_file(finished_run / "model.safetensors"), strict=True)
    test = prepared.split("test")
    with torch.no_grad():
        logit_B = plain.eval()(torch.from_numpy(test.ids_BF), torch.from_numpy(test.numeric_BN)).numpy()
    stored = pq.read_table(finished_run / "predictions.parquet").column("logit").to_numpy()
    np.testing.assert_allclose(logit_B, stored, atol=1e-6)
    collapse = result_of(finished_run)["collapse"]
    assert collapse["max_abs_logit_diff"] <= 1e-5 * max(1, np.abs(stored).max())
    assert collapse["parameters_inference"] == sum(p.numel() for p in plain.parameters())
    grown = sum(prepared.cardinalities) * (8 - 4) + 26 * 8 * 4
    assert collapse["parameters_training"] - collapse["parameters_inference"] == grown
    assert collapse["embedding_bytes_inference"] == 4 * sum(prepared.cardinalities) * 4


@pytest.mark.usefixtures("criteo_file")
@pytest.mark.parametrize("mode", SOME_MODES)
def test_same_seed_same_bits_another_seed_others(command: Command, mode: str) -> None:
    for folder, seed in (("one", 1), ("two", 1), ("three", 2)):
        command(*words(*EACH[mode], "model.dropout=0.3", f"hydra.run.dir={folder}", f"seed={seed}"))
    one, two, three = (result_of(folder) for folder in ("one", "two", "three"))
    for part in ("metrics", "buckets", "collapse"):
        assert one[part] == two[part]
    assert one["metrics"] != three["metrics"]
    for name in ("model.safetensors", "predictions.parquet"):
        assert (Path("one") / name).read_bytes() == (Path("two") / name).read_bytes()


@pytest.mark.usefixtures("criteo_file")
def test_mode_changes_nothing_but_the_embedding() -> None:
    dense, orders = [], []
    for more in (["emb=single"], ["emb=mlet"], ["emb=mlet", "emb.inner=3"]):
        config = config_of(*more)
        prepared = data.prepared_for(config.dataset, best=best_reachable, progress=unheard)
        model = build_model(config.model, config.emb, prepared.cardinalities, len(prepared.numeric), config.seed)
        dense.append({name: value for name, value in model.state_dict().items() if "embedding" not in name})
        rows = training_rows(prepared, config.train, config.seed, torch.device("cpu"))
        orders.append([ids_BF for ids_BF, _, _ in rows.batches(0, 0)])
    for other in dense[1:]:
        assert other.keys() == dense[0].keys()
        assert all(torch.equal(value, dense[0][name]) for name, value in other.items())
    for other_order in orders[1:]:
        assert all(torch.equal(one, other) for one, other in zip(orders[0], other_order, strict=True))


def test_order_of_an_epoch_comes_from_seed_and_epoch_alone() -> None:
    assert torch.equal(order(100, 1, 0), order(100, 1, 0))
    assert sorted(order(100, 1, 0).tolist()) == list(range(100))
    assert not torch.equal(order(100, 1, 0), order(100, 1, 1))
    assert not torch.equal(order(100, 1, 0), order(100, 2, 0))


def test_finished_run_is_shown_and_rerun_starts_anew(command: Command, finished_run: Path) -> None:
    written = {path.name: path.stat().st_mtime_ns for path in finished_run.iterdir()}
    first = command(*RUN)
    assert first.code == cli.DONE
    assert "finished before" in first.out
    assert {path.name: path.stat().st_mtime_ns for path in finished_run.iterdir()} == written
    anew = command(*RUN, "rerun=true")
    assert "finished before" not in anew.out
    assert {path.name for path in finished_run.iterdir()} == FILES
    assert command(*RUN).out.splitlines()[-3:] == anew.out.splitlines()[-3:]


def test_folder_of_another_run_or_of_others_is_refused(command: Command, finished_run: Path) -> None:
    other = command(*RUN, "seed=2")
    assert other.code == cli.MISTAKE
    assert "holds another run" in other.err
    Path("theirs").mkdir()
    Path("theirs/thesis.tex").write_text("dear")
    foreign = command(*RUN, "hydra.run.dir=theirs", "rerun=true")
    assert foreign.code == cli.MISTAKE
    assert "thesis.tex" in foreign.err
    assert [path.name for path in Path("theirs").iterdir()] == ["thesis.tex"]


@pytest.mark.usefixtures("criteo_file")
def test_default_folder_is_named_by_what_was_run(command: Command) -> None:
    """Whatever the path of the data."""
    command(*words("emb=mlet", "seed=7"))
    (folder,) = Path("outputs/criteo/dlrm/mlet").iterdir()
    assert re.fullmatch("seed7-[0-9a-f]{12}", folder.name)
    (prepared,) = Path("data/prepared").glob("criteo-*")
    moved = prepared.rename("elsewhere")
    again = command("train", "dataset=criteo", f"dataset.prepared={moved}", *TINY, "emb=mlet", "seed=7")
    assert "finished before" in again.out


@pytest.mark.parametrize("given", [True, False], ids=["folder given", "default folder"])
def test_number_of_cores_makes_no_other_run(
    command: Command, criteo_file: Path, monkeypatch: pytest.MonkeyPatch, given: bool
) -> None:
    """Neither on another machine, nor for runs of versions that counted it in the fingerprint."""
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    monkeypatch.setattr(hardware, "available_cores", lambda: 1)
    place = ("hydra.run.dir=run",) if given else ()
    ours = words("hardware.threads=null", *place)
    with monkeypatch.context() as patch:
        as_counted = PlannedRun._fingerprint
        patch.setattr(PlannedRun, "_fingerprint", lambda self, _: as_counted(self, {"threads": 1}))
        assert command(*ours).code == cli.DONE
    assert "finished before" in command(*ours).out
    monkeypatch.setattr(hardware, "available_cores", lambda: 3)
    elsewhere = command(*words("hardware.threads=null"))
    assert "finished before" not in elsewhere.out
    monkeypatch.setattr(hardware, "available_cores", lambda: 7)
    assert "finished before" in command(*words("hardware.threads=null")).out
    folders = [path.parent for path in Path("outputs").rglob("DONE")]
    (folder,) = (folder for folder in folders if result_of(folder)["hardware"]["threads"] == 3)
    assert yaml.safe_load((folder / "config.yaml").read_text())["hardware"]["threads"] is None


@pytest.mark.usefixtures("criteo_file")
@pytest.mark.parametrize(
    ("mode", "optimizer", "number", "code"),
    [
        ("mlet", "adam", signal.SIGINT, 130),
        ("single", "rowwise_adagrad", signal.SIGTERM, 143),
        pytest.param("mlet", "rowwise_adagrad", signal.SIGTERM, 143, marks=pytest.mark.more),
        pytest.param("single", "adam", signal.SIGINT, 130, marks=pytest.mark.more),
        pytest.param("mlet_frozen", "adam", signal.SIGTERM, 143, marks=pytest.mark.more),
    ],
)
def test_stopped_run_goes_on_to_the_same_result(
    command: Command, monkeypatch: pytest.MonkeyPatch, mode: str, optimizer: str, number: int, code: int
) -> None:
    more = [f"emb={mode}", f"train.optimizer={optimizer}", "model.dropout=0.2", "train.epochs=3"]
    command(*words(*more, "hydra.run.dir=whole"))
    step = trainer.step
    taken = []

    def interrupted(*given: Any) -> torch.Tensor:
        taken.append(1)
        if len(taken) == 8:
            signal.raise_signal(number)
        return step(*given)

    monkeypatch.setattr(trainer, "step", interrupted)
    stopped = command(*words(*more, "hydra.run.dir=parts"))
    assert stopped.code == code
    assert "the same command resumes it" in stopped.err
    assert not Path("parts/DONE").exists()
    monkeypatch.setattr(trainer, "step", step)
    resumed = command(*words(*more, "hydra.run.dir=parts"))
    assert resumed.code == cli.DONE
    assert stopped.out.splitlines()[0] == resumed.out.splitlines()[0] == "run folder: parts"
    assert resumed.out.splitlines()[1] == "resumed at step 8"
    assert "INFO resumed at step 8" in Path("parts/train.log").read_text()
    for part in ("metrics", "buckets", "collapse"):
        assert result_of("whole")[part] == result_of("parts")[part]
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (Path("whole") / name).read_bytes() == (Path("parts") / name).read_bytes()


@pytest.mark.usefixtures("criteo_file")
def test_a_run_that_learned_nothing_says_so_and_so_does_the_report(command: Command) -> None:
    few = words("train.lr=1e-9", "train.epochs=1", "hydra.run.dir=run")
    ended, again = command(*few), command(*few)
    valid = result_of("run")["metrics"]["valid"]
    assert valid["auc_ci95"][0] < 0.5 < valid["auc_ci95"][1]
    (line,) = (line for line in ended.out.splitlines() if line.startswith("warning"))
    assert line.startswith(f"warning: nothing learned: validation AUC {valid['auc']:.4f}")
    assert line in again.out
    log = Path("run/train.log").read_text()
    assert f"INFO {line}" in log
    for stage in ("collapse", "evaluate the trained model on test", "evaluate on test", "evaluate on valid"):
        assert f"INFO {stage}\n" in log
    assert f"run: {line.removeprefix('warning: ')}" in command("report", "runs=run").out


@pytest.mark.usefixtures("criteo_file")
def test_loss_that_is_not_finite_fails_the_run(command: Command) -> None:
    ended = command(*words("train.optimizer=sgd", "train.lr=1e30", "train.epochs=5", "hydra.run.dir=run"))
    assert ended.code == cli.FAILED
    assert "the loss is" in ended.err
    assert "at step" in ended.err
    assert not Path("run/DONE").exists()


@pytest.mark.usefixtures("criteo_file")
def test_divergence_in_the_last_step_is_noticed(command: Command) -> None:
    ended = command(*words("train.optimizer=sgd", "train.lr=1e30", "train.batch_size=100000", "hydra.run.dir=run"))
    assert ended.code == cli.FAILED
    assert "logloss on validation" in ended.err
    assert "NaN" not in Path("run/metrics.jsonl").read_text()


def test_one_class_in_validation_is_a_mistake(command: Command, workplace: Path) -> None:
    cells = criteo_cells(420)
    write_criteo(workplace / "train.txt", [["0", *row[1:]] if i >= 360 else row for i, row in enumerate(cells)])
    ended = command(*words())
    assert ended.code == cli.MISTAKE
    assert "validation labels are equal" in ended.err
    assert not (workplace / "outputs").exists()
    ended = command(*words("train.monitor=logloss", "hydra.run.dir=run", "logger=[tensorboard]"))
    assert ended.code == cli.DONE
    assert "valid AUC –  logloss" in ended.out + ended.err
    assert "failed" not in ended.err
    for scores in result_of("run")["metrics"].values():
        assert (scores["auc"], scores["auc_reason"]) == (None, "all labels are 0")
        assert scores["logloss"] > 0
    assert command("report", "runs=run").code == cli.DONE


@pytest.mark.parametrize("every", [0.1, 0.2, 0.25, 0.3, 1.0])
def test_share_of_an_epoch_is_evaluated_as_often_as_it_fits(every: float) -> None:
    for steps in range(20, 400):
        due = sorted(trainer.evaluation_steps(steps, every))
        assert len(due) == int(1 / every + 1e-9)
        assert due[-1] <= steps
        for part, due_step in enumerate(due, 1):
            assert due_step - 1 < part * every * steps + 1e-3
            assert part * every * steps < due_step + 1e-3


@pytest.mark.usefixtures("criteo_file")
def test_two_processes_cannot_run_in_one_folder(command: Command) -> None:
    Path("run").mkdir()
    with files.locked(Path("run/.lock"), "busy"):
        ended = command(*words("hydra.run.dir=run"))
    assert ended.code == cli.MISTAKE
    assert "another process" in ended.err
    assert command(*words("hydra.run.dir=run")).code == cli.DONE


@pytest.mark.usefixtures("criteo_file")
def test_rare_categories_share_a_trained_vector_and_unseen_ones_stay_zero(command: Command) -> None:
    command(*words("emb=mlet", "dataset.min_count=4", "hydra.run.dir=run"))
    weights = load_file("run/model.safetensors")
    firsts = weights["embedding.fields.offsets"][:-1]
    assert torch.equal(weights["embedding.table.weight"][firsts], torch.zeros(26, 4))
    rare = weights["embedding.table.weight"][firsts + 1]
    assert result_of("run")["dataset"]["categories"] == len(weights["embedding.table.weight"]) - 2 * 26
    assert (rare != 0).any(1).sum() >= 20


@pytest.mark.usefixtures("criteo_file")
def test_broken_collapse_saves_results_and_fails(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlet_bench.embedding import MLETEmbedding

    collapse = MLETEmbedding.collapse

    def broken(self: MLETEmbedding) -> SingleEmbedding:
        single = collapse(self)
        single.table.weight.data.add_(0.5)
        return single

    monkeypatch.setattr(MLETEmbedding, "collapse", broken)
    ended = command(*words("emb=mlet", "hydra.run.dir=run"))
    assert ended.code == cli.FAILED
    assert "collapse" in ended.err
    assert Path("run/result.json").is_file()
    assert not Path("run/DONE").exists()


@pytest.mark.usefixtures("criteo_file")
def test_best_state_is_the_one_kept(command: Command) -> None:
    command(*words("train.epochs=40", "train.lr=0.05", "train.patience=3", "hydra.run.dir=run"))
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    best = max(lines, key=lambda line: line["valid_auc"])
    result = result_of("run")
    assert result["train"]["best_step"] == best["step"] < lines[-1]["step"]
    assert result["metrics"]["valid"]["auc"] == best["valid_auc"]
    assert sum(line["step"] > best["step"] for line in lines) == 3  # patience, then the end
    assert result["train"]["epochs"] < 40


@pytest.mark.usefixtures("criteo_file")
def test_unseen_categories_are_zero_vectors_after_training(command: Command) -> None:
    for mode in OWN_ROWS:
        command(*words(f"emb={mode}", f"hydra.run.dir={mode}", "train.update=exact"))
        weights = load_file(f"{mode}/model.safetensors")
        firsts = weights["embedding.fields.offsets"][:-1]  # id 0 of every field never occurs at min_count 1
        assert torch.equal(weights["embedding.table.weight"][firsts], torch.zeros(26, 4))


def write_bars(folder: Path, dataset: str) -> Path:
    """A ready-split set with the columns of conf/dataset/<dataset>.yaml, 60, 20 and 20 rows."""
    layout = yaml.safe_load((CONF / "dataset" / f"{dataset}.yaml").read_text())
    hour = [layout["hour"]] if layout["hour"] else []
    columns = [*layout["drop"], layout["label"], *hour, *layout["numeric"], *layout["categorical"]]
    rng = np.random.default_rng(0)
    folder.mkdir()
    for split, rows in (("train", 60), ("valid", 20), ("test", 20)):
        lines = [",".join(columns)]
        for row in range(rows):
            cells = {**{name: str(rng.integers(0, 9)) for name in columns}, layout["label"]: str(row % 2)}
            cells.update({name: f"141021{rng.integers(0, 24):02d}" for name in hour})
            cells.update({name: f"{rng.integers(0, 40)}" for name in layout["numeric"]})
            lines.append(",".join(cells[name] for name in columns))
        (folder / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return folder


def raw_words(dataset: str, place: Path) -> list[str]:
    """Words that give an experiment few rows."""
    if dataset == "criteo":
        return [f"dataset.raw={write_criteo(place / 'train.txt', criteo_cells(120))}"]
    if dataset in ("quick", "paper", "small"):
        return ["dataset=synthetic", "dataset.rows=1200"]
    return [f"dataset.raw={write_bars(place / 'raw', dataset)}"]


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer("config")


@pytest.mark.parametrize("name", choices("experiment"))
def test_every_experiment_takes_a_step(name: str, composer: Composer) -> None:
    """Composed and checked as the command does it, with its model over tables of a few rows."""
    config = convert_command(TrainCommand, composer.one([f"experiment={name}"]).values)
    layout = config.dataset if isinstance(config.dataset, BarsConfig) else None
    fields, numeric = (len(layout.categorical), len(layout.numeric)) if layout else (4, 3)
    model = build_model(config.model, config.emb, [3] * fields, numeric, config.seed)
    with seeded(config.seed, "test"):
        ids_BF, numeric_BN = torch.randint(3, (8, fields)), torch.rand(8, numeric)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    batch = (ids_BF, numeric_BN, torch.tensor([0.0, 1.0] * 4))
    step(model, Optimizers(model, config.train, config.emb), batch, lambda part, loss: None, config.hardware.precision)
    assert any(not torch.equal(value, before[key]) for key, value in model.state_dict().items())


FIRST = {name.split("/")[0]: name for name in reversed(choices("experiment"))}
"""An experiment of each data set."""
ALWAYS = list(FIRST.values())[::3]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in ALWAYS else pytest.mark.more) for name in choices("experiment")],
)
def test_every_experiment_runs(command: Command, workplace: Path, name: str) -> None:
    dataset = name.split("/")[0]
    few = ("train.batch_size=400", "train.epochs=1", "hardware.threads=1")
    ended = command("train", f"experiment={name}", *raw_words(dataset, workplace), *few, "hydra.run.dir=run")
    assert ended.code == cli.DONE, ended.err
    if dataset not in ("criteo", "quick", "paper", "small"):
        result = result_of("run")
        assert (result["dataset"]["name"], result["model"]) == (dataset, name.split("/")[1])
        assert result["train"]["steps"] == 1
        assert "note: train.csv: md5" in ended.out


def test_synthetic_result_stands_beside_the_best_reachable(command: Command) -> None:
    few = ("dataset.rows=4000", "train.epochs=1", "hardware.threads=1")
    ended = command("train", "experiment=quick", "emb=mlet", *few, "hydra.run.dir=run")
    assert yaml.safe_load(Path("run/config.yaml").read_text())["dataset"]["structure"] == "shared"
    manifest = json.loads(next(Path("data/prepared").glob("synthetic-*/manifest.json")).read_text())
    result = result_of("run")
    assert result["metrics"]["test"]["best_auc"] == manifest["best"]["test"]["auc"]
    assert f"{manifest['best']['test']['auc']:.4f}" in ended.out
    assert result["metrics"]["test"]["best_logloss"] == manifest["best"]["test"]["logloss"]
    for found, known in zip(result["buckets"], manifest["best"]["test"]["buckets"], strict=True):
        assert (found["field"], found["bucket"], found["rows"]) == (known["field"], known["bucket"], known["rows"])
        assert found["best_auc"] == known["auc"]


def test_learns_what_can_be_learned(command: Command, workplace: Path) -> None:
    write_criteo(workplace / "train.txt", criteo_cells(2_000))
    for mode in OWN_ROWS:
        command(*words(f"emb={mode}", "emb.inner=8", f"hydra.run.dir={mode}", "train.epochs=6", "train.lr=0.01"))
        assert result_of(mode)["metrics"]["test"]["auc"] > 0.95
        assert math.isclose(result_of(mode)["metrics"]["test"]["calibration"], 1, abs_tol=0.3)


def test_real_criteo_rows_end_to_end(command: Command, shared_data: Path) -> None:
    raw = shared_data / "criteo" / "train.txt"
    ended = command(
        "train", "dataset=criteo", f"dataset.raw={raw}", "emb=mlet", "hardware.threads=1", "hydra.run.dir=run"
    )
    assert ended.code == cli.DONE
    table = pq.read_table("run/predictions.parquet")
    auc = roc_auc_score(table.column("label"), table.column("probability"))
    assert result_of("run")["metrics"]["test"]["auc"] == pytest.approx(auc, abs=1e-12)


@pytest.mark.usefixtures("criteo_file")
def test_bfloat16_trains_the_network_in_it_and_evaluates_in_float32(command: Command) -> None:
    for precision in ("float32", "bfloat16"):
        assert command(*words(f"hardware.precision={precision}", f"hydra.run.dir={precision}")).code == cli.DONE
    weights = [load_file(f"{precision}/model.safetensors") for precision in ("float32", "bfloat16")]
    for name, exact in weights[0].items():
        assert weights[1][name].dtype == exact.dtype
        torch.testing.assert_close(weights[1][name], exact, rtol=0.1, atol=0.02)
    assert any(not torch.equal(weights[1][name], exact) for name, exact in weights[0].items())
    assert result_of("bfloat16")["hardware"]["precision"] == "bfloat16"


def test_tf32_is_refused_on_cpu(command: Command, workplace: Path) -> None:
    ended = command("train", "hardware.precision=tf32")
    assert ended.code == cli.MISTAKE
    assert "float32, bfloat16" in ended.err
    assert list(workplace.iterdir()) == []
