"""Ways in which a file can come to harm."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def cut(path: Path) -> None:
    """Half of it."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """One digit or bit in the middle."""
    content = bytearray(path.read_bytes())
    places = [place for place, byte in enumerate(content) if 48 <= byte < 57]
    content[places[len(places) // 2] if places else len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def folder(path: Path) -> None:
    """A folder of its name in its place."""
    path.unlink()
    path.mkdir()


MORE = [pytest.mark.faults, pytest.mark.slow]
"""Marks of what is left out of the ordinary tests."""
DAMAGE: dict[str, Callable[[Path], None]] = {"cut": cut, "flip": flip, "empty": empty, "folder": folder}


NAMES = [pytest.param(name, marks=[] if name == "cut" else MORE) for name in DAMAGE]


def copied(source: Path, to: Path) -> Path:
    """A copy of a working folder, to be harmed."""
    shutil.copytree(source, to, dirs_exist_ok=True)
    return to
