"""What a reader of raw data offers to `prepare`, and what a raw file is known by."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from mlet_bench import files
from mlet_bench.errors import UserError

SPLITS = ("train", "valid", "test")
LABEL = "label"
TRUTH = "true_logit"
"""Column of the logit that labels were drawn from; only generated data sets have it."""


class RawSource(Protocol):
    """Raw rows in order, in batches of any size."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]

    def check(self) -> None:
        """A quick look at the input before anything is created; UserError names what is wrong."""

    def identity(self) -> list[dict[str, Any]]:
        """What the rows are known by: for files bytes, rows and md5; never a name, a path or a time."""

    def raw_bytes(self) -> int:
        """About how many bytes the rows have as text, for the check of free disk."""

    def options(self) -> dict[str, Any]:
        """The reader's own choices that decide what the rows are."""

    def batches(self) -> Iterator[pa.Table]:
        """Columns label (int8, 0 or 1), the numeric ones (nulls are missing), the categorical ones
        (strings, "" is missing) and, where the truth is known, `true_logit` (float64)."""

    def split_of(self, first_row: int, rows: int) -> np.ndarray:
        """For rows first_row … first_row + rows - 1 the index into SPLITS (int8)."""


@dataclass(frozen=True)
class RawFile:
    """A raw file's content: bytes, number of lines and md5."""

    bytes: int
    lines: int
    md5: str


def data_root() -> Path:
    """Where raw and prepared data lie: MLET_BENCH_DATA, or data/ of the working folder."""
    return Path(os.environ.get("MLET_BENCH_DATA") or "data")


def raw_file(path: Path) -> RawFile:
    """Read a file once for its md5 and lines; remembered by path, size and time of change."""
    status = path.stat()
    cache_path = data_root() / "raw-md5.json"
    key = str(path.resolve())
    stamp = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
    try:
        cache = json.loads(cache_path.read_text(encoding="utf-8"))
        known = cache[key]
        if {name: known[name] for name in stamp} == stamp:
            return RawFile(int(status.st_size), int(known["lines"]), str(known["md5"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    digest, lines, last = hashlib.md5(usedforsecurity=False), 0, b"\n"
    with path.open("rb") as opened:
        while block := opened.read(1 << 24):
            digest.update(block)
            lines += block.count(b"\n")
            last = block[-1:]
    found = RawFile(status.st_size, lines + (last != b"\n"), digest.hexdigest())
    _remember(cache_path, key, {**stamp, **asdict(found)})
    return found


def _remember(cache_path: Path, key: str, entry: dict[str, Any]) -> None:
    cache_path.parent.mkdir(parents=True, exist_ok=True)
    with files.locked(cache_path.with_name(".raw-md5.lock")):
        try:
            cache = json.loads(cache_path.read_text(encoding="utf-8"))
            assert isinstance(cache, dict)
        except (OSError, ValueError, AssertionError):
            cache = {}
        files.write_json(cache_path, {**cache, key: entry})


def existing(path: Path | None, dataset: str) -> Path:
    """The raw path, or UserError that says how to give it."""
    if path is None:
        raise UserError(f"dataset.raw: {dataset} needs the path of its raw file or folder (see data/README.md)")
    if not path.exists():
        raise UserError(f"dataset.raw={path}: no such file or folder")
    return path
