"""The runs below some folders: those that count, and those that do not, with the reason.

Read are result.json, config.yaml, metrics.jsonl and spectra.jsonl; nothing is written, and no model is opened.
"""

import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from mlet_bench.config import flat
from mlet_bench.errors import UserError, nearest_beside
from mlet_bench.runs.result import Evaluation, Result, SpectraLine
from mlet_bench.runs.run_folder import CHECKPOINT, CONFIG, DONE, LOCK, LOG, METRICS, RESULT, SPECTRA, RunFolder

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
    """What could not be read and does not change the result."""
    spectra: tuple[SpectraLine, ...] = ()
    """Of runs with train.spectra=true."""


@dataclass(frozen=True)
class LeftOut:
    """A folder of a run that does not count."""

    path: Path
    state: str
    """unfinished, failed, damaged, repeated or no control (a cut table that cannot be one)."""
    reason: str


@dataclass
class Collected:
    runs: list[Run] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


class _DamagedError(Exception):
    """A file of a run is not what a run writes."""


def collect(folders: Sequence[Path]) -> Collected:
    """Every run below `folders`, sorted by path, each once; UserError where a folder is missing."""
    for folder in folders:
        _check_folder(folder)
    found = Collected()
    seen: set[Path] = set()
    for path in itertools.chain.from_iterable(_run_folders(folder, found.left_out) for folder in folders):
        if path.resolve() in seen:
            continue
        seen.add(path.resolve())
        one = _read(path)
        if isinstance(one, Run):
            found.runs.append(one)
        else:
            found.left_out.append(one)
    found.runs.sort(key=lambda run: str(run.path))
    found.left_out.sort(key=lambda out: str(out.path))
    return found


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
    def hear(error: OSError) -> None:
        unreadable.append(LeftOut(Path(str(error.filename)), "damaged", f"cannot be read ({error.strerror})"))

    for where, folders, _ in os.walk(folder, onerror=hear):
        folders[:] = sorted(name for name in folders if name != CHECKPOINT)
        if holds_run(Path(where)):
            yield Path(where)


def _read(path: Path) -> Run | LeftOut:
    if not (path / DONE).is_file():
        return _unfinished(path)
    try:
        _check(path, CONFIG, RESULT)
        result = _result(path)
        config = _config(path)
        for key, value in (("seed", result.seed), *((f"emb.{name}", value) for name, value in result.emb)):
            if config.get(key, value) != value:
                raise _DamagedError(f"{CONFIG} says {key} {config[key]}, {RESULT} {value}")
    except _DamagedError as error:
        return LeftOut(path, "damaged", str(error))
    notes: list[str] = []
    curve = _lines(path / METRICS, Evaluation, "the run has no learning curve", notes)
    wanted = (path / SPECTRA).exists()
    spectra = _lines(path / SPECTRA, SpectraLine, "the run has no spectra", notes) if wanted else ()
    return Run(path, result, config, curve, tuple(notes), spectra)


def _check(path: Path, *names: str) -> None:
    try:
        RunFolder(path).check(*names)
    except UserError as error:
        raise _DamagedError(str(error).removeprefix(f"{path}{os.sep}")) from None


def _unfinished(path: Path) -> LeftOut:
    said = _last_error(path / LOG)
    if (path / RESULT).is_file():
        return LeftOut(path, "failed", f"it has a result and no {DONE}: {said or 'collapse changed its logits'}")
    if said:
        return LeftOut(path, "failed", said)
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
    _, sign, said = lines[-1].partition(" ERROR ") if lines else ("", "", "")
    return said.strip() if sign else ""


def _result(path: Path) -> Result:
    try:
        return RunFolder(path).result()
    except UserError as error:
        raise _DamagedError(str(error).replace(f"{path / RESULT}", RESULT)) from None


def _config(path: Path) -> dict[str, Any]:
    try:
        values = RunFolder(path).config()
    except UserError as error:
        raise _DamagedError(str(error).replace(f"{path / CONFIG}", CONFIG)) from None
    try:
        found = dict(itertools.islice(flat(values), MOST_KEYS + 1))
    except RecursionError:
        found = {}
    if not 0 < len(found) <= MOST_KEYS:
        raise _DamagedError(f"{CONFIG}: damaged, no run has such keys")
    return found


LineT = TypeVar("LineT", bound=BaseModel)


def _lines(path: Path, schema: type[LineT], without: str, notes: list[str]) -> tuple[LineT, ...]:
    """The lines of a JSON Lines file; none, and a note, where they cannot be read."""
    try:
        RunFolder(path.parent).check(path.name)
        lines = path.read_text(encoding="utf-8").splitlines()
        return tuple(schema.model_validate(json.loads(line)) for line in lines)
    except OSError as error:
        notes.append(f"{path.name}: cannot be read ({error.strerror}); {without}")
    except (ValueError, RecursionError, UserError):  # pydantic's error is a ValueError
        notes.append(f"{path.name}: damaged; {without}")
    return ()
