"""Which runs were tuned alike and may be compared.

An embedding with more settings to choose from has more chances to be lucky. So a gain is measured only where both sides
had the same: the same number of trials in one `tune`, whose folder records it; or the same learning rates and L2, of
which the best on validation counts. What was tuned in another way forms a separate comparison, without gains.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from mlet_bench.analysis.collect import Run
from mlet_bench.analysis.comparisons import Budget, RunGroup, StudyComparison, Task
from mlet_bench.analysis.tunings import Tuning
from mlet_bench.analysis.variants import EmbeddingVariant


class Setting(NamedTuple):
    """What every embedding has: two sides tried the same if these are equal."""

    lr: float | None
    emb_lr: float | None
    l2: float | None
    l2_rows: str | None


class Kind(NamedTuple):
    """What factors alone have; runs of several kinds are not taken for more trials."""

    inner_std: float | None
    l2_on: str | None


Tried = dict[Kind, dict[Setting, RunGroup]]


def tuned_alike(
    comparisons: Sequence[StudyComparison], tunings: Sequence[Tuning], elsewhere: Set[Path] = frozenset()
) -> list[StudyComparison]:
    """The comparisons by what was tuned alike, those of `tune` first.

    A run can stand in several of them. Runs that `tune` made to choose among, and those that lie `elsewhere` and are
    known from its folder alone, are in its own comparison and no other: so tuning changes nothing that was there
    before.
    """
    parts = [comparison for tuning in tunings for comparison in _of_tuning(tuning, comparisons)]
    arms = [arm for tuning in tunings for arm in tuning.arms]
    made = {path for arm in arms for path in arm.made} | elsewhere
    untuned = {path for arm in arms for path in arm.untuned} - elsewhere
    tuned = {part.task._replace(budget="") for part in parts}
    for comparison in comparisons:
        parts += _alike(_ordinary(comparison, made, untuned), is_alone=comparison.task not in tuned)
    parts.sort(key=lambda part: (*part.task[:2], part.task.distinction, part.task.fingerprint, part.budget.order))
    names = Counter(part.task.title for part in parts)
    seen: Counter[str] = Counter()
    for place, part in enumerate(parts):
        if names[title := part.task.title] > 1:
            seen[title] += 1
            parts[place] = _named(part.task._replace(number=seen[title]), part.groups, part.budget)
    return parts


def _ordinary(comparison: StudyComparison, made: Set[Path], untuned: Set[Path]) -> StudyComparison:
    """Without the runs that `tune` made; its untuned ones stay where other runs have the same settings."""
    ordinary = [_kept(group, lambda run: run.path.resolve() not in made) for group in comparison.groups]
    settings = {_setting(group) for group in ordinary if group.runs}
    groups = [
        _kept(group, lambda run: run.path.resolve() not in made - untuned) if _setting(group) in settings else without
        for group, without in zip(comparison.groups, ordinary, strict=True)
    ]
    return replace(comparison, groups=tuple(group for group in groups if group.runs))


def _setting(group: RunGroup) -> Setting:
    tuned = group.tuned
    return Setting(tuned.lr, tuned.emb_lr, tuned.l2, tuned.l2_rows)


def _kept(group: RunGroup, wanted: Callable[[Run], bool]) -> RunGroup:
    return replace(group, runs={seed: run for seed, run in group.runs.items() if wanted(run)})


def _of_tuning(tuning: Tuning, comparisons: Sequence[StudyComparison]) -> Iterator[StudyComparison]:
    """The comparison that one `tune` made: the runs on its seeds alone count, and its choice is not made again."""
    every = [group for comparison in comparisons for group in comparison.groups]
    by_path = {run.path.resolve(): group for group in every for run in group.runs.values()}
    chosen: dict[EmbeddingVariant, RunGroup] = {}
    groups: list[RunGroup] = []
    for arm in tuning.arms:
        paths = set(arm.seeds)
        group = next((by_path[path] for path in arm.seeds if path in by_path), None)
        if group is None:
            continue
        own = dict.fromkeys([*group.variant.own.split(), *arm.own.split()])
        named = replace(group, variant=group.variant._replace(own=" ".join(own)))
        kept = _kept(named, lambda run, paths=paths: run.path.resolve() in paths)  # type: ignore[misc]
        if named.variant in chosen or not kept.runs:
            continue
        chosen[named.variant] = kept
        others = {id(by_path[path]): by_path[path] for path in arm.searched if path in by_path}
        groups += [kept, *(replace(each, variant=named.variant) for each in others.values() if each is not group)]
    if not chosen:
        return
    compressed = _compressed(list(chosen.values()), every)
    budget = Budget(f"best of {tuning.trials} trials each", chosen | {g.variant: g for g in compressed}, tuning.trials)
    yield _named(next(iter(chosen.values())).task, [*groups, *compressed], budget)


def _compressed(chosen: Sequence[RunGroup], every: Sequence[RunGroup]) -> list[RunGroup]:
    """Tables that were compressed after training, of runs that were chosen."""
    theirs = {str(run.config.get("fingerprint")) for group in chosen for run in group.runs.values()}
    made = (
        _kept(group, lambda run: str(run.config.get("fingerprint")) in theirs)
        for group in every
        if not group.variant.is_trained
    )
    return [group for group in made if group.runs]


def _alike(comparison: StudyComparison, *, is_alone: bool) -> list[StudyComparison]:
    """One comparison for each set of settings that both sides tried, and one of what has nothing beside it.

    One that `is_alone` and whole needs no name for that.
    """
    tried = _tried(comparison)
    baselines = {variant: kinds for variant, kinds in tried.items() if variant.is_baseline}
    if not baselines or len(baselines) == len(tried):
        return [comparison] if comparison.groups else []
    parts: dict[frozenset[Setting], list[RunGroup]] = defaultdict(list)
    for variant, kinds in tried.items():
        if not variant.is_baseline and (shared := _shared(variant, kinds, baselines)):
            settings, groups = shared
            parts[settings] += groups
    for settings, groups in parts.items():
        for kinds in baselines.values():
            for by_setting in kinds.values():
                if settings <= by_setting.keys():
                    groups += [by_setting[setting] for setting in by_setting if setting in settings]
    alone = [g for g in comparison.groups if g.variant.is_trained and not any(g in groups for groups in parts.values())]
    if len(parts) == 1 and not alone and is_alone:
        return [comparison]
    made = [_part(comparison, groups, _words(settings)) for settings, groups in parts.items()]
    return made + [_part(comparison, alone, "not tuned alike", is_fair=False)] * bool(alone)


def _tried(comparison: StudyComparison) -> dict[EmbeddingVariant, Tried]:
    found: dict[EmbeddingVariant, Tried] = {}
    for group in comparison.groups:
        if group.variant.is_trained:
            factors = Kind(group.tuned.inner_std, group.tuned.l2_on)
            kind = Kind(None, None) if group.variant.is_baseline else factors
            found.setdefault(group.variant, {}).setdefault(kind, {}).setdefault(_setting(group), group)
    return found


def _shared(
    variant: EmbeddingVariant, kinds: Tried, baselines: Mapping[EmbeddingVariant, Tried]
) -> tuple[frozenset[Setting], list[RunGroup]] | None:
    """The settings that a standard embedding (of the same d where there is one) tried too, and the groups with them."""
    own = baselines.get(EmbeddingVariant.baseline(variant.dim))
    best: tuple[frozenset[Setting], list[RunGroup]] | None = None
    for kind in sorted(kinds, key=lambda kind: (kind.inner_std or 0, str(kind.l2_on))):
        for (theirs,) in (tuple(each.values()) for each in ([own] if own else baselines.values())):
            settings = frozenset(kinds[kind].keys() & theirs.keys())
            if settings and (best is None or len(settings) > len(best[0])):
                best = settings, [kinds[kind][setting] for setting in kinds[kind] if setting in settings]
    return best


def _words(settings: frozenset[Setting]) -> str:
    return "same settings" if len(settings) == 1 else f"best of the same {len(settings)} settings"


def _part(comparison: StudyComparison, groups: list[RunGroup], words: str, *, is_fair: bool = True) -> StudyComparison:
    trained = sorted(groups, key=lambda group: (group.variant.order, str(group.tuned)))
    budget = Budget(words, is_fair=is_fair)
    chosen = StudyComparison(comparison.task, tuple(trained), budget).chosen_groups
    compressed = _compressed(chosen, comparison.groups) if is_fair else []
    return _named(comparison.task, [*trained, *compressed], budget)


def _named(task: Task, groups: Sequence[RunGroup], budget: Budget) -> StudyComparison:
    """A comparison whose task says what its sides were tuned with."""
    task = task._replace(budget=budget.words)
    named = {id(group): replace(group, task=task) for group in groups}
    choice = {variant: named[id(group)] for variant, group in budget.choice.items()}
    return StudyComparison(task, tuple(named.values()), replace(budget, choice=choice))
