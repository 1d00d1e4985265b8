"""Hydra: overrides → one resolved config, or the jobs of a sweep.

Composition is Hydra's own; what is added is that a mistake is named before anything is created, that a
user's `--config-dir` comes before the shipped folder (Hydra alone searches it last), and that a single run
leaves the making of its folder to us.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Quote, QuotedString, RangeSweep
from hydra.core.plugins import Plugins
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.version import setbase
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mlet_bench.config import hydra_section
from mlet_bench.config.hydra_internals import BasicSweeper, ConfigLoaderImpl, ConfigSearchPathImpl, Hydra
from mlet_bench.config.origin import Origin, first_line
from mlet_bench.errors import UserError, listing, nearest, nearest_beside
from mlet_bench.system.shipped import shipped

EXTRAS = {"joblib": "joblib", "submitit_local": "slurm", "submitit_slurm": "slurm", "ray": "ray"}
"""The extra of ours that brings a published launcher."""

MOST_JOBS = 10_000
"""Of a sweep."""
LONGEST_KEY = 200


@dataclass(frozen=True)
class Composed:
    """One command's config as plain Python values, all interpolations resolved."""

    values: dict[str, Any]
    run_dir: str
    run_dir_given: bool
    """Whether `hydra.run.dir` stood among the overrides."""
    overrides: tuple[str, ...]
    """As they were given, without Hydra's own keys."""
    origin: Origin
    """Of the keys that a file of an experiment set."""


class Composer:
    """Composes the config of one command; `config_dir` is a folder of the user's own configs."""

    def __init__(self, config_name: str, config_dir: Path | None = None) -> None:
        if config_dir is not None and not config_dir.is_dir():
            raise UserError(f"--config-dir {config_dir}: no such folder.{nearest_beside(config_dir, folders=True)}")
        self.config_name = config_name
        search_path = ConfigSearchPathImpl()
        search_path.append("hydra", "pkg://hydra.conf")
        for provider, folder in (("user", config_dir), ("mlet-bench", shipped())):
            if folder is not None:
                search_path.append(provider, f"file://{folder.absolute()}")
        search_path.append("schema", "structured://")
        Plugins.instance()  # registers the kinds of config source
        GlobalHydra.instance().clear()
        setbase("1.3")
        self._hydra = Hydra.create_main_hydra2("mlet-bench", search_path)
        assert isinstance(self._hydra.config_loader, ConfigLoaderImpl)
        self._loader: ConfigLoaderImpl = self._hydra.config_loader
        self._found: dict[str, list[str] | None] = {}
        self._check_primary()

    def one(self, overrides: Sequence[str]) -> Composed:
        """The config of a single run; UserError for anything that Hydra cannot compose."""
        parsed = self._parse(overrides)
        swept = [override for override in parsed if override.is_sweep_override()]
        if swept:
            key, _, values = str(swept[0].input_line).partition("=")
            if self.config_name != "config":  # only train sweeps
                raise UserError(f"{key}={values}: several values; a list is written {key}=[{values}]")
            raise UserError(
                f"{key}={values}: several values are a sweep; add -m to run them all, or quote the value if it is one"
            )
        groups = self._groups(parsed)
        for override in groups:
            self._check_choice(override)
        try:
            config = self._load(overrides, RunMode.RUN)
        except UserError:
            self._check_keys(parsed, groups)  # has more to say than Hydra
            raise
        if not {override.key_or_group for override in parsed if override not in groups} <= set(_dotted(config)):
            self._check_keys(parsed, groups)
        return self._composed(config, parsed)

    def jobs(self, overrides: Sequence[str]) -> list[Composed]:
        """The config of every job that Hydra's basic sweeper would make, in its order."""
        parsed = self._parse(overrides)
        expected = math.prod(_values(override) for override in parsed)
        if not 0 < expected <= MOST_JOBS:
            raise UserError(f"-m: this sweep has {expected:,} jobs; allowed: 1 to {MOST_JOBS:,}")
        (batch,) = self._try(lambda: BasicSweeper.split_arguments(parsed, None))
        return [self.one(job) for job in batch]

    def sweep(
        self,
        overrides: Sequence[str],
        job: Callable[[DictConfig], Any],
        hold: Callable[[Path], AbstractContextManager[Any]] = nullcontext,
    ) -> list[Any]:
        """Run `job` on each config of a sweep with the sweeper and launcher that are configured.

        `hold` gets the folder of the sweep's own files before anything is created, and is in force until its end.
        """
        config = self._load(overrides, RunMode.MULTIRUN)
        folder = str(self._try(lambda: config.hydra.sweep.dir) or "")
        if not folder.strip():
            raise UserError("hydra.sweep.dir=: the path is empty; give a folder")
        # Named once: composed again, the default would hold another time.
        given = [*overrides, f"hydra.sweep.dir={QuotedString(folder, Quote.double).with_quotes()}"]
        with hold(Path(folder)):
            batches = self._try(
                lambda: self._hydra.multirun(self.config_name, job, given, with_log_configuration=False)
            )
        return [returned.return_value for batch in batches for returned in batch]

    def _composed(self, config: DictConfig, parsed: Sequence[Override]) -> Composed:
        setup_globals()
        given = {override.key_or_group for override in parsed}
        try:
            ours = [one.input_line or "" for one in parsed if not one.key_or_group.startswith(("hydra.", "hydra/"))]
            origin = Origin.of(self._loader, config.hydra.runtime.choices.get("experiment"), given)
            run_dir = str(config.hydra.run.dir or "")
            composed = Composed(plain(config), run_dir, "hydra.run.dir" in given, tuple(ours), origin)
        except OmegaConfBaseException as error:
            raise UserError(first_line(error)) from None
        if not composed.run_dir.strip():
            raise UserError("hydra.run.dir=: the path is empty; give a folder")
        if "\0" in composed.run_dir:
            raise UserError(f"hydra.run.dir={composed.run_dir}: no path holds a null character")
        return composed

    def _check_primary(self) -> None:
        """Hydra imports what `hydra.searchpath` of the primary config names, before anything else: we look first."""
        primary = self._try(lambda: self._loader.repository.load_config(self.config_name))
        config = OmegaConf.create() if primary is None else primary.config
        if OmegaConf.is_dict(config) and self._try(lambda: OmegaConf.select(config, "hydra.searchpath")) is not None:
            raise UserError("hydra.searchpath: cannot be set; --config-dir names a folder of your own configs")

    def _parse(self, overrides: Sequence[str]) -> list[Override]:
        parser = OverridesParser.create(config_loader=self._loader)
        parsed = []
        for text in overrides:
            key, sign, value = text.partition("=")
            if len(key) > LONGEST_KEY:
                raise UserError(f"{key[:40]}…: no such key, it has {len(key):,} letters")
            if not sign and not text.startswith("~"):
                raise UserError(f"{text}: not an override; write key=value or group=choice")
            try:
                override = parser.parse_override(text)
            except (HydraException, ValueError, RecursionError):
                if value.startswith("[") and "]" not in value:
                    raise UserError(
                        f"{text}: the list ends at a space; write {key}=[a,b] without spaces, or quote it: "
                        f"'{key}=[a, b]'"
                    ) from None  # a number of 5,000 digits, a thousand brackets
                raise UserError(
                    f"{text}: cannot be parsed; quote a value with special characters inside the shell's quotes: "
                    f"'{key}=\"{value}\"'"
                ) from None
            hydra_section.check_key(override.key_or_group)
            parsed.append(override)
        return parsed

    def _groups(self, parsed: Sequence[Override]) -> list[Override]:
        """Those that choose, where the others give a key a value."""
        return [override for override in parsed if self._choices(override.key_or_group) is not None]

    def _check_choice(self, override: Override) -> None:
        """Name an unknown choice of a group, with the nearest right one."""
        choices = self._choices(override.key_or_group) or []
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

    def _check_keys(self, parsed: Sequence[Override], groups: Sequence[Override]) -> None:
        """Name an unknown group or key, with the nearest right one."""
        for override in groups:
            self._check_group(override)
        top = self._top
        known = _dotted(self._load([str(override.input_line) for override in groups], RunMode.RUN))
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
            same = [name for name in ours if "." in name and name.rpartition(".")[2] == key]
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
        choices = self._choices(group) if rest and group != "hydra" else None
        loaded = {choice: self._loader.repository.load_config(f"{group}/{choice}") for choice in choices or ()}
        return [choice for choice, found in loaded.items() if found is not None and rest in found.config]

    def _chosen(self, groups: Sequence[Override], group: str) -> str:
        config = self._load([str(override.input_line) for override in groups], RunMode.RUN)
        return str(config.hydra.runtime.choices[group])

    @cached_property
    def _top(self) -> list[str]:
        """The keys and groups that this command has."""
        config = self._load((), RunMode.RUN)
        groups = [name for name in config.hydra.runtime.choices if not name.startswith("hydra/")]
        return sorted({*groups, *(key for key in _dotted(config) if "." not in key)} - {"hydra", "bench"})

    def _choices(self, group: str) -> list[str] | None:
        """What can be chosen of a config group, or None where the key is no group."""
        folder = group.partition("@")[0].lstrip("/")
        if not folder or ".." in folder:
            return None
        if folder not in self._found:
            repository = self._loader.repository  # the loader itself would copy it for every question
            choices = list(repository.get_group_options(folder, ObjectType.CONFIG))
            for nested in repository.get_group_options(folder, ObjectType.GROUP):
                choices += [f"{nested}/{name}" for name in self._choices(f"{folder}/{nested}") or []]
            self._found[folder] = choices or None
        return self._found[folder]

    def _load(self, overrides: Sequence[str], mode: RunMode) -> DictConfig:
        def composed() -> DictConfig:
            config = self._hydra.compose_config(
                self.config_name, list(overrides), run_mode=mode, with_log_configuration=False
            )
            hydra_section.check(config)
            return config

        try:
            config: DictConfig = self._try(composed)
        except ValueError as error:  # Hydra's own of an override that it has no use for
            raise UserError(f"{' '.join(overrides)}: {first_line(error)}") from None
        return config

    @staticmethod
    def _try(function: Callable[[], Any]) -> Any:
        try:
            return function()
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(first_line(error)) from None
        except yaml.YAMLError as error:
            raise UserError(f"a config file is not YAML: {' '.join(str(error).split())}") from None
        except RecursionError:
            raise UserError("a config file is nested too deep") from None


def plain(config: DictConfig) -> dict[str, Any]:
    """A composed config without Hydra's own section, as plain Python values."""
    values = {}
    for key in config:
        if key not in ("hydra", "experiment"):
            value = config[key]
            values[str(key)] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    return values


def _dotted(config: Any, prefix: str = "") -> list[str]:
    """Every key path of a config, sections included."""
    paths = []
    for key in config:
        path = f"{prefix}{key}"
        paths.append(path)
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not (node._is_none() or node._is_missing() or node._is_interpolation()):
            paths += _dotted(node, f"{path}.")
    return paths


def _values(override: Override) -> int:
    """How many values of a sweep an override stands for."""
    swept = override.value()
    if isinstance(swept, RangeSweep):
        start, stop, step = (float(end) for end in (swept.start or 0, swept.stop or 0, swept.step))
        if not (math.isfinite(start) and math.isfinite(stop) and math.isfinite(step) and step):
            raise UserError(f"{override.input_line}: this range has no end")
        return max(0, math.ceil((stop - start) / step))
    return len(swept.list) if isinstance(swept, ChoiceSweep) else 1
