"""Commands in processes of their own, which can be killed: at any time, or before any one of their file operations.

They are forked from a server that has all modules imported, which saves seconds a process; `fresh` ones start as users
start them.
"""

import ctypes
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mlet_bench import cli
from tests.conftest import Ended

SEED = os.environ["MLET_BENCH_FAULTS_SEED"]
"""Of all random moments; printed at the end of the tests."""
NUMBERS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 128 + signal.SIGTERM, signal.SIGINT: 128 + signal.SIGINT}
FILE_EVENTS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod"}


@dataclass(frozen=True)
class Trouble:
    """What goes wrong in a process."""

    kill_before: int | None = None
    """Which of its file operations it does not live to see, from 0; None: it lives."""
    largest_file: int | None = None
    """Bytes; a longer file cannot be written, as on a full disk."""
    ordinary: bool = False
    """Rights of files hold for it, also where root runs the tests."""


PRELOADED = ["config.compose", "commands.train", "commands.sweep", "commands.tune", "commands.evaluate",
             "commands.report", "report.console.progress", "report.console.run_table"]  # fmt: skip
"""What the server imports before it forks the first command."""


class Running:
    """A command on its way in the folder `place`, with its data in `place/data`, and `variables` of its environment."""

    def __init__(
        self, words: list[str], place: Path, trouble: Trouble | None = None, variables: dict[str, str] | None = None
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([*(f"mlet_bench.{name}" for name in PRELOADED), "tests.processes"])
        pipes = [context.Pipe(duplex=False) for _ in range(3)]  # no limit on the size of files holds for them
        self._out, self._err, self._passed = (reader for reader, _ in pipes)
        writers = [writer for _, writer in pipes]
        self.process = context.Process(
            target=_command, args=(words, place, trouble or Trouble(), variables or {}, *writers)
        )
        self.began_ns = time.time_ns()
        self.process.start()
        for writer in writers:
            writer.close()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self.process.pid is not None
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def alive(self) -> bool:
        return self.process.is_alive()

    @property
    def operations(self) -> int:
        """How often it changed files, when it has ended by itself."""
        return int(self._passed.recv())

    def ended(self) -> Ended:
        """Its exit code and what it printed."""
        self.process.join(timeout=900)
        assert self.process.exitcode is not None
        said = [os.fdopen(reader.fileno(), closefd=False).read() for reader in (self._out, self._err)]
        return Ended(self.process.exitcode, *said)


class Fresh:
    """The same, from the start of the interpreter on."""

    def __init__(self, words: list[str], place: Path) -> None:
        self._said = [place.with_name(f"{place.name}-{name}-{time.monotonic_ns()}") for name in ("out", "err")]
        out, err = (path.open("w") for path in self._said)
        with out, err:
            environment = {**os.environ, "MLET_BENCH_DATA": str(place / "data")}
            command = [sys.executable, "-m", "mlet_bench", *words]
            self.process = subprocess.Popen(command, cwd=place, env=environment, stdout=out, stderr=err)

    def kill(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def alive(self) -> bool:
        return self.process.poll() is None

    def ended(self) -> Ended:
        code = self.process.wait(timeout=120)
        return Ended(code, *(path.read_text() for path in self._said))


def _command(
    words: list[str],
    place: Path,
    trouble: Trouble,
    variables: dict[str, str],
    out: Connection,
    err: Connection,
    passed: Connection,
) -> None:
    for connection, stream in ((out, sys.stdout), (err, sys.stderr)):
        os.dup2(connection.fileno(), stream.fileno())
        connection.close()
    os.chdir(place)
    os.environ |= {"MLET_BENCH_DATA": str(place / "data"), **variables}
    if trouble.ordinary and os.getuid() == 0:
        _give_up_rights()
    if trouble.largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (trouble.largest_file, resource.RLIM_INFINITY))
    watch = _Watch(place, trouble.kill_before)
    sys.addaudithook(watch.hear)
    code = cli.main(words)
    passed.send(watch.passed)
    sys.exit(code)


def _give_up_rights() -> None:
    """Let rights of files hold for this process of root too: without CAP_DAC_OVERRIDE, _READ_SEARCH and CAP_FOWNER."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets) or libc.capset(header, (ctypes.c_uint32 * 6)(*(bits & ~0b1110 for bits in sets))):
        raise OSError(ctypes.get_errno(), "capset")


class _Watch:
    """Counts the changes of files below `place`, and kills this process before one of them."""

    def __init__(self, place: Path, kill_before: int | None) -> None:
        self.place, self.kill_before, self.passed = str(place), kill_before, 0

    def hear(self, event: str, given: tuple[Any, ...]) -> None:
        if event not in FILE_EVENTS or not isinstance(given[0], str | Path):
            return
        reads = event == "open" and (given[2] or 0) & (os.O_WRONLY | os.O_RDWR) == 0
        if reads or not os.path.abspath(given[0]).startswith(f"{self.place}/"):
            return
        if self.passed == self.kill_before:
            os.kill(os.getpid(), signal.SIGKILL)
        self.passed += 1


def moments(kills: int, rng: random.Random) -> list[float]:
    """Shares of a life, spread over all of it, in no order."""
    return rng.sample([(place + rng.random()) / kills for place in range(kills)], kills)
