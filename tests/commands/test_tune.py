"""Comparisons: equal budgets, the choice on validation alone, and resuming after a stop."""

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mlet_bench import cli
from mlet_bench.commands import train as recipe
from mlet_bench.commands.tune import arms_of, run_config, search_of, tune_fingerprint
from mlet_bench.config import TrainCommand, TuneCommand, convert_command
from mlet_bench.config.arms import compose_tune
from mlet_bench.config.compose import Composer
from mlet_bench.errors import RunFailedError, UserError
from mlet_bench.runs import result
from mlet_bench.training import trainer
from tests.conftest import TINY, Ended

Command = Callable[..., Ended]
Scores = dict[str, tuple[float, float]]
DATA = ("dataset=criteo", "dataset.raw=train.txt")
WORDS = (
    "tune",
    *DATA,
    *TINY,
    "hardware.threads=1",
    "arms.inner_per_dim=[1,2]",
    "trials=3",
    "seeds=[1,2]",
    "search.emb_l2=[0.0001,0.1]",
)

FEWER = (*WORDS, "arms.inner_per_dim=[1]", "trials=2")


def tune_json(folder: str = "cmp") -> Any:
    return json.loads((Path(folder) / "tune.json").read_text())


def config_of(*words: str) -> TuneCommand:
    return convert_command(TuneCommand, compose_tune(Composer("tune"), words).values)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[TrainCommand]:
    """The configs of all runs that were begun."""
    begun, run = [], recipe.run

    def counted(config: TrainCommand, *more: Any) -> tuple[Path, result.Result]:
        begun.append(config)
        return run(config, *more)

    monkeypatch.setattr(recipe, "run", counted)
    return begun


@pytest.fixture
def faked(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Callable[[TrainCommand], dict[str, tuple[float, float]]]], None]:
    """Runs that take no time: what each scores, (AUC, logloss) of both splits, is told by a function of its config."""

    def install(scores: Callable[[TrainCommand], Scores]) -> None:
        def run(config: TrainCommand, *more: Any) -> tuple[Path, result.Result]:
            metrics = {
                split: result.Scores.model_construct(auc=auc, logloss=logloss)
                for split, (auc, logloss) in scores(config).items()
            }
            return Path("nowhere"), result.Result.model_construct(
                metrics=result.Metrics.model_construct(**metrics),
                collapse=result.Collapse.model_construct(parameters_training=2, parameters_inference=1),
                train=result.Train.model_construct(seconds=60.0),
            )

        monkeypatch.setattr(recipe, "run", run)

    return install


@pytest.mark.usefixtures("criteo_file")
def test_every_arm_gets_the_same_trials_and_then_the_seeds(command: Command, runs: list[TrainCommand]) -> None:
    ended = command(*WORDS, "hydra.run.dir=cmp")
    assert ended.code == cli.DONE, ended.err
    found = tune_json()
    assert (found["version"], found["state"]) == (1, "done")
    arms = found["arms"]
    assert [arm["label"] for arm in arms] == ["single d=4", "mlet d=4 k=4", "mlet d=4 k=8"]
    settings = [[trial["settings"] for trial in arm["trials"]] for arm in arms]
    assert settings[0] == settings[1] == settings[2]
    assert len({json.dumps(each) for each in settings[0]}) == 3
    assert settings[0][0] == {"lr": 0.001, "emb_lr": None, "emb_l2": 0.0}  # the config's own
    assert [config.seed for config in runs] == 9 * [1] + 3 * [2]  # seed 1 of the chosen settings was a trial
    for arm in arms:
        best = max(arm["trials"], key=lambda trial: float(trial["value"]))
        assert arm["chosen"]["number"] == best["number"]
        assert arm["seeds"][0]["folder"] == best["folder"]
        assert [run["seed"] for run in arm["seeds"]] == [1, 2]
        for run in arm["seeds"]:
            result = json.loads((Path(run["folder"]) / "result.json").read_text())
            assert run["test"] == {key: result["metrics"]["test"][key] for key in ("auc", "logloss")}
            assert run["value"] == result["metrics"]["valid"]["auc"]
        assert "test" not in json.dumps(arm["trials"])
    difference = [a["test"]["auc"] - b["test"]["auc"] for a, b in zip(arms[2]["seeds"], arms[0]["seeds"], strict=True)]
    assert arms[2]["against"]["single_same_dim"]["auc"]["mean"] == pytest.approx(sum(difference) / 2)
    assert sum(line.startswith("trial ") for line in ended.out.splitlines()) == 9
    assert all(f"\n{arm['label']} " in ended.out for arm in arms)
    assert "…" not in ended.out
    assert ended.out.splitlines()[-1] == "comparison: cmp/tune.json"


@pytest.mark.usefixtures("criteo_file")
def test_verdicts_after_the_sequence_of_the_readme_are_those_of_the_tune_folder_alone(command: Command) -> None:
    shared = (*DATA, *TINY, "hardware.threads=1")
    for words in (("emb=mlet", "emb.inner=8"), ("emb=single",), ("-m", "emb=single,mlet", "emb.inner=4,8", "seed=1,2")):
        assert command("train", *shared, *words).code == cli.DONE
    assert command(*FEWER).code == cli.DONE
    (folder,) = Path("outputs/tune/criteo/dlrm").iterdir()
    alone = command("report", f"runs={folder}", "hydra.run.dir=alone")
    assert alone.code == cli.DONE, alone.err
    assert command("report", "runs=outputs", "hydra.run.dir=every").code == cli.DONE

    def verdicts(report: str) -> list[dict[str, str]]:
        with (Path(report) / "tables/quality.csv").open() as opened:
            rows = [row for row in csv.DictReader(opened) if row["chosen"] == "True"]
        return [{key: value for key, value in row.items() if key != "settings_tried"} for row in rows]

    tuned = [row for row in verdicts("every") if row["tuning"] == "best of 2 trials each"]
    assert tuned == verdicts("alone")
    assert [(row["mode"], row["auc_gain_seeds"], row["auc_gain_verdict"]) for row in tuned] == [
        ("single", "", ""),
        ("mlet", "2", "undecided"),
    ]
    others = {(row["mode"], row["k"]): row["tuning"] for row in verdicts("every") if row not in tuned}
    assert others == dict.fromkeys([("single", ""), ("mlet", "4"), ("mlet", "8")], "same settings")
    assert "best of 2 trials each" in alone.out
    page = Path("every/report.html").read_text()
    assert page.index("MLET against") < page.index("mlet-bench train dataset") < page.index("<h2>")
    assert "mlet-bench tune dataset=criteo" in page


@pytest.mark.usefixtures("criteo_file")
@pytest.mark.parametrize(("monitor", "sign"), [("auc", 1), ("logloss", -1)])
def test_only_validation_chooses(command: Command, faked: Callable[..., None], monitor: str, sign: int) -> None:
    """AUC, logloss and the test split each like another learning rate best."""

    def scores(config: TrainCommand) -> Scores:
        good = config.train.lr * (1 if config.emb.mode == "single" else -1)
        return {"valid": (0.5 + good, 0.5 + good), "test": (0.5 - sign * good, 0.5 + sign * good)}

    faked(scores)
    ended = command(*WORDS, "hydra.run.dir=cmp", "trials=7", f"train.monitor={monitor}", "search.lr=[0.0001,0.1]")
    assert ended.code == cli.DONE, ended.err
    for arm in tune_json()["arms"]:
        rates = [trial["settings"]["lr"] for trial in arm["trials"]]
        wanted = max if (arm["mode"] == "single") == (sign == 1) else min
        assert arm["chosen"]["settings"]["lr"] == wanted(rates)


@pytest.mark.usefixtures("criteo_file")
def test_same_command_repeats_no_run_and_a_larger_budget_goes_on(command: Command, runs: list[TrainCommand]) -> None:
    first = command(*FEWER, "search.startup=1", "hydra.run.dir=cmp")
    done, written = len(runs), tune_json()
    again = command(*FEWER, "search.startup=1", "hydra.run.dir=cmp")
    assert (len(runs), tune_json()) == (done, written)
    assert again.out.splitlines()[-15:] == first.out.splitlines()[-15:]
    more = command(*FEWER, "search.startup=1", "trials=3", "seeds=[1]")
    assert more.code == cli.DONE
    assert len(runs) == done + 2  # one trial more for each of two configurations
    other = command(*FEWER, "trials=4", "hydra.run.dir=cmp")
    assert other.code == cli.MISTAKE
    assert "holds another comparison" in other.err
    foreign = command(*FEWER, "hydra.run.dir=data")
    assert foreign.code == cli.MISTAKE
    assert "other files (prepared)" in foreign.err


@pytest.mark.usefixtures("criteo_file")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.more)]
)
def test_stopped_comparison_goes_on_where_it_was(
    command: Command, runs: list[TrainCommand], monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    step, taken = trainer.step, []

    def interrupted(*given: Any) -> torch.Tensor:
        taken.append(1)
        if len(taken) == 15:  # in the third run of six steps each
            signal.raise_signal(number)
        return step(*given)

    monkeypatch.setattr(trainer, "step", interrupted)
    stopped = command(*FEWER, "hydra.run.dir=cmp")
    assert stopped.code == code
    assert stopped.err.count("\n") == 1
    assert "the same command resumes it" in stopped.err
    assert len(runs) == 3
    assert sum(len(arm["trials"]) for arm in tune_json()["arms"]) == 2
    runs.clear()
    assert command(*FEWER, "hydra.run.dir=cmp").code == cli.DONE
    assert len(runs) == 6 - 2
    assert len(taken) == 6 * 6  # the stopped run went on from its checkpoint, to the step
    assert tune_json()["state"] == "done"


@pytest.mark.usefixtures("criteo_file")
def test_failed_trial_is_recorded_and_the_others_go_on(command: Command) -> None:
    words = (
        *WORDS,
        "arms.inner_per_dim=[1]",
        "seeds=[1]",
        "train.optimizer=sgd",
        "search.lr=[1e29,1e30]",
        "search.emb_lr=null",
        "search.emb_l2=null",
    )
    ended = command(*words, "hydra.run.dir=cmp")
    assert ended.code == cli.DONE, ended.err  # the config's own learning rate is sound
    for arm in tune_json()["arms"]:
        assert [trial["state"] for trial in arm["trials"]] == ["done", "failed", "failed"]
        assert "a smaller train.lr" in arm["trials"][1]["error"]
        assert (arm["chosen"]["number"], arm["summary"]["failed_trials"]) == (1, 2)
    assert ended.out.count("failed: single d=4, trial") == 2


@pytest.mark.usefixtures("criteo_file")
def test_arm_without_a_sound_trial_fails_the_comparison(command: Command, faked: Callable[..., None]) -> None:
    def scores(config: TrainCommand) -> Scores:
        if config.emb.inner == 4:
            raise UserError("the run needs more memory")
        if config.emb.inner == 8 and config.seed == 2:
            raise RunFailedError("collapse changed a logit")
        if config.emb.inner is None and config.train.lr != 0.001:
            raise ZeroDivisionError("a fault of ours")
        return {"valid": (0.6, 0.6), "test": (0.6, 0.6)}

    faked(scores)
    ended = command(*WORDS, "hydra.run.dir=cmp")
    assert ended.code == cli.FAILED
    single, narrow, wide = tune_json()["arms"]
    assert len(single["trials"]) == len(narrow["trials"]) == len(wide["trials"]) == 3
    assert (single["chosen"]["number"], narrow["chosen"], narrow["seeds"]) == (1, None, [])
    assert single["trials"][1]["error"] == "ZeroDivisionError: a fault of ours"
    assert [run["state"] for run in wide["seeds"]] == ["done", "failed"]
    assert wide["against"]["single_same_dim"]["auc"] == {
        **{"n": 1, "mean": 0.0, "sd": None, "t": None, "p": None, "ci95": None, "verdict": "undecided"},
    }
    assert "warning: mlet d=4 k=4: no trial ended well" in ended.out
    assert "failed: mlet d=4 k=8, seed 2: collapse changed a logit" in ended.out


@pytest.mark.usefixtures("criteo_file")
def test_choice_at_the_end_of_its_range_is_said(command: Command, faked: Callable[..., None]) -> None:
    faked(lambda config: {"valid": (config.train.lr, 0.5), "test": (0.5, 0.5)})
    ended = command(*WORDS, "trials=10", "search.lr=[0.0001,0.002]", "search.emb_lr=1", "search.emb_l2=null")
    assert ended.code == cli.DONE
    warnings = [line for line in ended.out.splitlines() if line.startswith("warning: ") and "search" in line]
    assert len(warnings) == 3
    assert all("train.lr" in line and "high end" in line for line in warnings)


@pytest.mark.usefixtures("criteo_file")
def test_trial_is_the_run_that_train_makes(command: Command) -> None:
    assert command(*FEWER, "arms.inner_per_dim=[2]", "trials=1", "seeds=[1]").code == cli.DONE
    (folder,) = Path("outputs/tune/criteo/dlrm").iterdir()
    assert [arm["label"] for arm in tune_json(str(folder))["arms"]] == ["single d=4", "mlet d=4 k=8"]
    ended = command("train", *DATA, *TINY, "hardware.threads=1", "emb=mlet", "emb.inner=8")
    assert "finished before" in ended.out
    assert "…" not in ended.out


def test_experiments_settings_hold_for_every_arm() -> None:
    config = config_of(
        "experiment=frappe_x1/dcn",
        "emb.l2_on=product",
        "arms.dims=[4,10]",
        "arms.inner_per_dim=[1,4]",
        "arms.inner=[7]",
    )
    assert [arm.label for arm in arms_of(config)] == [
        *("single d=4", "mlet d=4 k=4", "mlet d=4 k=7", "mlet d=4 k=16"),
        *("single d=10", "mlet d=10 k=7", "mlet d=10 k=10", "mlet d=10 k=40"),
    ]
    own = search_of(config).own
    made = run_config(config, arms_of(config)[3], own, 3)
    assert (made.emb.l2, made.emb.l2_on, made.emb.l2_rows, made.emb.init_std) == (0.05, "product", "table", 0.0001)
    assert (made.model.name, made.train.update, made.train.lr, made.seed) == ("dcn", "exact", 0.001, 3)
    assert (made.emb.mode, made.emb.dim, made.emb.inner) == ("mlet", 4, 16)
    single = convert_command(TrainCommand, Composer("config").one(["experiment=frappe_x1/dcn"]).values)
    assert run_config(config, arms_of(config)[4], own, 1) == single


def test_arms_are_each_named_once() -> None:
    def labels(*words: str) -> list[str]:
        return [arm.label for arm in arms_of(config_of(*words))]

    assert labels() == ["single d=16", "mlet d=16 k=64"]
    assert labels("emb.dim=8", "emb.inner=5") == ["single d=8", "mlet d=8 k=5"]
    assert labels("arms.dims=[2,2]", "arms.inner=[]") == ["single d=2"]
    narrow = labels("arms.dims=[2]", "arms.inner_per_dim=[0.1,0.5,1,2]", "arms.inner=[4]", "arms.single=false")
    assert narrow == ["mlet d=2 k=1", "mlet d=2 k=2", "mlet d=2 k=4"]
    frozen = labels("arms.dims=[2]", "arms.inner=[4]", "arms.frozen_per_dim=[3]")
    assert frozen == ["single d=2", "mlet d=2 k=4", "mlet_frozen d=2 k=6"]


@pytest.mark.parametrize(
    "word",
    [
        'arms=[emb=single, "emb=mlet emb.inner=7 emb.lr=0.1", emb=single, emb=mlet_frozen emb.inner_std=0.25]',
        "arms=[emb=single,'emb=mlet emb.inner=7 emb.lr=0.1',emb=mlet_frozen emb.inner_std=0.25]",
        'arms.overrides=["emb=single","emb=mlet emb.inner=7 emb.lr=0.1","emb=mlet_frozen emb.inner_std=0.25"]',
    ],
)
def test_an_arm_is_any_overrides_of_emb_after_those_of_the_whole_comparison(word: str) -> None:
    """What `train` makes of the same words is what a configuration is."""
    shared = ("experiment=frappe_x1/dcn", "emb.l2=0.01")
    config = config_of(*shared, "emb.inner=3", word)
    arms = arms_of(config)
    assert [arm.label for arm in arms] == ["single d=10", "mlet d=10 k=7 lr=0.1", "mlet_frozen d=10 k=3 inner_std=0.25"]
    for arm, own in zip(arms, ("emb=single", "emb=mlet emb.inner=7 emb.lr=0.1", ""), strict=True):
        if own:
            alone = convert_command(TrainCommand, Composer("config").one([*shared, *own.split()]).values)
            assert run_config(config, arm, search_of(config, arm.emb).own, 1) == alone


@pytest.mark.usefixtures("criteo_file")
def test_arms_by_overrides_are_tuned_and_compared_as_a_grid_is(command: Command, faked: Callable[..., None]) -> None:
    faked(lambda config: dict.fromkeys(("valid", "test"), (0.6 + 0.01 * (config.emb.inner or 0), 0.5)))
    own = 'arms=[emb=single,"emb=mlet emb.inner=7 emb.init_std=0.1"]'
    ended = command(*WORDS, own, "arms.inner_per_dim=[]", "trials=2", "hydra.run.dir=cmp")
    assert ended.code == cli.DONE, ended.err
    single, mlet = tune_json()["arms"]
    assert (single["overrides"], mlet["overrides"]) == ("emb=single", "emb=mlet emb.inner=7 emb.init_std=0.1")
    assert [len(arm["trials"]) for arm in (single, mlet)] == [2, 2]
    assert mlet["against"]["single_same_dim"]["auc"]["mean"] == pytest.approx(0.07)
    assert "\nmlet d=4 k=7 init_std=0.1 " in ended.out


def test_arms_by_overrides_keep_the_fingerprint_of_a_grid_as_it_was() -> None:
    prepared: Any = SimpleNamespace(fingerprint="data")
    assert tune_fingerprint(config_of("emb.inner_std=null"), prepared) == "aebbbcdf69db"
    short, long = "arms=[emb=single,emb=mlet]", 'arms.overrides=["emb=single ","emb=mlet"]'
    assert tune_fingerprint(config_of(short), prepared) == tune_fingerprint(config_of(long), prepared)
    assert tune_fingerprint(config_of(short), prepared) != tune_fingerprint(config_of(), prepared)


MISTAKES = [
    ("arms.dims=[]", ["arms.dims", "one or more"]),
    ("arms.dims=[0]", ["arms.dims", ">= 1"]),
    ("arms.single=false arms.inner=[]", ["arms", "none to compare"]),
    ("arms.inner_per_dim=[0]", ["arms.inner_per_dim", "> 0"]),
    ("arms.inner=[1.5]", ["arms.inner", "whole number"]),
    ("search.lr=[0.1,0.01]", ["search.lr", "low < high"]),
    ("search.emb_l2=[0,0.1]", ["search.emb_l2", "0 < low"]),
    ("search.emb_lr=[1]", ["search.emb_lr", "[low, high]"]),
    ("search.emb_lr=-1", ["search.emb_lr=-1", "> 0"]),
    ("search.emb_lr_as=times", ["search.emb_lr_as=times", "multiple"]),
    ("search.lrr=[0.1,1]", ["search.lrr", "Did you mean search.lr?"]),
    ("search.emb_l2=[0.001,0.1] emb.l2_rows=table", ["emb.l2_rows=table", "train.update=exact"]),
    ("search.lr=null search.emb_lr=null", ["search", "nothing is searched"]),
    ("trials=0", ["trials=0", ">= 1"]),
    ("seeds=[]", ["seeds", "one or more"]),
    ("seeds=[1,1]", ["seeds", "different"]),
    ("seeds=1,2", ["seeds=1,2"]),
    ("emb=single", ["emb.mode=single", "arms"]),
    ("arms=[emb=sinle]", ["emb=sinle", "Did you mean single?"]),
    ("arms=[emb=mlet|emb.iner=2]", ["emb.iner", "Did you mean emb.inner?"]),
    ("arms=[emb=mlet|emb.inner=0]", ["emb.inner=0", ">= 1"]),
    ("arms=[emb=single,model=dcn]", ["model=dcn", "emb.KEY=VALUE"]),
    ("arms=[emb=single,]", ["arms", "empty"]),
    ("arms=[emb=single", ["arms=[emb=single", "no end"]),
    ("arms=[emb=single] arms.dims=[4]", ["arms", "not both"]),
    ("arms.overrides=[1]", ["arms.overrides", "a list of texts"]),
    ("model.dropout=1", ["model.dropout=1", "< 1"]),
    ("dataset.raw=missing.txt", ["missing.txt", "no such file"]),
    ("-m seed=1,2", ["-m"]),
]


@pytest.mark.parametrize(("words", "named"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_mistake_is_one_clear_line_and_creates_nothing(
    command: Command, criteo_file: Path, words: str, named: list[str]
) -> None:
    ended = command("tune", *DATA, *(word.replace("|", " ") for word in words.split()))
    assert (ended.code, ended.out, ended.err.count("\n")) == (cli.MISTAKE, "", 1), ended.err
    for part in named:
        assert part in ended.err
    assert list(Path().iterdir()) == [criteo_file.relative_to(Path().absolute())]
