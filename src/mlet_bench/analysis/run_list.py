"""Run folders as rows: what each holds, how far it is and when it was last written to, newest first."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlet_bench.analysis.collect import Run, collect
from mlet_bench.config import flat
from mlet_bench.errors import UserError, listing, nearest, nearest_beside
from mlet_bench.runs.run_folder import CONFIG, DONE, LOG, METRICS, RunFolder

GROUPS = {"dataset": "dataset.name", "model": "model.name", "emb": "emb.mode"}
"""A group's choice and the key that holds it."""
FINISHED = "finished"


@dataclass(frozen=True)
class ListedRun:
    path: Path
    state: str
    """finished, unfinished, failed or damaged."""
    written: float
    """When, in seconds since the epoch."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """config.yaml, flat; empty where it cannot be read."""
    auc: float | None = None
    """On the test split."""


def run_list(folder: Path, filters: Sequence[str]) -> list[ListedRun]:
    """The runs below `folder` whose config has every `key=value` of `filters`; UserError where no run has such a key or
    value, or where the folder is missing."""
    if not folder.is_dir():
        hint = (
            "is a file, not a folder" if folder.exists() else f"no such folder.{nearest_beside(folder, folders=True)}"
        )
        raise UserError(f"{folder}: {hint}")
    collected = collect([folder])
    listed = [_listed(run.path, FINISHED, run) for run in collected.runs]
    listed += [_listed(out.path, out.state, None) for out in collected.left_out]
    listed.sort(key=lambda run: (-run.written, str(run.path)))
    for word in filters:
        listed = _filtered(listed, *word.split("=", 1))
    return listed


def _listed(path: Path, state: str, run: Run | None) -> ListedRun:
    config: Mapping[str, Any] = run.config if run else {}
    if run is None:
        with suppress(UserError, RecursionError, OSError):
            config = dict(flat(RunFolder(path).config()))
    times = [0.0]
    for name in (DONE, LOG, METRICS, CONFIG):
        with suppress(OSError):
            times.append((path / name).stat().st_mtime)
    return ListedRun(path, state, max(times), config, run.result.metrics.test.auc if run else None)


def _filtered(listed: list[ListedRun], name: str, wanted: str) -> list[ListedRun]:
    key = GROUPS.get(name, name)
    rows = [(run, run.state if key == "state" else run.config.get(key, ...)) for run in listed]
    if listed and all(value is ... for _, value in rows):
        keys = sorted({"state", *GROUPS, *(key for run in listed for key in run.config)})
        raise UserError(f"{name}={wanted}: none of these runs has this key.{nearest(name, keys)}")
    kept = [run for run, value in rows if _matches(value, wanted)]
    if listed and not kept:
        values = sorted({_spelled(value) for _, value in rows if value is not ...})
        raise UserError(f"{name}={wanted}: no such run; there are {listing(values)}.{nearest(wanted.lower(), values)}")
    return kept


def _matches(value: Any, wanted: str) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(ValueError):
            return float(wanted) == value
    return value is not ... and _spelled(value) == wanted


def _spelled(value: Any) -> str:
    """As on the command line."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
