"""What a reader of raw data offers to `prepare`, and what a raw file is known by."""

import fnmatch
import glob
import hashlib
import json
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mlet_bench.data.sources.bad_rows import Reading
from mlet_bench.data.splits import SplitRule
from mlet_bench.errors import UserError, nearest_beside
from mlet_bench.system import files

LABEL = "label"
TRUTH = "true_logit"
"""Column of the logit that labels were drawn from; only generated data sets have it."""
KEY = "split_key"
"""Column (int64) that the split rule goes by, where it needs one: a day, a time, the number of a given split."""


KEPT = "kept:"
"""Before the name of a raw column that is kept as it is."""


class RawSource(ABC):
    """Raw rows in order, in tables of any size."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    files: tuple[Path, ...]
    """What the rows are read from; empty when they are generated."""
    kept: tuple[str, ...] = ()
    """Raw columns that prepared rows carry as they are, used otherwise or not."""
    split: SplitRule
    generated_bytes: int = 0
    """Of rows that are not read from files, as text."""

    @abstractmethod
    def check(self) -> None:
        """A quick look at the input before anything is created; UserError names what is wrong."""

    def options(self) -> dict[str, Any]:
        """The reader's own choices that decide what the rows and the warnings are."""
        return {}

    def warnings(self, md5: Sequence[str]) -> list[str]:
        """What everybody should know of these rows, given the md5 of the files."""
        return []

    def notes(self) -> list[str]:
        """What the user should know of how this call was understood; others may get the same folder by another."""
        return []

    @abstractmethod
    def tables(self, reading: Reading) -> Iterator[pa.Table]:
        """Columns label (0 or 1), the numeric ones (nulls are missing), the categorical ones (strings or
        dictionaries of strings; null and "" are missing), and KEY, `true_logit` (float64) and those to be kept (KEPT
        and their names, each of one type) where there are any. Of rows that a model is asked about neither labels nor
        KEY.
        Bad rows and progress are told to `reading`."""


@dataclass(frozen=True)
class RawFile:
    """A raw file's content."""

    bytes: int
    md5: str


def data_root() -> Path:
    """Where raw and prepared data lie: MLET_BENCH_DATA, or data/ of the working folder."""
    return Path(os.environ.get("MLET_BENCH_DATA") or "data")


def stamp(path: Path) -> dict[str, int]:
    """What tells cheaply whether a file may have changed."""
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def check_unchanged(before: Mapping[Path, dict[str, int]]) -> None:
    """UserError when a file is not as its stamp says."""
    for path, known in before.items():
        try:
            same = stamp(path) == known
        except OSError:
            same = False
        if not same:
            raise UserError(f"{path}: changed while it was read; run the command again when it is whole")


@contextmanager
def unchanged(before: Mapping[Path, dict[str, int]]) -> Iterator[None]:
    """UserError when files changed while they were read, whatever else came of it: half of a new file looks like a bad
    row, a removed one like none at all."""
    try:
        yield
    except (UserError, OSError):
        check_unchanged(before)
        raise
    check_unchanged(before)


def remembered(path: Path) -> RawFile | None:
    """What is known of a file from an earlier reading, if its size and time are the same."""
    try:
        entry = json.loads(_memory().read_text(encoding="utf-8"))[str(path.resolve())]
        if entry.pop("seal") != files.fingerprint(entry):
            return None
        if {name: entry[name] for name in ("size", "mtime_ns")} == stamp(path):
            return RawFile(int(entry["size"]), str(entry["md5"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def raw_file(path: Path, stop: threading.Event) -> RawFile:
    """Size and md5, read once and then remembered; `stop` ends the reading early."""
    known = remembered(path)
    if known is not None:
        return known
    before = stamp(path)
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb", buffering=0) as opened:
        while (block := opened.read(1 << 22)) and not stop.is_set():
            digest.update(block)
    if stop.is_set():
        return RawFile(before["size"], "")
    check_unchanged({path: before})
    found = RawFile(before["size"], digest.hexdigest())
    _remember(str(path.resolve()), {**before, "md5": found.md5})
    return found


def _memory() -> Path:
    return data_root() / "raw-md5.json"


def _remember(key: str, entry: dict[str, Any]) -> None:
    path = _memory()
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.locked(_lock_of(path)):
        try:
            cache = json.loads(path.read_text(encoding="utf-8"))
            assert isinstance(cache, dict)
        except (OSError, ValueError, AssertionError):
            cache = {}
        files.write_json(path, {**cache, key: {**entry, "seal": files.fingerprint(entry)}})


def clear_leftovers() -> None:
    """Remove what a process that was killed while it remembered an md5 left behind."""
    path = _memory()
    halves = f".{path.name}.*.tmp"
    if not _lock_of(path).exists() and not any(path.parent.glob(halves)):
        return
    with suppress(UserError, OSError), files.locked(_lock_of(path), busy="held"):
        for half in path.parent.glob(halves):
            half.unlink(missing_ok=True)


def _lock_of(memory: Path) -> Path:
    return memory.with_name(".raw-md5.lock")


def matching(raw: Path | None, dataset: str) -> list[Path]:
    """The files of a glob by name, UserError when there are none; nothing where `raw` is no glob."""
    if raw is None or raw.exists() or not glob.has_magic(str(raw)):
        return []
    found = sorted(Path(name) for name in glob.glob(str(raw)))
    if not found:
        raise UserError(f"dataset.raw={raw}: no file has such a name.{_prepared_before(raw, dataset)}")
    return found


def existing(path: Path | None, dataset: str) -> Path:
    """The raw path, or UserError that says how to give it."""
    if path is None:
        raise UserError(f"dataset.raw: {dataset} needs the path of its raw file or folder (see data/README.md)")
    if not path.exists():
        hint = _prepared_before(path, dataset) or nearest_beside(path, folders=False)
        raise UserError(f"dataset.raw={path}: no such file or folder.{hint}")
    return path


def _prepared_before(raw: Path, dataset: str) -> str:
    """A hint with the folder that was prepared last from files that are gone: one, those of a folder or of a glob."""
    try:
        known = json.loads(_memory().read_text(encoding="utf-8"))
        there = raw.resolve()
        md5 = {entry["md5"] for path, entry in known.items()
               if Path(path) == there or there in Path(path).parents or fnmatch.fnmatch(path, str(there))}  # fmt: skip
        made = (data_root() / "prepared").glob(f"{glob.escape(dataset)}-*/manifest.json")
        for manifest in sorted(made, key=lambda path: path.stat().st_mtime_ns, reverse=True):
            inputs = {entry["md5"] for entry in json.loads(manifest.read_text(encoding="utf-8"))["inputs"]}
            if inputs and inputs <= md5:
                return f" It was prepared before: dataset.prepared={manifest.parent} needs no raw file."
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # a hint is not worth a second mistake
    return ""
