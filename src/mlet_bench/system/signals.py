"""Ctrl-C and SIGTERM: at once where nothing is at stake, at the end of the step inside a training loop."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from mlet_bench.errors import Interrupted

_deferring = _exiting = False
_insist = True
_requested: int | None = None
_hook_before: Any = None


def install() -> None:
    """Let both signals raise Interrupted, or be kept for `requested` inside `defer_signals`."""
    global _requested, _hook_before
    _requested = None
    if sys.unraisablehook is not _unraised:
        _hook_before, sys.unraisablehook = sys.unraisablehook, _unraised
    signal.signal(signal.SIGINT, _handle)
    signal.signal(signal.SIGTERM, _handle)


def _handle(number: int, frame: FrameType | None) -> None:
    global _requested
    if _exiting:
        os.write(2, b"mlet-bench: stopped before anything was begun\n")
        os._exit(128 + number)
    first, _requested = _requested is None, number
    if not _deferring or (_insist and not first):
        raise Interrupted(number)


def _unraised(found: Any) -> None:
    """A signal that falls into a callback or finaliser cannot raise there; Python would print a traceback.

    Nothing is lost by silence: the signal is kept for `requested` and `raise_if_requested`.
    """
    if not isinstance(found.exc_value, Interrupted):
        _hook_before(found)


@contextmanager
def exit_immediately() -> Iterator[None]:
    """A signal ends the process on the spot: for imports, since C++ code of PyTorch's aborts on an exception."""
    global _exiting
    _exiting = True
    try:
        yield
    finally:
        _exiting = False


@contextmanager
def defer_signals(*, insist: bool = True) -> Iterator[None]:
    """The first signal is kept for `requested`; a second one raises if whoever sends it can `insist`.

    A terminal and a launcher send the same wish to each of several processes.
    """
    global _deferring, _insist
    _deferring, _insist = True, insist
    try:
        yield
    finally:
        _deferring = False


def requested() -> int | None:
    """The signal that asked to stop, if one did."""
    return _requested


def raise_if_requested() -> None:
    """For places that a library's own code, or a callback, may have kept an exception from reaching."""
    if _requested is not None:
        raise Interrupted(_requested)
