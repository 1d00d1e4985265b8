"""The files of the user's own rows, and which split each belongs to, as the names of files and folders say it."""

import glob
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlet_bench.config import TableConfig
from mlet_bench.data.sources.hive import Folders, is_hive
from mlet_bench.data.sources.raw import existing, matching
from mlet_bench.data.splits import SPLITS, TEST, TRAIN, VALID
from mlet_bench.errors import UserError, listing

WORDS = {
    **dict.fromkeys(("train", "training", "trn"), TRAIN),
    **dict.fromkeys(("valid", "val", "vali", "validation", "validate", "dev", "eval", "evaluation"), VALID),
    **dict.fromkeys(("test", "testing", "tst", "holdout"), TEST),
}


@dataclass(frozen=True)
class TableFiles:
    paths: tuple[Path, ...]
    splits: tuple[int, ...] = ()
    """Of each path, rising; none where the rows are to be split otherwise."""
    note: str = ""
    """What the user should know of how the files were understood."""
    folders: Folders = field(default_factory=Folders)
    """Columns in the names of folders."""

    @property
    def cut(self) -> int | None:
        """The split that has no file, and is cut from the training rows."""
        return next((split for split in (VALID, TEST) if split not in self.splits), None) if self.splits else None


def files_of(config: TableConfig) -> TableFiles:
    """What dataset.raw stands for: a file, a folder or a glob. UserError where names leave a row's split open."""
    entries = matching(config.raw, config.name)
    if entries:
        base = _before_wildcards(config.raw)
        entries = [path for path in entries if not path.name.startswith("_") or path.suffix]  # Spark's _SUCCESS
    else:
        base = existing(config.raw, config.name)
        entries = _visible(base) if base.is_dir() else [base]
    paths = [path for path in entries if path.is_file()]
    for folder in entries:  # as Hive and Spark write tables and splits; other folders are left out
        if folder.is_dir() and (is_hive(folder.name) or _splits_in(folder.name)):
            paths += _files_below(folder)
    if not paths:
        raise UserError(f"dataset.raw={config.raw}: the folder holds no files")
    _check_twice(paths)
    files = _by_splits(config, base, paths)
    names = [path.relative_to(base) if path != base else Path(path.name) for path in files.paths]
    folders = Folders.of(names)
    of_splits = {column for column in folders.columns if files.splits and _all_splits(folders, column)}
    return replace(files, folders=folders.without(of_splits))


def _all_splits(folders: Folders, column: str) -> bool:
    return all(_splits_in(cells[column]) for cells in folders.values)


def _before_wildcards(pattern: Path | None) -> Path:
    """The folder that a glob starts from."""
    assert pattern is not None
    plain = list(itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts))
    return Path(*plain)


def _by_splits(config: TableConfig, base: Path, paths: Sequence[Path]) -> TableFiles:
    if config.split in ("auto", "files") and len(paths) > 1:
        found = _by_names(config, base, [path.relative_to(base) for path in paths])
        if found is not None:
            return found
    if config.split == "files":
        raise UserError(f"dataset.split=files: dataset.raw={config.raw} must be a folder (or a glob) with train, "
                        "valid and test files; one of the last two may be missing")  # fmt: skip
    return TableFiles(tuple(paths), note=f"read as one table: {_short(paths)}" if len(paths) > 1 else "")


def _by_names(config: TableConfig, base: Path, names: Sequence[Path]) -> TableFiles | None:
    """The files by the splits that their names say; None where no name says one, or all say train."""
    by_split: dict[int, list[Path]] = {}
    unnamed = []
    for name in names:
        found = _splits_in(str(name))
        if len(found) > 1:
            raise UserError(f"dataset.raw={config.raw}: {name} says by its name that it is "
                            f"{' and '.join(SPLITS[split] for split in sorted(found))}; rename it")  # fmt: skip
        if found:
            by_split.setdefault(found.pop(), []).append(name)
        else:
            unnamed.append(name)
    if not by_split or (set(by_split) == {TRAIN} and not unnamed):
        return None
    if TRAIN not in by_split or len(by_split) == 1:
        says = "; ".join(f"{SPLITS[split]}: {_short(found)}" for split, found in sorted(by_split.items()))
        raise UserError(f"dataset.raw={config.raw}: the names of files say {says}"
                        f"{f'; nothing: {_short(unnamed)}' if unnamed else ''}. Training files and at least one of "
                        "valid and test are needed; dataset.split=random reads all as one table")  # fmt: skip
    pairs = [(split, base / name) for split, found in sorted(by_split.items()) for name in found]
    note = f"left out, because their names give no split: {_short(unnamed)}" if unnamed else ""
    return TableFiles(tuple(path for _, path in pairs), tuple(split for split, _ in pairs), note)


def _splits_in(name: str) -> set[int]:
    """The splits that a name says.

    >>> _splits_in("XTrain.csv"), _splits_in("TESTSET1.parquet"), _splits_in("latest.csv")
    ({0}, {2}, set())
    """
    words = (word.lower().removesuffix("set") for word in re.findall("[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name))
    return {WORDS[word] for word in words if word in WORDS}


def _files_below(folder: Path) -> list[Path]:
    return [path for entry in _visible(folder) for path in (_files_below(entry) if entry.is_dir() else [entry])]


def _visible(folder: Path) -> list[Path]:
    """What a folder holds, without what is hidden or, as Spark's _SUCCESS, no data."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "_")))


def _check_twice(paths: Sequence[Path]) -> None:
    """UserError where a file lies there packed and unpacked: its rows would count twice."""
    for path, times in Counter(path.with_name(path.name.removesuffix(".gz")) for path in paths).items():
        if times > 1:
            raise UserError(f"{path}: is also there packed (.gz); keep one of the two")


def _short(names: Sequence[Path], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return listing(map(str, names[:most])) + more
