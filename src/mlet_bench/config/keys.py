"""What can be chosen and set on a command line, and what is said of anything else."""

import difflib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from mlet_bench.config import hydra_section
from mlet_bench.errors import UserError, listing, nearest

EXTRAS = {"joblib": "joblib", "submitit_local": "slurm", "submitit_slurm": "slurm", "ray": "ray"}
"""The extra of ours that brings a published launcher."""


class Keys:
    """The keys and groups of one command; asked of Hydra's repository, since its loader copies that for every question.

    `load` composes some choices.
    """

    def __init__(self, repository: Any, load: Callable[[Sequence[str]], DictConfig]) -> None:
        self._repository, self._load = repository, load
        self._found: dict[str, list[str] | None] = {}

    def of(self, parsed: Sequence[Override]) -> set[str]:
        """The keys that are given a value, where others choose of a group."""
        return {override.key_or_group for override in parsed if self.choices(override.key_or_group) is None}

    def check_choices(self, parsed: Sequence[Override]) -> None:
        """Name an unknown choice of a group, with the nearest right one."""
        for override in self._groups(parsed):
            self._check_choice(override)

    def _groups(self, parsed: Sequence[Override]) -> list[Override]:
        return [override for override in parsed if self.choices(override.key_or_group) is not None]

    def _check_choice(self, override: Override) -> None:
        choices = self.choices(override.key_or_group) or []
        given = override.value()
        optional = override.is_delete() or override.key_or_group == "experiment"
        if str(given) not in choices and not (given is None and optional):
            self._check_group(override)
            extra = EXTRAS.get(str(given)) if override.key_or_group == "hydra/launcher" else None
            hint = f" pip install 'mlet-bench[{extra}]' brings it." if extra else nearest(str(given), choices)
            raise UserError(f"{override.key_or_group}={given}: no such choice; allowed: {listing(choices)}.{hint}")

    def _check_group(self, override: Override) -> None:
        if override.key_or_group not in self._top and not override.key_or_group.startswith("hydra/"):
            raise UserError(f"{override.key_or_group}: no such key; allowed: {listing(self._top)}.")

    def check(self, parsed: Sequence[Override]) -> None:
        """Name an unknown group or key, with the nearest right one."""
        groups = self._groups(parsed)
        for override in groups:
            self._check_group(override)
        top = self._top
        known = dotted(self._load([str(override.input_line) for override in groups]))
        ours = [key for key in known if not key.startswith("hydra.")]
        for override in parsed:
            key = override.key_or_group
            if override in groups or override.is_add() or override.is_force_add() or key in known:
                continue
            if key.startswith(hydra_section.OPEN):
                continue
            section = key.rpartition(".")[0]
            siblings = [name for name in known if name.rpartition(".")[0] == section] if section in known else []
            allowed = siblings or top
            same = _of_some_section(key, ours)
            hint = f" Did you mean {' or '.join(same)}?" if 0 < len(same) < 4 else nearest(key, ours + allowed)
            elsewhere = self._having(key)
            if elsewhere:
                chosen = self._chosen(groups, section)
                raise UserError(f"{key}: {section}={chosen} has no such key; those that have it: {listing(elsewhere)}. "
                                f"Keys of {section}={chosen}: {listing(allowed)}")  # fmt: skip
            raise UserError(f"{key}: no such key; allowed: {listing(allowed)}.{hint}")

    def _having(self, key: str) -> list[str]:
        """The choices of a group that have a key which the chosen one lacks."""
        group, _, rest = key.partition(".")
        choices = self.choices(group) if rest and group != "hydra" else None
        loaded = {choice: self._repository.load_config(f"{group}/{choice}") for choice in choices or ()}
        return [choice for choice, found in loaded.items() if found is not None and rest in found.config]

    def _chosen(self, groups: Sequence[Override], group: str) -> str:
        config = self._load([str(override.input_line) for override in groups])
        return str(config.hydra.runtime.choices[group])

    @cached_property
    def _top(self) -> list[str]:
        """The keys and groups that this command has."""
        config = self._load(())
        groups = [name for name in config.hydra.runtime.choices if not name.startswith("hydra/")]
        return sorted({*groups, *(key for key in dotted(config) if "." not in key)} - {"hydra", "bench"})

    def choices(self, group: str) -> list[str] | None:
        """What can be chosen of a config group, or None where the key is no group."""
        folder = group.partition("@")[0].lstrip("/")
        if not folder or ".." in folder:
            return None
        if folder not in self._found:
            choices = list(self._repository.get_group_options(folder, ObjectType.CONFIG))
            for nested in self._repository.get_group_options(folder, ObjectType.GROUP):
                choices += [f"{nested}/{name}" for name in self.choices(f"{folder}/{nested}") or []]
            self._found[folder] = choices or None
        return self._found[folder]


def _of_some_section(key: str, names: Sequence[str]) -> list[str]:
    """The keys that end as `key`, or nearly so, which was given without its section.

    >>> _of_some_section("lrr", ["seed", "train.lr", "emb.lr"]), _of_some_section("seeed", ["seed", "train.read"])
    (['train.lr', 'emb.lr'], [])
    """
    near = difflib.get_close_matches(key, {name.rpartition(".")[2] for name in names}, n=1, cutoff=0.75)
    return [name for name in names if "." in name and name.rpartition(".")[2] in near]


def dotted(config: Any, prefix: str = "") -> list[str]:
    """Every key path of a config, sections included."""
    paths = []
    for key in config:
        path = f"{prefix}{key}"
        paths.append(path)
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not (node._is_none() or node._is_missing() or node._is_interpolation()):
            paths += dotted(node, f"{path}.")
    return paths
