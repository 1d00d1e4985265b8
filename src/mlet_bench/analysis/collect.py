"""The runs below some folders: those that count, and those that do not, with the reason.

Read are result.json, config.yaml, metrics.jsonl and spectra.jsonl; nothing is written, and no model is opened.
"""

import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from mlet_bench.config import flat
from mlet_bench.errors import UserError, nearest_beside
from mlet_bench.runs.result import Bucket, Evaluation, Result, SpectraLine
from mlet_bench.runs.run_folder import CHECKPOINT, CONFIG, DONE, LOCK, LOG, METRICS, RESULT, SPECTRA, RunFolder
from mlet_bench.runs.run_log import logged_command

MOST_KEYS = 5000
"""A config with more is none of ours; YAML aliases can make a small file endless."""


@dataclass(frozen=True)
class Run:
    """A finished run."""

    path: Path
    result: Result
    config: dict[str, Any]
    """config.yaml, flat: `emb.dim` → 16."""
    curve: tuple[Evaluation, ...]
    notes: tuple[str, ...] = ()
    """What a reader of the result should know: nothing was learned, or something beside it could not be read."""
    spectra: tuple[SpectraLine, ...] = ()
    """Of runs with train.spectra=true."""
    command: str = ""
    """That began it; empty where its log does not say."""
    date: str = ""
    """On which it was finished, in UTC."""

    @cached_property
    def buckets(self) -> dict[tuple[str, str], Bucket]:
        """By field and name."""
        return {(bucket.field, bucket.bucket): bucket for bucket in self.result.buckets}


@dataclass(frozen=True)
class LeftOut:
    """A folder of a run that does not count."""

    path: Path
    state: str
    """unfinished, failed, damaged, repeated or no control (a truncated table that cannot be one)."""
    reason: str


@dataclass
class Collected:
    runs: list[Run] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def collect(folders: Sequence[Path]) -> Collected:
    """Every run below `folders`, sorted by path, each once; UserError where a folder is missing."""
    for folder in folders:
        _check_folder(folder)
    collected = Collected()
    paths: dict[Path, Path] = {}
    for path in itertools.chain.from_iterable(_run_folders(folder, collected.left_out) for folder in folders):
        paths.setdefault(path.resolve(), path)
    for path in paths.values():
        run = _read(path)
        if isinstance(run, Run):
            collected.runs.append(run)
        else:
            collected.left_out.append(run)
    collected.runs.sort(key=lambda run: str(run.path))
    collected.left_out.sort(key=lambda out: str(out.path))
    return collected


def holds_run(folder: Path) -> bool:
    """Whether a run was begun in this folder. Other tools write config.yaml too, so that name alone says nothing."""
    if any((folder / name).exists() for name in (RESULT, DONE, LOG)):
        return True
    try:
        with (folder / CONFIG).open("rb") as opened:
            return opened.read(12) == b"fingerprint:"
    except OSError:
        return False


def _check_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    if folder.exists():
        raise UserError(f"runs={folder}: is a file, not a folder")
    raise UserError(f"runs={folder}: no such folder.{nearest_beside(folder, folders=True)}")


def _run_folders(folder: Path, unreadable: list[LeftOut]) -> Iterator[Path]:
    def leave_out(error: OSError) -> None:
        unreadable.append(LeftOut(Path(str(error.filename)), "damaged", f"cannot be read ({error.strerror})"))

    for place, folders, _ in os.walk(folder, onerror=leave_out):
        folders[:] = sorted(name for name in folders if name != CHECKPOINT)
        if holds_run(Path(place)):
            yield Path(place)


def _read(path: Path) -> Run | LeftOut:
    folder = RunFolder(path)
    if not folder.finished:
        return _unfinished(path)
    try:
        result = folder.result()
        config = _flat_config(folder)
    except UserError as error:
        return LeftOut(path, "damaged", str(error).removeprefix(f"{path}{os.sep}"))
    for key, value in (("seed", result.seed), *((f"emb.{name}", value) for name, value in result.emb)):
        if config.get(key, value) != value:
            return LeftOut(path, "damaged", f"{CONFIG} says {key} {config[key]}, {RESULT} {value}")
    notes = [result.learned_nothing] if result.learned_nothing else []
    curve = _lines(folder, METRICS, Evaluation, "the run has no learning curve", notes)
    has_spectra = (path / SPECTRA).exists()
    spectra = _lines(folder, SPECTRA, SpectraLine, "the run has no spectra", notes) if has_spectra else ()
    date = datetime.fromtimestamp((path / DONE).stat().st_mtime, UTC).date().isoformat()
    return Run(path, result, config, curve, tuple(notes), spectra, logged_command(path / LOG), date)


def _unfinished(path: Path) -> LeftOut:
    error = _last_error(path / LOG)
    if (path / RESULT).is_file():
        return LeftOut(path, "failed", f"it has a result and no {DONE}: {error or 'collapse changed its logits'}")
    if error:
        return LeftOut(path, "failed", error)
    now = ", a process may be at work in it" if (path / LOCK).exists() else ""
    return LeftOut(path, "unfinished", f"no {DONE}{now}")


def _last_error(log: Path) -> str:
    """What the last line of a log says if it is an error."""
    try:
        with log.open("rb") as opened:
            opened.seek(max(0, log.stat().st_size - 4096))
            lines = opened.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return lines[-1].partition(" ERROR ")[2].strip() if lines else ""


def _flat_config(folder: RunFolder) -> dict[str, Any]:
    try:
        config = dict(itertools.islice(flat(folder.config()), MOST_KEYS + 1))
    except RecursionError:
        config = {}
    if not 0 < len(config) <= MOST_KEYS:
        raise UserError(f"{CONFIG}: damaged, no run has such keys")
    return config


LineT = TypeVar("LineT", bound=BaseModel)


def _lines(folder: RunFolder, name: str, schema: type[LineT], consequence: str, notes: list[str]) -> tuple[LineT, ...]:
    """The lines of a JSON Lines file; none, and a note, where they cannot be read."""
    try:
        folder.check(name)
        lines = (folder.path / name).read_text(encoding="utf-8").splitlines()
        return tuple(schema.model_validate(json.loads(line)) for line in lines)
    except OSError as error:
        notes.append(f"{name}: cannot be read ({error.strerror}); {consequence}")
    except (ValueError, RecursionError, UserError):  # pydantic's error is a ValueError
        notes.append(f"{name}: damaged; {consequence}")
    return ()
