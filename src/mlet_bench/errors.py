"""What can go wrong, whose mistake it is, and the message."""

import difflib
from collections.abc import Iterable
from pathlib import Path


class UserError(Exception):
    """A mistake of the user: one clear line, exit code 2, nothing created."""


class RunFailedError(Exception):
    """A run that was sound to start and went wrong: exit code 1; what it had saved stays."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM; `signal_number` decides the exit code (130 or 143)."""

    def __init__(self, signal_number: int, message: str = "") -> None:
        super().__init__(message)
        self.signal_number = signal_number


def nearest(word: str, allowed: Iterable[str]) -> str:
    """A hint with the allowed spelling nearest to `word`, or nothing.

    >>> nearest("dlmr", ["dcn", "dlrm"])
    ' Did you mean dlrm?'
    >>> nearest("xyz", ["dcn", "dlrm"])
    ''
    >>> nearest("DCN", ["dcn", "dlrm"])
    ' Did you mean dcn?'
    """
    names = {name.lower(): name for name in reversed(list(allowed))}
    found = [names[name] for name in difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.5)]
    return f" Did you mean {found[0]}?" if found else ""


def nearest_beside(path: Path, *, folders: bool) -> str:
    """A hint with the name beside `path`, which is not there, that is nearest to its own."""
    try:
        names = [entry.name for entry in path.absolute().parent.iterdir() if entry.is_dir() or not folders]
    except OSError:
        return ""
    return nearest(path.name, sorted(names))


def listing(allowed: Iterable[str]) -> str:
    """The allowed words in one line.

    >>> listing(["dcn", "dlrm"])
    'dcn, dlrm'
    """
    return ", ".join(allowed)


def printable(text: str) -> str:
    r"""`text` with escapes for what would steer a terminal or break a line: names come from data and from others.

    >>> print(printable("C3\x1b[2J\nC4"))
    C3\x1b[2J\nC4
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "surrogatepass").decode() for letter in text
    )


def one_line(text: str, most: int = 3000) -> str:
    """`text` as one printable line; of a longer one the middle is left out.

    >>> one_line("0123456789", most=5)
    '012…9'
    """
    text = printable(text)
    return text if len(text) <= most else f"{text[: 2 * most // 3]}…{text[len(text) - most // 3 :]}"
