"""Runs → arms → comparisons: what may be averaged, and what may be set beside what.

An arm is everything but the seed. Arms that differ in embedding mode, d, k, learning rates and L2 alone stand in one
comparison; any other difference (the data's content, the model's settings, training, threads) makes another one.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

from mlet_bench.analysis.collect import LeftOut, Run
from mlet_bench.config import monitored
from mlet_bench.evaluation.statistics import Spread

SINGLE, MLET, FROZEN, SVD = "single", "mlet", "mlet_frozen", "svd"
CONTROLS = (FROZEN, SVD)
"""Embeddings that explain a gain and are no offer themselves: figures and size ratios leave them out."""
ARM_KEYS = {"emb.mode", "emb.dim", "emb.inner", "emb.lr", "emb.l2", "emb.l2_on", "emb.l2_rows", "train.lr"}
NO_EFFECT = {
    *("fingerprint", "seed", "rerun", "logger", "train.checkpoint_minutes", "train.spectra", "hardware.threads"),
}
"""Keys that are no setting, or (threads) are taken from the result, where the number in use stands."""
PLACES = ("dataset.raw", "dataset.prepared", "dataset.vocab", "dataset.item_field", "dataset.group")
"""Keys of a data set that do not change its rows."""


class Cell(NamedTuple):
    """What a reader compares: the embedding's mode and its two widths."""

    mode: str
    dim: int
    inner: int | None

    @property
    def label(self) -> str:
        return f"{self.curve}, d = {self.dim}"

    @property
    def curve(self) -> str:
        """Its name where d is an axis."""
        return self.mode if self.inner is None else f"{self.mode} k = {self.inner}"

    @property
    def is_control(self) -> bool:
        return self.mode in CONTROLS

    @property
    def order(self) -> tuple[bool, str, int, int]:
        return self.mode != SINGLE, self.mode, self.dim, self.inner or 0


class Setting(NamedTuple):
    """What is tuned within a cell."""

    lr: float | None
    emb_lr: float | None
    l2: float | None
    l2_on: str | None
    l2_rows: str | None

    @property
    def label(self) -> str:
        rates = f"lr {_number(self.lr)}, emb.lr {_number(self.emb_lr)}"
        return rates + (f", emb.l2 {self.l2:g} on {self.l2_on}, {self.l2_rows}" if self.l2 else "")


@dataclass(frozen=True)
class Arm:
    cell: Cell
    setting: Setting
    runs: dict[int, Run]
    """By seed."""

    def values(self, of: Callable[[Run], float | None]) -> dict[int, float]:
        """A number of each seed's run, where it has one."""
        found = {seed: of(run) for seed, run in sorted(self.runs.items())}
        return {seed: value for seed, value in found.items() if value is not None}

    def spread(self, of: Callable[[Run], float | None]) -> Spread:
        return Spread.of(list(self.values(of).values()))


@dataclass(frozen=True)
class Comparison:
    dataset: str
    model: str
    variant: str
    """What sets it apart from other comparisons of the same data set and model; mostly nothing."""
    fingerprint: str
    arms: tuple[Arm, ...]

    @property
    def title(self) -> str:
        return " · ".join(part for part in (self.dataset, self.model, self.variant) if part)

    @property
    def cells(self) -> list[Cell]:
        return sorted({arm.cell for arm in self.arms}, key=lambda cell: cell.order)

    @property
    def runs(self) -> list[Run]:
        return [run for arm in self.arms for _, run in sorted(arm.runs.items())]

    @property
    def item_field(self) -> str | None:
        return next((str(name) for run in self.runs if (name := run.config.get("dataset.item_field"))), None)

    def tried(self, cell: Cell) -> list[Arm]:
        return [arm for arm in self.arms if arm.cell == cell]

    def chosen(self, cell: Cell) -> Arm:
        """The arm of a cell that is best on validation, by the mean of what `train.monitor` names.

        Settings are compared on the seeds that all of them ran, so that one that was tried with a lucky seed does not
        beat one that was tried with five; where they share none, each by its own. The first of equal ones wins.
        """
        arms = self.tried(cell)
        shared = set.intersection(*(set(arm.values(on_valid)) for arm in arms))

        return max(arms, key=lambda arm: quality(arm, shared))

    def single(self, dim: int) -> Arm | None:
        """The chosen single-table arm of width `dim`, if any ran."""
        cell = Cell(SINGLE, dim, None)
        return self.chosen(cell) if cell in self.cells else None


def on_valid(run: Run) -> float | None:
    """What `train.monitor` names, on validation: the higher the better."""
    valid = run.result.metrics.valid
    if valid.auc is None or valid.logloss is None:
        return None
    return monitored(str(run.config.get("train.monitor", "auc")), valid.auc, valid.logloss)


def quality(arm: Arm, seeds: Set[int] = frozenset()) -> float:
    """The mean of what `train.monitor` names, on validation; over these of its seeds if any are given."""
    mean = Spread.of([value for seed, value in arm.values(on_valid).items() if not seeds or seed in seeds]).mean
    return -math.inf if mean is None else mean


def auc_on_valid(run: Run) -> float | None:
    return run.result.metrics.valid.auc


def auc_on_test(run: Run) -> float | None:
    return run.result.metrics.test.auc


def gauc_on_test(run: Run) -> float | None:
    return run.result.metrics.test.gauc


def logloss_on_test(run: Run) -> float | None:
    return run.result.metrics.test.logloss


def compare(runs: Sequence[Run]) -> tuple[list[Comparison], list[LeftOut]]:
    """Comparisons sorted by title, and the runs that repeat another one (same settings and seed) and do not count.

    Of a run with spectra and the same one without, the latter does not count.
    """
    groups: dict[tuple[tuple[str, str], ...], dict[tuple[Cell, Setting], dict[int, Run]]]
    groups = defaultdict(lambda: defaultdict(dict))
    repeated = []
    for run in sorted(runs, key=lambda run: not run.spectra):
        seeds = groups[tuple(sorted(_rest(run).items()))][cell_of(run), setting_of(run)]
        if run.result.seed in seeds:
            first = seeds[run.result.seed].path
            repeated.append(LeftOut(run.path, "repeated", f"the same settings and seed as {first}"))
        else:
            seeds[run.result.seed] = run
    firsts = [next(iter(next(iter(arms.values())).values())) for arms in groups.values()]
    variants = _variants([dict(key) for key in groups], [_options(run) for run in firsts])
    found = []
    for (key, arms), variant in zip(groups.items(), variants, strict=True):
        made = [Arm(cell, setting, seeds) for (cell, setting), seeds in arms.items()]
        made.sort(key=lambda arm: (arm.cell.order, str(arm.setting)))
        rest = dict(key)
        found.append(Comparison(rest["dataset.name"], rest["model"], variant, rest["data"], tuple(made)))
    return sorted(found, key=lambda one: (one.title, one.fingerprint)), repeated


def cell_of(run: Run) -> Cell:
    emb = run.result.emb
    return Cell(emb.mode, emb.dim, None if emb.mode == SINGLE else emb.inner)


def setting_of(run: Run) -> Setting:
    """The rates in use: `emb.lr` null is `train.lr`, and without L2 its other keys have no effect."""
    get = run.config.get
    lr, emb_lr, l2 = get("train.lr"), get("emb.lr"), get("emb.l2")
    on, rows = (get("emb.l2_on"), get("emb.l2_rows")) if l2 else (None, None)
    return Setting(lr, lr if emb_lr is None else emb_lr, l2, on, rows)


def _rest(run: Run) -> dict[str, str]:
    """All that must be equal within a comparison, as text; `data` stands for the rows."""
    result = run.result
    content = result.dataset.fingerprint
    rest = {
        key: str(value)
        for key, value in run.config.items()
        if key not in ARM_KEYS | NO_EFFECT and not key.startswith("dataset.")
    }
    threads: Any = result.hardware.get("threads", run.config.get("hardware.threads"))
    return {
        **({} if content else _options(run)),
        **rest,
        "dataset.name": result.dataset.name,
        "data": content or "",
        "rows": str(sorted(result.dataset.rows.items())),
        "model": result.model,
        "hardware.threads": str(threads),
    }


def _options(run: Run) -> dict[str, str]:
    """The options that make a data set's rows."""
    return {key: str(value) for key, value in run.config.items() if key.startswith("dataset.") and key not in PLACES}


def _variants(keys: Sequence[dict[str, str]], options: Sequence[dict[str, str]]) -> list[str]:
    """For each comparison what sets it apart from others of the same data set and model.

    Other rows are told by the options that made them, or where those are the same by their fingerprint.
    """
    found = []
    for key, own in zip(keys, options, strict=True):
        named = [position for position, other in enumerate(keys) if _name(other) == _name(key)]
        differing = [one for one in sorted(own) if any(options[other].get(one) != own[one] for other in named)]
        told = {"data", "rows"} if differing else set()
        differing += [
            one for one in sorted(key) if one not in told and any(keys[o].get(one) != key[one] for o in named)
        ]
        found.append(", ".join(f"{one} {({**key, **own})[one]}" for one in dict.fromkeys(differing)))
    return found


def _name(key: dict[str, str]) -> tuple[str, str]:
    return key["dataset.name"], key["model"]


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"
