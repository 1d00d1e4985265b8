"""Ctrl-C and SIGTERM: at once where nothing is at stake, at the end of the step inside a training loop."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mlet_bench.errors import Interrupted

_deferring = False
_requested: int | None = None


def install() -> None:
    """Let both signals raise Interrupted, or be kept for `requested` inside `deferred`."""
    global _requested
    _requested = None
    signal.signal(signal.SIGINT, _handle)
    signal.signal(signal.SIGTERM, _handle)


def _handle(number: int, frame: FrameType | None) -> None:
    global _requested
    first, _requested = _requested is None, number
    if not (_deferring and first):
        raise Interrupted(number)


@contextmanager
def deferred() -> Iterator[None]:
    """The first signal is kept for `requested`; a second one raises."""
    global _deferring
    _deferring = True
    try:
        yield
    finally:
        _deferring = False


def requested() -> int | None:
    """The signal that asked to stop, if one did."""
    return _requested


def raise_if_requested() -> None:
    """For places that a library's own code may have kept an exception from reaching."""
    if _requested is not None:
        raise Interrupted(_requested)
