"""How a command must end whatever it is given: well, or in one clear line with exit code 2."""

import contextlib
import io
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from mlet_bench import cli
from tests.conftest import Ended

SECONDS = 20
"""No single input takes longer."""


@contextlib.contextmanager
def alarmed() -> Iterator[None]:
    """TimeoutError in the block if it hangs."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"still at work after {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def end_of(*words: str) -> Ended:
    """mlet-bench with these words, as often as one likes in a test."""
    out, err = io.StringIO(), io.StringIO()
    with alarmed(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(list(words))
    return Ended(code, out.getvalue(), err.getvalue())


def assert_one_clear_line(ended: Ended, because: Any = None) -> None:
    assert (ended.code, ended.out) == (cli.MISTAKE, ""), (because, ended)
    said = ended.err.removeprefix("mlet-bench: ").removesuffix("\n")
    assert said.isprintable(), (because, ended)
    assert 5 < len(said) < 5_000, (because, ended)
    assert not re.match(r"\w+(Error|Exception)\b", said), (because, ended)


def everything_in(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}
