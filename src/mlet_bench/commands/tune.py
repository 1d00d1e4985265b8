"""A comparison: the same number of trials for every arm, chosen on validation, then the chosen settings on the seeds.

Nothing but the runs themselves is remembered: the same config proposes the same trials again, and those that are
finished are found in their folders.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlet_bench.commands import train as recipe
from mlet_bench.config import TrainCommand, TuneCommand, convert_command, monitored, monitored_name
from mlet_bench.data import Prepared
from mlet_bench.errors import RunFailedError, UserError
from mlet_bench.evaluation.statistics import Spread, paired_by_seed
from mlet_bench.report.console.progress import ProgressConsole, SilentConsole
from mlet_bench.runs import limits
from mlet_bench.runs.search import Search, Settings
from mlet_bench.system import files, hardware

TUNE, LOCK = "tune.json", ".lock"
RUNS = "outputs/{{dataset}}/{model}/{mode}/seed{seed}-{{fingerprint}}"
"""Where `train` puts a run by itself: a trial is an ordinary run, and is found by either command."""


@dataclass(frozen=True)
class Arm:
    """One embedding of a comparison; a single table has no `inner`."""

    mode: str
    dim: int
    inner: int | None

    @property
    def label(self) -> str:
        return f"{self.mode} d={self.dim}" + ("" if self.inner is None else f" k={self.inner}")


def arms_of(config: TuneCommand) -> list[Arm]:
    """The arms in the order of their d, the single table first, then MLET by k, then its control; each one once."""
    arms, given = [], config.arms
    absolute = given.inner
    if absolute is None:
        absolute = () if given.inner_per_dim or config.emb.inner is None else (config.emb.inner,)
    for dim in given.dims or (config.emb.dim,):
        inner = {*absolute, *_times(dim, given.inner_per_dim)}
        arms += [Arm("single", dim, None)] * given.single + [Arm("mlet", dim, k) for k in sorted(inner)]
        arms += [Arm("mlet_frozen", dim, k) for k in sorted(_times(dim, given.frozen_per_dim))]
    return list(dict.fromkeys(arms))


def _times(dim: int, factors: Sequence[float]) -> set[int]:
    return {max(1, round(factor * dim)) for factor in factors}


def tune(config: TuneCommand, run_dir: str, live: ProgressConsole) -> tuple[Path, dict[str, Any]]:
    """Run the comparison, or what is missing of it; returns its folder and the content of its tune.json.

    UserError for what the user can mend, before anything is created; a run that fails is recorded, and the others go
    on; Interrupted after a signal.
    """
    arms = arms_of(config)
    for arm in arms:
        recipe.check(run_config(config, arm, Search(config).highest, config.seed))
    _check_folder(Path(run_dir))
    prepared = recipe.prepare(config, live)
    for note in prepared.notes:
        live.say(f"note: {note}")
    limits.check_rows(prepared)
    fingerprint = tune_fingerprint(config, prepared)
    folder = recipe.run_folder(run_dir, prepared, fingerprint).path
    if not (folder / TUNE).exists():  # one that was begun was looked at then, and its runs look for themselves
        _check_room(config, arms, prepared)
    folder.mkdir(parents=True, exist_ok=True)
    with files.locked(folder / LOCK, f"{folder}: another process works on this comparison"):
        for half in folder.glob(f".{TUNE}.*.tmp"):  # of killed processes
            half.unlink()
        held = _held(folder / TUNE) if (folder / TUNE).exists() else {"fingerprint": fingerprint}
        if not isinstance(held, dict) or held.get("fingerprint") != fingerprint:
            raise UserError(f"hydra.run.dir={folder}: holds another comparison; choose another folder")
        comparison = Comparison(config, arms, prepared, fingerprint, folder / TUNE, live)
        comparison.run()
    return folder, comparison.found


def _held(path: Path) -> Any:
    try:
        return files.read_json(path)
    except UserError as error:
        raise UserError(f"{error}; remove it: the same command writes it again from the runs") from None


def _check_room(config: TuneCommand, arms: list[Arm], prepared: Prepared) -> None:
    """UserError if an arm's runs cannot fit memory and disk, or what all runs will leave cannot fit the disk."""
    several = []
    for arm in arms:
        search = Search(config)
        first = run_config(config, arm, search.own, config.seed)
        place = RUNS.format(model=config.model.name, mode=arm.mode, seed=config.seed)
        folder = recipe.run_folder(place, prepared, recipe.run_fingerprint(first, prepared))
        needs = limits.needs_of(first, prepared)
        try:
            limits.check_run(needs, folder, hardware.device_for(**config.hardware.model_dump()))
        except UserError as error:
            raise UserError(f"{arm.label}: {error}") from None
        several += [(needs, folder)]
    limits.check_runs(several * (config.trials + len(config.seeds)), "the comparison")


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"hydra.run.dir={folder}: is a file, not a folder")
    held = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    foreign = [name for name in held if name not in (TUNE, LOCK) and not name.startswith(f".{TUNE}.")]
    if foreign:
        raise UserError(f"hydra.run.dir={folder}: holds files of others ({foreign[0]}); choose another folder")


def tune_fingerprint(config: TuneCommand, prepared: Prepared) -> str:
    """Of all that makes the comparison: the data's content instead of its path, everything else as it was given."""
    uncounted: Any = {"dataset": True, "train": config.train.not_in_fingerprint, "logger": True}
    given = config.model_dump(mode="json", exclude=uncounted)
    return files.fingerprint({"data": prepared.fingerprint, **given})


def run_config(config: TuneCommand, arm: Arm, settings: Settings, seed: int) -> TrainCommand:
    """The run of an arm with these settings; UserError if they do not go together."""
    emb = {"mode": arm.mode, "dim": arm.dim, "inner": arm.inner, "lr": settings.emb_lr, "l2": settings.emb_l2}
    return convert_command(
        TrainCommand,
        {
            "dataset": config.dataset,
            "model": config.model,
            "emb": {**config.emb.model_dump(), **emb},
            "hardware": config.hardware,
            "train": config.train.model_copy(update={"lr": settings.lr}),
            "eval": config.eval,
            "logger": config.logger,
            "seed": seed,
            "rerun": False,
        },
    )


class Comparison:
    """A comparison at work; `found` is what its tune.json holds, written anew after every run."""

    def __init__(
        self,
        config: TuneCommand,
        arms: list[Arm],
        prepared: Prepared,
        fingerprint: str,
        path: Path,
        live: ProgressConsole,
    ) -> None:
        self.config, self.arms, self.prepared = config, arms, prepared
        self.path, self.live, self.quiet = path, live, SilentConsole(live.console)
        self.monitor = config.train.monitor
        self.found: dict[str, Any] = {
            "version": 1,
            "fingerprint": fingerprint,
            "state": "trials",
            "dataset": {"name": prepared.name, "fingerprint": prepared.fingerprint},
            "model": config.model.name,
            "monitor": self.monitor,
            "config": config.model_dump(mode="json"),
            "arms": [{"label": arm.label, **asdict(arm), "trials": [], "chosen": None, "seeds": []} for arm in arms],
        }

    def run(self) -> None:
        """All trials, in rounds, so that no arm is ever ahead of another by more than one; then all seeds."""
        searches = [Search(self.config) for _ in self.arms]
        self._write()
        for number in range(1, self.config.trials + 1):
            for arm, search, entry in zip(self.arms, searches, self.found["arms"], strict=True):
                self._trial(number, arm, search, entry)
        self.found["state"] = "seeds"
        for seed in self.config.seeds:
            for arm, entry in zip(self.arms, self.found["arms"], strict=True):
                if entry["chosen"]:
                    self._seed(seed, arm, entry)
        for entry in self.found["arms"]:
            entry["summary"] = _summary(entry)
            entry["against"] = self._against(entry)
        self.found["state"] = "done"
        self._write()

    def _trial(self, number: int, arm: Arm, search: Search, entry: dict[str, Any]) -> None:
        settings = search.ask()
        trial, result, before = self._outcome(arm, settings, self.config.seed)
        value = None if result is None else self._value(result)
        search.tell(value)
        entry["trials"].append({"number": number, "settings": asdict(settings), "value": value, **trial})
        chosen = entry["chosen"]
        best = value is not None and (chosen is None or value > chosen["value"])
        if best:
            edges = search.at_edge(settings)
            entry["chosen"] = {"number": number, "settings": asdict(settings), "value": value, "at_edge": edges}
        self._write()
        note = "  best" * best + "  (finished before)" * before
        self._say(f"trial {number}/{self.config.trials}", arm, settings, trial, value, note)

    def _seed(self, seed: int, arm: Arm, entry: dict[str, Any]) -> None:
        settings = Settings(**entry["chosen"]["settings"])
        run, result, before = self._outcome(arm, settings, seed)
        value = None if result is None else self._value(result)
        if result is not None:
            test, size = result["metrics"]["test"], result["collapse"]
            run["test"] = {name: test[name] for name in ("auc", "logloss")}
            run["parameters"] = {name: size[f"parameters_{name}"] for name in ("training", "inference")}
        entry["seeds"].append({"seed": seed, "value": value, **run})
        self._write()
        self._say(f"seed {seed}", arm, settings, run, value, "  (finished before)" * before)

    def _outcome(self, arm: Arm, settings: Settings, seed: int) -> tuple[dict[str, Any], dict[str, Any] | None, bool]:
        """What is recorded of a run, its result (None if it failed), and whether it was there before."""
        place = RUNS.format(model=self.config.model.name, mode=arm.mode, seed=seed)
        run: dict[str, Any] = {"state": "failed", "folder": None, "seconds": None, "error": None}
        try:
            config = run_config(self.config, arm, settings, seed)
            folder = recipe.run_folder(place, self.prepared, recipe.run_fingerprint(config, self.prepared))
            run["folder"], before = str(folder.path), folder.finished
            result = folder.result() if before else recipe.run(config, place, self.quiet)[1]
        except (RunFailedError, UserError) as error:
            return {**run, "error": str(error)}, None, False
        except Exception as error:  # a fault of ours in one run must not stop the others
            return {**run, "error": f"{type(error).__name__}: {error}"}, None, False
        return {**run, "state": "done", "seconds": result["train"]["seconds"]}, result, before

    def _value(self, result: dict[str, Any]) -> float:
        """train.monitor's quantity on validation, the higher the better: the one thing that anything is chosen by."""
        valid = result["metrics"]["valid"]
        return monitored(self.config.train.monitor, valid["auc"], valid["logloss"])

    def _against(self, entry: dict[str, Any]) -> dict[str, Any]:
        """The arm's differences to the single tables of its own d and of the largest."""
        singles = {other["dim"]: other for other in self.found["arms"] if other["mode"] == "single"}
        largest = max(singles, default=None)
        bases = {"single_same_dim": singles.get(entry["dim"]), "single_largest_dim": singles.get(largest)}
        return {name: _differences(entry, base) for name, base in bases.items()}

    def _write(self) -> None:
        files.write_json(self.path, self.found)

    def _say(
        self, what: str, arm: Arm, settings: Settings, run: dict[str, Any], value: float | None, note: str
    ) -> None:
        words = f"lr {settings.lr:g}  emb.lr {settings.emb_lr or settings.lr:g}  l2 {settings.emb_l2:g}"
        ended = (
            f"failed: {run['error']}"
            if value is None
            else f"valid {monitored_name(self.monitor)} {value:.5f}  {run['seconds']:.0f} s{note}"
        )
        self.live.say(f"{what}  {arm.label}  {words}  {ended}")


def sound(found: dict[str, Any]) -> bool:
    """Whether every arm has chosen settings and no run on the seeds failed; a failed trial is a part of searching."""
    return all(arm["chosen"] and all(run["state"] == "done" for run in arm["seeds"]) for arm in found["arms"])


def _summary(entry: dict[str, Any]) -> dict[str, Any]:
    """An arm over its seeds. Minutes are those of training steps, each different run counted once."""
    done = [run for run in entry["seeds"] if run["state"] == "done"]
    seconds = {run["folder"]: run["seconds"] for run in entry["trials"] + done if run["state"] == "done"}
    return {
        "valid": asdict(Spread.of([run["value"] for run in done])),
        "test": {key: asdict(Spread.of(list(_test(entry, key).values()))) for key in ("auc", "logloss")},
        "parameters": done[0]["parameters"] if done else None,
        "failed_trials": sum(trial["state"] == "failed" for trial in entry["trials"]),
        "train_minutes": sum(seconds.values()) / 60,
    }


def _differences(entry: dict[str, Any], base: dict[str, Any] | None) -> dict[str, Any] | None:
    if base is None or base is entry:
        return None
    gains = {key: paired_by_seed(_test(entry, key), _test(base, key)) for key in ("auc", "logloss")}
    none = {"n": 0, "mean": None, "sd": None, "t": None}  # no seed ended well on both sides
    return {
        "dim": base["dim"],
        **{key: {part: getattr(gain, part) for part in none} if gain else none for key, gain in gains.items()},
    }


def _test(entry: dict[str, Any], key: str) -> dict[int, float]:
    """By seed; a run whose test split has one class has no AUC."""
    done = [run for run in entry["seeds"] if run["state"] == "done"]
    return {run["seed"]: run["test"][key] for run in done if run["test"][key] is not None}
