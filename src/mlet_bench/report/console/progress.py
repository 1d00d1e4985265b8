"""What a run shows while it works: a progress bar on a terminal, plain lines elsewhere."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from mlet_bench.analysis.formatting import number
from mlet_bench.errors import printable

log = logging.getLogger("mlet_bench")
PIPED_WIDTH = 4096


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """The reader left, for example head: the run continues without it."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        self.quiet = True


def make_console() -> Console:
    """Standard output; nothing is wrapped or cut when it is piped."""
    console = _Console(highlight=False)
    return console if console.is_terminal else _Console(highlight=False, width=PIPED_WIDTH)


class ProgressConsole:
    """The voice of a run."""

    def __init__(self, console: Console, before: str = "") -> None:
        """`before` stands before what the bar says."""
        self.console, self.before = console, before

    def say(self, text: str) -> None:
        log.info(text)
        self.console.print(printable(text), markup=False, soft_wrap=True)

    def quiet(self) -> "SilentConsole":
        return SilentConsole(self.console)

    @contextmanager
    def preparing(self) -> Iterator[Callable[[str, int, int, int], None]]:
        """Hears of a stage, how much of how much of it is done, and the rows so far; shows rate and time left."""
        columns = ("{task.description}", BarColumn(), "{task.fields[note]}", TimeRemainingColumn())
        with self._progress(*columns) as progress:
            yield StagesWatcher(self, progress).advanced

    @contextmanager
    def evaluating(self) -> Iterator[Callable[[str, int, int], None]]:
        """Hears of a stage and how many of how many rows are done; shows them, and the log names each stage."""
        with self.preparing() as advanced:
            logged: set[str] = set()

            def stage_advanced(stage: str, done: int, of: int) -> None:
                if stage not in logged:
                    logged.add(stage)
                    log.info(stage)
                advanced(stage, done, of, done)

            yield stage_advanced

    @contextmanager
    def training(self) -> Iterator["TrainingWatcher"]:
        with self._progress("{task.description}", BarColumn(), MofNCompleteColumn(), "{task.fields[note]}",
                            TimeRemainingColumn()) as progress:  # fmt: skip
            yield TrainingWatcher(self, progress)

    def _progress(self, *columns: Any) -> Progress:
        shown = [TextColumn(column) if isinstance(column, str) else column for column in columns]
        return Progress(
            SpinnerColumn(),
            *shown,
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )


def make_progress(before: str = "") -> ProgressConsole:
    """That of standard output."""
    return ProgressConsole(make_console(), before)


class SilentConsole(ProgressConsole):
    """One of many runs: its bar is shown, its lines go to its log alone."""

    def say(self, text: str) -> None:
        log.info(text)


class StagesWatcher:
    """Hears how far preparing or evaluating is: a bar on a terminal, elsewhere a line now and then."""

    EVERY_SECONDS = 30

    def __init__(self, live: ProgressConsole, progress: Progress) -> None:
        self._live, self._progress = live, progress
        self._task: TaskID | None = None
        self._stage = ""

    def advanced(self, stage: str, done: int, of: int, rows: int) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._began, self._said = stage, now, now
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task = self._progress.add_task(f"{self._live.before}{stage}", total=of or None, note="")
            self._first = rows
        rate = (rows - self._first) / max(now - self._began, 1e-9)
        note = f"{rows:,} rows" * (rows > 0) + (f"  {rate:,.0f} rows/s" if rows > self._first else "")
        assert self._task is not None
        self._progress.update(self._task, completed=done, note=note)
        if not self._live.console.is_terminal and now - self._said >= self.EVERY_SECONDS:
            self._said = now
            left = (
                f", {100 * done / of:.0f} %, {(now - self._began) * (of - done) / max(done, 1):.0f} s left"
                if of
                else ""
            )
            self._live.say(f"{stage}: {note}{left}")


class TrainingWatcher:
    """Hears of steps and evaluations."""

    def __init__(self, live: ProgressConsole, progress: Progress) -> None:
        self._live, self._progress = live, progress
        self._task = progress.add_task(f"{live.before}training", total=None, note="")

    def stepped(self, step: int, steps: int, loss: float, samples_per_s: float) -> None:
        if self._live.console.is_terminal:
            note = f"loss {loss:.4f}  {samples_per_s:,.0f} samples/s"
            self._progress.update(self._task, completed=step, total=steps, note=note)

    def evaluated(self, line: dict[str, Any]) -> None:
        best = "  best" if line["best_step"] == line["step"] else ""
        self._live.say(
            f"step {line['step']:>6}  epoch {line['epoch']:.2f}  valid AUC {number(line['valid_auc'], '.5f')}"
            f"  logloss {line['valid_logloss']:.5f}{best}"
        )

    def say(self, text: str) -> None:
        self._live.say(text)
