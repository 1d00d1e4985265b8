"""train.log of a run."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from mlet_bench.errors import Interrupted

log = logging.getLogger("mlet_bench")
COMMAND = " INFO mlet-bench "
"""In the line of a log that names the command."""
command: ContextVar[str] = ContextVar("command", default="")
"""The command line that is at work."""


def logged_command(path: Path) -> str:
    """The command that began a run, from its log; empty where the log does not say."""
    try:
        with path.open(encoding="utf-8", errors="replace") as opened:
            head = opened.read(8192)
    except OSError:
        return ""
    line = next((line for line in head.splitlines() if COMMAND in line), "")
    return line and "mlet-bench " + line.partition(COMMAND)[2]


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """What is logged goes to the file too, and how the block ended."""
    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False  # libraries give Python's own log a voice
    if command.get():
        log.info("%s", command.get())
    try:
        yield
    except Interrupted as stop:
        log.info("%s", str(stop) or "stopped")
        raise
    except BaseException as error:
        log.error("%s: %s", type(error).__name__, error)
        raise
    finally:
        log.removeHandler(handler)
        with suppress(OSError):
            handler.close()


class _LogFile(logging.FileHandler):
    """A log that a full disk cannot stop a run with; what cannot be written is left out."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        pass
