"""The folders of `tune` below some folders: which runs each compares, and on what budget."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from mlet_bench.analysis.collect import LeftOut
from mlet_bench.config import convert
from mlet_bench.errors import UserError
from mlet_bench.runs.tune_folder import TUNE
from mlet_bench.system import files

UNFINISHED = "this comparison is not finished"


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class _TunedRun(_Part):
    folder: str | None = None
    number: int | None = None
    """Of a trial."""
    before: bool = False
    """It was there before `tune`: an ordinary run, of which `tune` made use."""


class _Chosen(_Part):
    number: int


class _Arm(_Part):
    label: str
    dim: int
    inner: int | None = None
    mode: str
    trials: list[_TunedRun]
    chosen: _Chosen | None = None
    seeds: list[_TunedRun]


class _Tune(_Part):
    version: int = Field(ge=1, le=1)
    state: str
    config: dict[str, Any]
    arms: list[_Arm]


@dataclass(frozen=True)
class TunedArm:
    """One side of a comparison, its runs by their folders, all links resolved."""

    own: str
    """What sets it apart besides mode, ratio, d and k."""
    searched: tuple[Path, ...]
    """Of the trials."""
    seeds: tuple[Path, ...]
    """With the chosen settings."""
    made: frozenset[Path]
    """Of all those, what was not there before."""
    untuned: frozenset[Path]
    """With the config's own settings: they are also what `train` makes without tuning."""


@dataclass(frozen=True)
class Tuning:
    """A finished comparison of `tune`."""

    path: Path
    trials: int
    """Of each configuration."""
    arms: tuple[TunedArm, ...]

    @property
    def runs(self) -> set[Path]:
        return {path for arm in self.arms for path in (*arm.searched, *arm.seeds)}


def tunings_below(folders: Sequence[Path]) -> tuple[list[Tuning], list[LeftOut]]:
    """Every finished comparison below `folders`, each once; and those that are not finished or cannot be read."""
    tunings, left_out = [], []
    places = {path.parent.resolve(): path.parent for folder in folders for path in sorted(folder.rglob(TUNE))}
    for place in places.values():
        try:
            tunings.append(_read(place))
        except UserError as error:
            state = "unfinished" if str(error).startswith(UNFINISHED) else "damaged"
            left_out.append(LeftOut(place, state, str(error)))
    return tunings, left_out


def _read(folder: Path) -> Tuning:
    """UserError if tune.json is damaged, or says that `tune` is not finished."""
    values = files.read_json(folder / TUNE)
    try:
        tune = convert(_Tune, values if isinstance(values, dict) else {})
        trials, own_first = int(tune.config["trials"]), bool(tune.config["search"]["own_first"])
    except (UserError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{TUNE} is not what tune writes: {error}") from None
    if tune.state != "done":
        raise UserError(f"{UNFINISHED}; the command that began it resumes it")
    return Tuning(folder, trials, tuple(_arm(arm, folder, own_first) for arm in tune.arms))


def _arm(arm: _Arm, folder: Path, own_first: bool) -> TunedArm:
    places = {id(run): _place(run, folder) for run in (*arm.trials, *arm.seeds)}
    searched = {run.number: path for run in arm.trials if (path := places[id(run)]) is not None}
    seeds = tuple(path for run in arm.seeds if (path := places[id(run)]) is not None)
    before = {places[id(run)] for run in (*arm.trials, *arm.seeds) if run.before}
    made = {*searched.values(), *seeds} - before
    untuned = {path for number, path in searched.items() if own_first and number == 1}
    if own_first and arm.chosen and arm.chosen.number == 1:
        untuned |= set(seeds)
    named = f"{arm.mode} d={arm.dim}" + ("" if arm.inner is None else f" k={arm.inner}")
    own = " ".join(word for word in arm.label.removeprefix(named).split() if not word.startswith("ratio="))
    return TunedArm(own, tuple(searched.values()), seeds, frozenset(made), frozenset(untuned & made))


def _place(run: _TunedRun, folder: Path) -> Path | None:
    """A run's folder, named from where `tune` was called: that is here, or somewhere above its own folder."""
    if run.folder is None:
        return None
    places = (base / run.folder for base in (Path(), *folder.resolve().parents))
    return next((place.resolve() for place in places if place.is_dir()), None)
