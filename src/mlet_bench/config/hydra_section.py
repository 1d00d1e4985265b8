"""What may be set in Hydra's own section of a config: nothing that names code to run.

Hydra makes objects from `_target_`, and Python's logging from `class` and `()`, wherever they come from: the command
line, or a file of a `--config-dir`. Here the launchers are a list of names, and everything else stays as shipped.
"""

import re
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mlet_bench.errors import UserError, listing, nearest

LAUNCHERS = {
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher": "basic",
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher": "joblib",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher": "submitit_local",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher": "submitit_slurm",
    "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher": "ray",
}
SILENT = {"version": 1, "root": None, "disable_existing_loggers": False}
SHIPPED: dict[str, Any] = {
    "searchpath": [],
    "callbacks": {},
    "verbose": False,
    "hydra_logging": SILENT,
    "job_logging": SILENT,
    "sweeper": {
        "_target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
        "max_batch_size": None,
        "params": None,
    },
}
"""What these are and stay."""
KEYS = ("hydra/launcher", "hydra.run.dir", "hydra.sweep.dir")
OPEN = ("hydra.launcher.", "hydra.job.env_set.")
"""Sections whose keys depend on what is chosen."""
NAMES_CODE = re.compile(r"_\w+_")
"""`_target_` and the keys that go with it."""


def check_key(key: str) -> None:
    """UserError for a key of Hydra's own that is not to be set on the command line."""
    ours = not key.startswith(("hydra.", "hydra/")) and key != "hydra"
    named = key in KEYS or (key.startswith(OPEN) and not any(map(NAMES_CODE.fullmatch, key.split("."))))
    if not (ours or named):
        allowed = (*KEYS, *(f"{section}*" for section in OPEN))
        raise UserError(f"{key}: no such key to set; allowed: {listing(allowed)}.{nearest(key, KEYS)}")


def check(config: DictConfig) -> None:
    """UserError if a composed config, by whatever file of it, would let Hydra run what is not named here."""
    for key, shipped in SHIPPED.items():
        if _plain(config.hydra[key]) != shipped:
            raise UserError(f"hydra.{key}: cannot be set, not even in a file of --config-dir; it stays as shipped")
    launcher = _plain(config.hydra.launcher)
    target = launcher.pop("_target_", None) if isinstance(launcher, dict) else None
    if target not in LAUNCHERS:
        raise UserError(
            f"hydra.launcher._target_={target}: no launcher of ours; allowed: {listing(LAUNCHERS.values())}"
        )
    if _names_code(launcher):
        raise UserError("hydra.launcher: holds a _target_ further down; only the launcher itself is made from a name")


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _names_code(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(NAMES_CODE.fullmatch(str(key)) or _names_code(inner) for key, inner in value.items())
    return isinstance(value, list) and any(map(_names_code, value))
