"""Hydra: overrides → one resolved config, or the jobs of a sweep.

Composition is Hydra's own; what is added is that a mistake is named before anything is created, that a
user's `--config-dir` comes before the shipped folder (Hydra alone searches it last), and that a single run
leaves the making of its folder to us.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.version import setbase
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mlet_bench.errors import UserError, listing, nearest
from mlet_bench.help_text import shipped

TARGETS = ("hydra._internal.core_plugins.", "hydra_plugins.hydra_joblib_launcher.",
           "hydra_plugins.hydra_submitit_launcher.", "hydra_plugins.hydra_ray_launcher.")  # fmt: skip
"""What a sweep may instantiate: Hydra's own sweeper and launcher, and its published launchers."""


EXTRAS = {"joblib": "joblib", "submitit_local": "slurm", "submitit_slurm": "slurm", "ray": "ray"}
"""The extra of ours that brings a published launcher."""

OPEN = ("hydra.job.env_set.", "hydra.launcher.", "hydra.sweeper.")
"""Sections of Hydra's own config whose keys depend on what is chosen."""


@dataclass(frozen=True)
class Composed:
    """One command's config as plain Python values, all interpolations resolved."""

    values: dict[str, Any]
    run_dir: str
    run_dir_given: bool
    """Whether `hydra.run.dir` stood among the overrides."""
    task: tuple[str, ...] = ()
    """The overrides."""


class Composer:
    """Composes the config of one command; `config_dir` is a folder of the user's own configs."""

    def __init__(self, config_name: str, config_dir: Path | None = None) -> None:
        if config_dir is not None and not config_dir.is_dir():
            raise UserError(f"--config-dir {config_dir}: no such folder")
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
        self._loader = self._hydra.config_loader

    def one(self, overrides: Sequence[str]) -> Composed:
        """The config of a single run; UserError for anything that Hydra cannot compose."""
        parsed = self._parse(overrides)
        swept = [override for override in parsed if override.is_sweep_override()]
        if swept:
            raise UserError(
                f"{swept[0].input_line}: several values are a sweep; add -m to run them all, "
                "or quote the value if it is one"
            )
        self._check_keys(parsed)
        return _plain(self._load(overrides, RunMode.RUN), parsed)

    def jobs(self, overrides: Sequence[str]) -> list[Composed]:
        """The config of every job that Hydra's basic sweeper would make, in its order."""
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

        parsed = self._parse(overrides)
        (batch,) = self._try(lambda: BasicSweeper.split_arguments(parsed, None))
        return [self.one(job) for job in batch]

    def sweep(self, overrides: Sequence[str], job: Callable[[DictConfig], Any]) -> list[Any]:
        """Run `job` on each config of a sweep with the sweeper and launcher that are configured."""
        config = self._load(overrides, RunMode.MULTIRUN)
        for part in ("sweeper", "launcher"):
            target = str(config.hydra[part]._target_)
            if not target.startswith(TARGETS):
                raise UserError(f"hydra.{part}._target_={target}: not among the sweepers and launchers allowed")
        if config.hydra.callbacks:
            raise UserError("hydra.callbacks: not allowed, they name code to run")
        batches = self._try(
            lambda: self._hydra.multirun(self.config_name, job, list(overrides), with_log_configuration=False)
        )
        return [returned.return_value for batch in batches for returned in batch]

    def _parse(self, overrides: Sequence[str]) -> list[Override]:
        parser = OverridesParser.create(config_loader=self._loader)
        parsed = []
        for text in overrides:
            key, sign, value = text.partition("=")
            if not sign and not text.startswith("~"):
                raise UserError(f"{text}: not an override; write key=value or group=choice")
            try:
                parsed.append(parser.parse_override(text))
            except HydraException:
                raise UserError(
                    f"{text}: cannot be parsed; quote a value with special characters inside the shell's quotes: "
                    f"'{key}=\"{value}\"'"
                ) from None
        return parsed

    def _check_keys(self, parsed: Sequence[Override]) -> None:
        """Name an unknown group choice or key, with the nearest right one."""
        groups = [override for override in parsed if self._choices(override.key_or_group) is not None]
        for override in groups:
            choices = self._choices(override.key_or_group) or []
            given = override.value()
            if given is not None and not override.is_delete() and str(given) not in choices:
                extra = EXTRAS.get(str(given)) if override.key_or_group == "hydra/launcher" else None
                hint = f" pip install 'mlet-bench[{extra}]' brings it." if extra else nearest(str(given), choices)
                raise UserError(f"{override.key_or_group}={given}: no such choice; allowed: {listing(choices)}.{hint}")
        config = self._load([str(override.input_line) for override in groups], RunMode.RUN)
        known = list(_dotted(config))
        ours = [key for key in known if not key.startswith("hydra.")]
        for override in parsed:
            key = override.key_or_group
            if override in groups or override.is_add() or override.is_force_add() or key in known:
                continue
            if key.startswith(OPEN):
                continue
            section = key.rpartition(".")[0]
            siblings = [name for name in known if name.rpartition(".")[0] == section] if section in known else []
            top = [name for name in ours if "." not in name] + self._loader.list_groups("")
            allowed = siblings or sorted(set(top) - {"hydra"})
            raise UserError(f"{key}: no such key; allowed: {listing(allowed)}.{nearest(key, ours + allowed)}")

    def _choices(self, group: str) -> list[str] | None:
        """What can be chosen of a config group, or None where the key is no group."""
        folder = group.partition("@")[0].lstrip("/")
        if not folder or ".." in folder:
            return None
        choices = list(self._loader.get_group_options(folder, ObjectType.CONFIG))
        for nested in self._loader.get_group_options(folder, ObjectType.GROUP):
            choices += [f"{nested}/{name}" for name in self._choices(f"{folder}/{nested}") or []]
        return choices or None

    def _load(self, overrides: Sequence[str], mode: RunMode) -> DictConfig:
        config: DictConfig = self._try(
            lambda: self._hydra.compose_config(
                self.config_name, list(overrides), run_mode=mode, with_log_configuration=False
            )
        )
        return config

    @staticmethod
    def _try(function: Callable[[], Any]) -> Any:
        try:
            return function()
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(_first_line(error)) from None
        except yaml.YAMLError as error:
            raise UserError(f"a config file is no YAML: {' '.join(str(error).split())}") from None


def plain(config: DictConfig) -> dict[str, Any]:
    """A composed config without Hydra's own section, as plain Python values."""
    values = {}
    for key in config:
        if key not in ("hydra", "experiment"):
            value = config[key]
            values[str(key)] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    return values


def _plain(config: DictConfig, parsed: Sequence[Override]) -> Composed:
    setup_globals()
    given = any(override.key_or_group == "hydra.run.dir" for override in parsed)
    try:
        task = tuple(str(override.input_line) for override in parsed)
        composed = Composed(plain(config), str(config.hydra.run.dir or ""), given, task)
    except OmegaConfBaseException as error:
        raise UserError(_first_line(error)) from None
    if not composed.run_dir.strip():
        raise UserError("hydra.run.dir=: the path is empty; give a folder")
    return composed


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


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
