"""What can go wrong, by whose doing, and how it is said."""

import difflib
from collections.abc import Iterable


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
    """
    found = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean {found[0]}?" if found else ""


def listing(allowed: Iterable[str]) -> str:
    """The allowed words in one line.

    >>> listing(["dcn", "dlrm"])
    'dcn, dlrm'
    """
    return ", ".join(allowed)
