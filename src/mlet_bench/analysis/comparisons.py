"""Runs → groups → comparisons: what may be averaged, and what may be set beside what.

A group is everything but the seed. Groups that differ in embedding mode, d, k, the start of W2, learning rates and L2
alone stand in one comparison; any other difference (the data's content, the model's settings, training, threads) makes
another one.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import Any, NamedTuple

from mlet_bench.analysis.collect import LeftOut, Run
from mlet_bench.analysis.variants import EmbeddingVariant, short_names
from mlet_bench.config import EmbConfig, monitored
from mlet_bench.config.emb import EMBEDDINGS
from mlet_bench.evaluation.statistics import SeedDifference, Spread, paired_by_seed

TUNED = ("train.lr", "emb.lr", "emb.inner_std", "emb.l2", "emb.l2_on", "emb.l2_rows")
OF_MODES = {f"emb.{key}" for mode in EMBEDDINGS.values() for key in mode.model_fields.keys() - EmbConfig.model_fields}
"""Keys that a mode alone has: they make variants of it."""
COMPARED = {"emb.mode", "emb.dim", "emb.inner", "emb.ratio", "emb.min_rows", *OF_MODES, *TUNED}
"""What variants and settings within a comparison differ in."""
NO_EFFECT = {
    "fingerprint",
    "seed",
    "rerun",
    "logger",
    "reference",
    "train.checkpoint_minutes",
    "train.spectra",
    "hardware.threads",
}
"""Keys that are no setting, or (threads) are taken from the result, where the number in use stands."""
YOUNGER = {"emb.table_init": "dlrm", "dataset.shape": "criteo", "dataset.hour_as": "fields", "model.use_wide": False}
"""Keys that configs of earlier runs do not have, with what these runs did."""
PLACES = {"dataset.name", "dataset.raw", "dataset.prepared", "dataset.vocab", "dataset.item_field", "dataset.group"}
"""Keys of a data set that do not change its rows, and its name, which the result states too."""

Number = Callable[[Run], Any]
"""A number of a run; None where it has none."""
auc_on_valid: Number = attrgetter("result.metrics.valid.auc")
auc_on_test: Number = attrgetter("result.metrics.test.auc")
gauc_on_test: Number = attrgetter("result.metrics.test.gauc")
logloss_on_test: Number = attrgetter("result.metrics.test.logloss")


class Hyperparameters(NamedTuple):
    """What is tuned of a variant."""

    lr: float | None
    emb_lr: float | None
    inner_std: float | None
    l2: float | None
    l2_on: str | None
    l2_rows: str | None

    @classmethod
    def of(cls, run: Run) -> "Hyperparameters":
        """The rates in use: `emb.lr` null is `train.lr`, and without L2 its other keys have no effect."""
        lr, emb_lr, inner_std, *l2 = (run.config.get(key) for key in TUNED)
        return cls(lr, lr if emb_lr is None else emb_lr, inner_std, *(l2 if l2[0] else (l2[0], None, None)))

    @property
    def label(self) -> str:
        lr, emb_lr = ("?" if rate is None else f"{rate:g}" for rate in (self.lr, self.emb_lr))
        start = "" if self.inner_std is None else f", emb.inner_std {self.inner_std:g}"
        l2 = f", emb.l2 {self.l2:g} on {self.l2_on}, {self.l2_rows}" if self.l2 else ""
        return f"lr {lr}, emb.lr {emb_lr}{start}{l2}"


class Task(NamedTuple):
    """What the runs of a comparison have in common."""

    dataset: str
    model: str
    distinction: str
    """What sets it apart from other comparisons of the same data set and model; mostly nothing."""
    fingerprint: str
    """Of the data."""
    budget: str = ""
    """What each side was tuned with, where that sets a comparison apart."""
    number: int = 0
    """Among those of the same name, where there are several."""

    @property
    def title(self) -> str:
        """A short name; what sets several of them apart is `distinction`."""
        number = f" ({self.number})" if self.number else ""
        return " · ".join(part for part in (self.dataset, self.model, self.budget) if part) + number


@dataclass(frozen=True)
class RunGroup:
    """Runs that differ in their seed alone."""

    task: Task
    variant: EmbeddingVariant
    tuned: Hyperparameters
    runs: dict[int, Run]
    """By seed, in rising order."""

    @property
    def first(self) -> Run:
        return next(iter(self.runs.values()))

    def values(self, number: Number) -> dict[int, float]:
        """By seed, of the runs that have it."""
        return {seed: value for seed, run in self.runs.items() if (value := number(run)) is not None}

    def spread(self, number: Number) -> Spread:
        return Spread.of(list(self.values(number).values()))

    def minus(self, other: "RunGroup", number: Number) -> SeedDifference | None:
        """The difference paired by seed; None where the two share none."""
        return paired_by_seed(self.values(number), other.values(number))

    def over(self, other: "RunGroup", number: Number) -> Spread:
        """The ratio of the runs with the same seed."""
        ours, theirs = self.values(number), other.values(number)
        return Spread.of([ours[seed] / theirs[seed] for seed in ours if theirs.get(seed)])


@dataclass(frozen=True)
class Budget:
    """What each side of a comparison was tuned with."""

    words: str = ""
    choice: Mapping[EmbeddingVariant, RunGroup] = field(default_factory=dict)
    """That of `tune`; without one the settings are chosen here."""
    trials: int | None = None
    """Of `tune`, for each side."""
    is_fair: bool = True
    """Both sides had the same; without it nothing is measured over a standard embedding."""

    @property
    def is_tuned(self) -> bool:
        return self.trials is not None

    @property
    def order(self) -> tuple[bool, bool, str]:
        """What was tuned comes first, what has nothing beside it last."""
        return not self.is_fair, not self.is_tuned, self.words


@dataclass(frozen=True)
class StudyComparison:
    task: Task
    groups: tuple[RunGroup, ...]
    budget: Budget = field(default_factory=Budget)

    @property
    def variants(self) -> list[EmbeddingVariant]:
        return sorted({group.variant for group in self.groups}, key=lambda variant: variant.order)

    @property
    def runs(self) -> list[Run]:
        return [run for group in self.groups for run in group.runs.values()]

    @property
    def item_field(self) -> str | None:
        return next((str(name) for run in self.runs if (name := run.config.get("dataset.item_field"))), None)

    def tried(self, variant: EmbeddingVariant) -> list[RunGroup]:
        return [group for group in self.groups if group.variant == variant]

    def chosen(self, variant: EmbeddingVariant) -> RunGroup:
        """The group of a variant that is best on validation, by the mean of what `train.monitor` names.

        Settings are compared on the seeds that all of them ran, so that one that was tried with a lucky seed does not
        beat one that was tried with five; where they share none, each by its own. The first of equal ones wins.
        """
        if variant in self.budget.choice:
            return self.budget.choice[variant]
        groups = self.tried(variant)
        shared = set.intersection(*(set(group.values(on_valid)) for group in groups))
        return max(groups, key=lambda group: quality(group, shared))

    @cached_property
    def chosen_groups(self) -> list[RunGroup]:
        """Of every variant, in their order."""
        return [self.chosen(variant) for variant in self.variants]

    def baseline(self, dim: int) -> RunGroup | None:
        """The chosen standard embedding of width `dim`, if any ran and was tuned like the others."""
        if not self.budget.is_fair:
            return None
        variant = EmbeddingVariant.baseline(dim)
        return next((group for group in self.chosen_groups if group.variant == variant), None)


def on_valid(run: Run) -> float | None:
    """What `train.monitor` names, on validation: the higher the better."""
    valid = run.result.metrics.valid
    if valid.logloss is None:
        return None
    return monitored(str(run.config.get("train.monitor", "auc")), valid.auc, valid.logloss)


def quality(group: RunGroup, seeds: Set[int] = frozenset()) -> float:
    """The mean of what `train.monitor` names, on validation; over these of its seeds if any are given."""
    values = [value for seed, value in group.values(on_valid).items() if not seeds or seed in seeds]
    mean = Spread.of(values).mean
    return -math.inf if mean is None else mean


def compare(runs: Sequence[Run]) -> tuple[list[StudyComparison], list[LeftOut]]:
    """Comparisons sorted by title, and the runs that repeat another one (same settings and seed) and do not count.

    Of a run with spectra and the same one without, the latter does not count.
    """
    alike: dict[str, dict[tuple[EmbeddingVariant, Hyperparameters], dict[int, Run]]] = {}
    facts: dict[str, dict[str, str]] = {}
    """Of the first run of each comparison."""
    repeated = []
    for run in sorted(runs, key=lambda run: not run.spectra):
        own = _facts(run)
        key = str(sorted((name, fact) for name, fact in own.items() if not (own["data"] and _makes_rows(name))))
        facts.setdefault(key, own)
        groups = alike.setdefault(key, defaultdict(dict))
        seeds = groups[EmbeddingVariant.of(run.result.emb), Hyperparameters.of(run)]
        first = seeds.setdefault(run.result.seed, run)
        if first is not run:
            repeated.append(LeftOut(run.path, "repeated", f"the same settings and seed as {first.path}"))
    comparisons = []
    for key, groups in alike.items():
        own = facts[key]
        task = Task(own["name"], own["model"], _distinction(own, list(facts.values())), own["data"])
        names = short_names(variant for variant, _ in groups)
        made = [
            RunGroup(task, names[variant], tuned, dict(sorted(seeds.items())))
            for (variant, tuned), seeds in groups.items()
        ]
        made.sort(key=lambda group: (group.variant.order, str(group.tuned)))
        comparisons.append(StudyComparison(task, tuple(made)))
    return sorted(comparisons, key=lambda comparison: comparison.task), repeated


def _makes_rows(name: str) -> bool:
    return name.startswith("dataset.")


def _facts(run: Run) -> dict[str, str]:
    """All that must be equal within a comparison, as text; `data`, where it is known, stands for what makes rows."""
    result = run.result
    config = {**YOUNGER, **run.config}
    apart = COMPARED | NO_EFFECT | PLACES | {f"emb.{name}" for name, _ in result.emb}
    settings = {key: str(value) for key, value in config.items() if key not in apart}
    return {
        **settings,
        "name": result.dataset.name,
        "data": result.dataset.fingerprint or "",
        "rows": str(sorted(result.dataset.rows.items())),
        "model": result.model,
        "hardware.threads": str(result.hardware.get("threads", run.config.get("hardware.threads"))),
    }


def _distinction(own: dict[str, str], every: Sequence[dict[str, str]]) -> str:
    """What sets a comparison apart from others of the same data set and model.

    Other rows are told by the options that made them, or where those are the same by their fingerprint.
    """
    namesakes = [other for other in every if (other["name"], other["model"]) == (own["name"], own["model"])]
    differing = [name for name in sorted(own) if any(other.get(name) != own[name] for other in namesakes)]
    options = [name for name in differing if _makes_rows(name)]
    others = [name for name in differing if name not in options and not (options and name in ("data", "rows"))]
    return ", ".join(f"{name} {own[name]}" for name in options + others)
