"""Hydra: overrides → one resolved config, or the jobs of a sweep.

Composition is Hydra's own; what is added is that a mistake is named before anything is created, that a
user's `--config-dir` comes before the shipped folder (Hydra alone searches it last), and that a single run
leaves the making of its folder to us.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra.core.global_hydra import GlobalHydra
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
from mlet_bench.config.keys import Keys, dotted
from mlet_bench.config.origin import Origin, first_line
from mlet_bench.errors import UserError, nearest_beside
from mlet_bench.system.shipped import shipped

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
        self._keys = Keys(self._loader.repository, lambda words: self._load(words, RunMode.RUN))
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
        self._keys.check_choices(parsed)
        try:
            config = self._load(overrides, RunMode.RUN)
        except UserError:
            self._keys.check(parsed)  # has more to say than Hydra
            raise
        if not self._keys.of(parsed) <= set(dotted(config)):
            self._keys.check(parsed)
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


def _values(override: Override) -> int:
    """How many values of a sweep an override stands for."""
    swept = override.value()
    if isinstance(swept, RangeSweep):
        start, stop, step = (float(end) for end in (swept.start or 0, swept.stop or 0, swept.step))
        if not (math.isfinite(start) and math.isfinite(stop) and math.isfinite(step) and step):
            raise UserError(f"{override.input_line}: this range has no end")
        return max(0, math.ceil((stop - start) / step))
    return len(swept.list) if isinstance(swept, ChoiceSweep) else 1
