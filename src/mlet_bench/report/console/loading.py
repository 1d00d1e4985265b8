"""What stands on the screen before there is anything to tell."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mlet_bench.system import signals


@contextmanager
def loading() -> Iterator[None]:
    """While a command's modules are imported, which takes seconds: a terminal says so, and a signal ends us at once."""
    is_seen = sys.stdout.isatty()
    if is_seen:
        print("loading …", end="\r", flush=True)
    with signals.exit_immediately():
        yield
    if is_seen:
        print("\x1b[2K", end="", flush=True)
