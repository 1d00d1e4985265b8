"""Files written whole or not at all, and the locks that keep two processes apart."""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml

from mlet_bench.errors import UserError
from mlet_bench.system.limits import available_memory_bytes

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it if the block ends well and removed if not."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """The folder, and its parents; those that were missing are removed again if the block fails and left them empty."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for path in missing:
            try:
                path.rmdir()
            except OSError:
                break
        raise


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, renamed to it if the block ends well and removed if not; with its parents."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with made(path.parent):
        _remove_left_by_dead(path)
        temporary.mkdir()
        try:
            yield temporary
            for written in temporary.rglob("*"):
                if written.is_file():
                    with written.open("rb") as opened:
                        os.fsync(opened.fileno())
            temporary.replace(path)  # an empty folder gives way
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _remove_left_by_dead(path: Path) -> None:
    """Temporary folders of `path` whose process was killed."""
    for left in path.parent.iterdir():
        pid = left.name.removeprefix(f".{path.name}.").removesuffix(".tmp")
        if left.name == f".{path.name}.{pid}.tmp" and pid.isdigit() and not psutil.pid_exists(int(pid)):
            remove(left)


def write_text(path: Path, text: str) -> None:
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def encodable(text: str) -> str:
    """`text` with � for what no file can hold: halves of characters, in JSON of others or in names of files.

    >>> encodable("a\\ud800")
    'a�'
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def write_json(path: Path, value: Any) -> None:
    """JSON with one key a line, numbers as they are; a NaN is a fault of ours and raises ValueError."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file; UserError names the file when it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path}: damaged, this is not JSON") from None


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, read without resolvers; UserError names the file when it is missing or damaged."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError, yaml.YAMLError):
        raise UserError(f"{path}: damaged, this is not YAML") from None


def check_disk(folder: Path, needed: int, what: str) -> None:
    """UserError if the disk that will hold `folder` has less than the `needed` bytes free that `what` takes."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise UserError(f"{folder}: {what} needs about {needed:,} bytes of disk and {free:,} are free")


def check_memory(needed: int, what: str) -> None:
    """UserError if less than the `needed` bytes of memory are free that `what` takes."""
    free = available_memory_bytes()
    if needed > free:
        raise UserError(f"{what} needs about {needed:,} bytes of memory and {free:,} are free")


def check_foreign(folder: Path, ours: Collection[str]) -> None:
    """UserError if a folder that a command is to write into holds anything but `ours`, or is no folder."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"hydra.run.dir={folder}: is a file, not a folder")
    temporary = tuple(f".{name}." for name in ours)
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    foreign = [name for name in names if name not in ours and not name.startswith(temporary)]
    if foreign:
        raise UserError(f"hydra.run.dir={folder}: holds other files ({foreign[0]}); choose another folder")


def bytes_below(folder: Path) -> int:
    """What the files below a folder take; 0 if there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def md5(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def fingerprint(value: Any) -> str:
    """12 hex digits that stand for a JSON value.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@contextmanager
def locked(path: Path, busy: str = "") -> Iterator[None]:
    """Hold the lock file `path`, which is there only as long as it is held.

    While another process holds it: UserError(busy), or wait if `busy` is empty. UserError on a system without such
    locks.
    """
    if fcntl is None:
        raise UserError("this system has no file locks that free themselves (fcntl); runs need Linux or macOS")
    while True:
        with path.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
            except BlockingIOError:
                raise UserError(busy) from None
            if not _is_still(path, lock.fileno()):
                continue  # its last holder removed it while we waited
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def is_held(path: Path) -> bool:
    """Whether a process holds the lock file `path`."""
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
