"""A comparison: equally many trials for every configuration, a choice on validation, then the chosen ones on the seeds.

Nothing but the runs themselves is remembered: the same config proposes the same trials again, and those that are
finished are found in their folders.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlet_bench import models
from mlet_bench.commands import train as recipe
from mlet_bench.commands.prepare import prepared_data
from mlet_bench.config import TrainCommand, TuneCommand, convert, convert_command, monitored, monitored_name
from mlet_bench.config.emb import EMBEDDINGS, FrozenMLETEmbConfig, MLETEmbConfig, SingleEmbConfig, mode_of
from mlet_bench.config.emb_base import EmbConfig
from mlet_bench.data import Prepared
from mlet_bench.errors import RunFailedError, UserError
from mlet_bench.runs.planned import PlannedRun, check_disk, check_rows
from mlet_bench.runs.progress import Progress
from mlet_bench.runs.result import Result
from mlet_bench.runs.search import Search, Settings
from mlet_bench.runs.tune_folder import TuneFolder, against, summary
from mlet_bench.system import files, hardware

RUNS = "outputs/{{dataset}}/{model}/{mode}/seed{seed}-{{fingerprint}}"
"""Where `train` puts a run by itself: a trial is an ordinary run, and is found by either command."""

NAMED = ("emb", "emb.mode", "emb.dim", "emb.inner")
"""Keys that the mode, d and k of a label say already."""


@dataclass(frozen=True)
class Arm:
    """One embedding of a comparison."""

    emb: EmbConfig
    """Its `lr` and `l2` are those of the first trial."""
    overrides: str | None = None
    """What it was given by, where it was."""

    @property
    def mode(self) -> str:
        return self.emb.mode

    @property
    def label(self) -> str:
        """The mode, d and k, and whatever else it was given."""
        named = f"{self.mode} d={self.emb.dim}" + ("" if self.emb.inner is None else f" k={self.emb.inner}")
        others = [word for word in (self.overrides or "").split() if word.partition("=")[0] not in NAMED]
        return " ".join([named, *(word.removeprefix("emb.") for word in others)])


def arms_of(config: TuneCommand) -> list[Arm]:
    """The configurations as given, or in the order of their d, the standard embedding first, then MLET by k, then its
    control; each one once."""
    given = config.arms
    if given.overrides:
        firsts: dict[str, Arm] = {}
        for arm in given.overrides:
            firsts.setdefault(str(arm.emb), Arm(arm.emb, arm.overrides))
        return list(firsts.values())
    single, mlet, frozen = map(mode_of, (SingleEmbConfig, MLETEmbConfig, FrozenMLETEmbConfig))
    absolute = given.inner
    if absolute is None:
        absolute = () if given.inner_per_dim or config.emb.inner is None else (config.emb.inner,)
    shapes: list[tuple[str, int, int | None]] = []
    for dim in given.dims or (config.emb.dim,):
        inner = {*absolute, *_times(dim, given.inner_per_dim)}
        shapes += [(single, dim, None)] * given.single + [(mlet, dim, k) for k in sorted(inner)]
        shapes += [(frozen, dim, k) for k in sorted(_times(dim, given.frozen_per_dim))]
    return [_arm(config, *shape) for shape in dict.fromkeys(shapes)]


def _arm(config: TuneCommand, mode: str, dim: int, inner: int | None) -> Arm:
    own = {"mode": mode, "dim": dim, "inner": inner}
    return Arm(convert(EMBEDDINGS[mode], {**config.emb.model_dump(), **own}, "emb"))


def _times(dim: int, factors: Sequence[float]) -> set[int]:
    return {max(1, round(factor * dim)) for factor in factors}


def search_of(config: TuneCommand, emb: EmbConfig | None = None) -> Search:
    """A fresh search, the same for every configuration except for values of its own section `emb`."""
    emb = emb or config.emb
    return Search(config.search, Settings(config.train.lr, emb.lr, emb.l2), config.seed)


def tune(config: TuneCommand, run_dir: str, progress: Progress) -> tuple[Path, dict[str, Any]]:
    """Run the comparison, or what is missing of it; returns its folder and the content of its tune.json.

    UserError for what the user can correct, before anything is created; a run that fails is recorded, and the others go
    on; Interrupted after a signal.
    """
    arms = arms_of(config)
    for arm in arms:
        recipe.check(run_config(config, arm, search_of(config, arm.emb).highest, config.seed))
    TuneFolder(Path(run_dir)).check_usable()
    prepared = prepared_data(config.dataset, progress)
    for note in prepared.notes:
        progress.say(f"note: {note}")
    check_rows(prepared, config.train.monitor)
    fingerprint = tune_fingerprint(config, prepared)
    folder = TuneFolder(Path(run_dir.replace("{dataset}", prepared.name).replace("{fingerprint}", fingerprint)))
    if not folder.begun:  # one that was begun was looked at then, and its runs look for themselves
        _check_room(config, arms, prepared)
    with folder.opened(fingerprint):
        comparison = Comparison(config, arms, prepared, fingerprint, folder, progress)
        comparison.run()
    return folder.path, comparison.content


def _check_room(config: TuneCommand, arms: list[Arm], prepared: Prepared) -> None:
    """UserError if a configuration's runs cannot fit memory and disk, or all runs together cannot fit the disk."""
    device = hardware.device_for(**config.hardware.machine)
    runs = []
    for arm in arms:
        first = planned_run(config, arm, search_of(config, arm.emb).own, config.seed, prepared)
        try:
            first.check(device)
        except UserError as error:
            raise UserError(f"{arm.label}: {error}") from None
        runs.append(first)
    check_disk(runs * (config.trials + len(config.seeds)), "the comparison")


def tune_fingerprint(config: TuneCommand, prepared: Prepared) -> str:
    """Of all that makes the comparison: the data's content instead of its path, everything else as it was given."""
    uncounted: Any = {
        "dataset": True, "train": config.train.not_in_fingerprint, "emb": config.emb.not_in_fingerprint, "logger": True,
        "reference": True, "eval": config.eval.not_in_fingerprint,
    }  # fmt: skip
    given = {**config.model_dump(mode="json", exclude=uncounted), "model": models.chosen(config.model)}
    if config.arms.overrides:
        given["arms"] = [arm.emb.model_dump(mode="json", exclude=arm.emb.not_in_fingerprint) for arm in arms_of(config)]
    else:
        del given["arms"]["overrides"]  # younger than fingerprints
    return files.fingerprint({"data": prepared.fingerprint, **given})


def run_config(config: TuneCommand, arm: Arm, settings: Settings, seed: int) -> TrainCommand:
    """The run of a configuration with these settings; UserError if they do not go together."""
    emb = {**arm.emb.model_dump(), "lr": settings.emb_lr, "l2": settings.emb_l2}
    train = config.train.model_copy(update={"lr": settings.lr})
    shared = {name: getattr(config, name) for name in ("dataset", "model", "hardware", "eval", "logger", "reference")}
    return convert_command(TrainCommand, {**shared, "emb": emb, "train": train, "seed": seed, "rerun": False})


def planned_run(config: TuneCommand, arm: Arm, settings: Settings, seed: int, prepared: Prepared) -> PlannedRun:
    run_dir = RUNS.format(model=config.model.name, mode=arm.mode, seed=seed)
    return PlannedRun(run_config(config, arm, settings, seed), prepared, run_dir)


@dataclass(frozen=True)
class Outcome:
    """What came of a run; no result: it failed."""

    folder: Path | None
    result: Result | None = None
    error: str | None = None
    before: bool = False
    """Whether it was there before."""

    def as_json(self) -> dict[str, Any]:
        return {
            "state": "failed" if self.result is None else "done",
            "folder": None if self.folder is None else str(self.folder),
            "seconds": None if self.result is None else self.result.train.seconds,
            "error": self.error,
        }


def _entry(arm: Arm) -> dict[str, Any]:
    """What names a configuration in tune.json."""
    emb = arm.emb
    return {"label": arm.label, "mode": emb.mode, "dim": emb.dim, "inner": emb.inner, "overrides": arm.overrides}


class Comparison:
    """A comparison at work; `content` is what its tune.json holds, written anew after every run."""

    def __init__(
        self,
        config: TuneCommand,
        arms: list[Arm],
        prepared: Prepared,
        fingerprint: str,
        folder: TuneFolder,
        progress: Progress,
    ) -> None:
        self.config, self.arms, self.prepared, self.folder, self.progress = config, arms, prepared, folder, progress
        self.content: dict[str, Any] = {
            "version": 1,
            "fingerprint": fingerprint,
            "state": "trials",
            "dataset": {"name": prepared.name, "fingerprint": prepared.fingerprint},
            "model": config.model.name,
            "monitor": config.train.monitor,
            "config": config.model_dump(mode="json"),
            "arms": [{**_entry(arm), "trials": [], "chosen": None, "seeds": []} for arm in arms],
        }

    def run(self) -> None:
        """All trials, in rounds, so that no configuration is ever ahead of another by more than one; then all seeds."""
        entries = self.content["arms"]
        self.made = self.folder.made()
        searches = [search_of(self.config, arm.emb) for arm in self.arms]
        self.folder.save(self.content)
        for number in range(1, self.config.trials + 1):
            for arm, search, entry in zip(self.arms, searches, entries, strict=True):
                self._trial(number, arm, search, entry)
        self.content["state"] = "seeds"
        for seed in self.config.seeds:
            for arm, entry in zip(self.arms, entries, strict=True):
                if entry["chosen"]:
                    self._seed(seed, arm, entry)
        singles = [entry for entry in entries if entry["mode"] == mode_of(SingleEmbConfig)]
        for entry in entries:
            entry["summary"] = summary(entry)
            entry["against"] = against(entry, singles)
        self.content["state"] = "done"
        self.folder.save(self.content)

    def _trial(self, number: int, arm: Arm, search: Search, entry: dict[str, Any]) -> None:
        settings = search.ask()
        outcome = self._outcome(arm, settings, self.config.seed)
        value = self._value(outcome.result)
        search.tell(value)
        trial = {"number": number, "settings": asdict(settings), "value": value}
        entry["trials"].append({**trial, **self._recorded(outcome)})
        best = value is not None and (entry["chosen"] is None or value > entry["chosen"]["value"])
        if best:
            entry["chosen"] = {**trial, "at_edge": search.at_edge(settings)}
        self.folder.save(self.content)
        self._say(f"trial {number}/{self.config.trials}", arm, settings, outcome, "  best" * best)

    def _seed(self, seed: int, arm: Arm, entry: dict[str, Any]) -> None:
        settings = Settings(**entry["chosen"]["settings"])
        outcome = self._outcome(arm, settings, seed)
        run = {"seed": seed, "value": self._value(outcome.result), **self._recorded(outcome)}
        if outcome.result is not None:
            test, sizes = outcome.result.metrics.test, outcome.result.collapse
            run["test"] = {"auc": test.auc, "logloss": test.logloss}
            run["parameters"] = {"training": sizes.parameters_training, "inference": sizes.parameters_inference}
        entry["seeds"].append(run)
        self.folder.save(self.content)
        self._say(f"seed {seed}", arm, settings, outcome)

    def _recorded(self, outcome: Outcome) -> dict[str, Any]:
        """As tune.json has it; a run that this comparison made is never one that was there before."""
        if not outcome.before:
            self.made.add(str(outcome.folder))
        return {**outcome.as_json(), "before": str(outcome.folder) not in self.made}

    def _outcome(self, arm: Arm, settings: Settings, seed: int) -> Outcome:
        folder = None
        try:
            planned = planned_run(self.config, arm, settings, seed, self.prepared)
            folder = planned.folder
            if folder.finished:
                return Outcome(folder.path, folder.result(), before=True)
            return Outcome(*recipe.run(planned.config, planned.run_dir, self.progress.quiet()))
        except (RunFailedError, UserError) as error:
            reason = str(error)
        except Exception as error:  # a fault of ours in one run must not stop the others
            reason = f"{type(error).__name__}: {error}"
        return Outcome(None if folder is None else folder.path, error=reason)

    def _value(self, result: Result | None) -> float | None:
        """train.monitor's quantity on validation, the higher the better: the one thing that anything is chosen by."""
        if result is None:
            return None
        valid = result.metrics.valid
        assert valid.logloss is not None
        return monitored(self.config.train.monitor, valid.auc, valid.logloss)

    def _say(self, what: str, arm: Arm, settings: Settings, outcome: Outcome, note: str = "") -> None:
        words = f"lr {settings.lr:g}  emb.lr {settings.emb_lr or settings.lr:g}  l2 {settings.emb_l2:g}"
        if outcome.result is None:
            ended = f"failed: {outcome.error}"
        else:
            monitor, value = monitored_name(self.config.train.monitor), self._value(outcome.result)
            ended = f"valid {monitor} {value:.5f}  {outcome.result.train.seconds:.0f} s{note}"
        self.progress.say(f"{what}  {arm.label}  {words}  {ended}" + "  (finished before)" * outcome.before)
