"""What a run shows while it works: a progress bar on a terminal, plain lines elsewhere."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

log = logging.getLogger("mlet_bench")
PIPED_WIDTH = 4096


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """The reader left, for example head: the run goes on without it."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        self.quiet = True


def make_console() -> Console:
    """Standard output; nothing is wrapped or cut when it is piped."""
    console = _Console(highlight=False)
    return console if console.is_terminal else _Console(highlight=False, width=PIPED_WIDTH)


class Live:
    """The voice of a run."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def say(self, text: str) -> None:
        log.info(text)
        self.console.print(text, markup=False, soft_wrap=True)

    def stage(self, text: str) -> None:
        log.info(text)

    @contextmanager
    def preparing(self) -> Iterator[Callable[[int], None]]:
        """Hears of the rows read so far; the bar appears with the first of them."""
        with self._progress("{task.description}", "{task.completed:,} rows") as progress:
            task = progress.add_task("preparing", total=None, visible=False)
            yield lambda rows: progress.update(task, completed=rows, visible=True)

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


class TrainingWatcher:
    """Hears of steps and evaluations."""

    def __init__(self, live: Live, progress: Progress) -> None:
        self._live, self._progress = live, progress
        self._task = progress.add_task("training", total=None, note="")

    def stepped(self, step: int, steps: int, loss: float, samples_per_s: float) -> None:
        if self._live.console.is_terminal:
            note = f"loss {loss:.4f}  {samples_per_s:,.0f} samples/s"
            self._progress.update(self._task, completed=step, total=steps, note=note)

    def evaluated(self, line: dict[str, Any]) -> None:
        best = "  best" if line["best_step"] == line["step"] else ""
        self._live.say(
            f"step {line['step']:>6}  epoch {line['epoch']:.2f}  valid AUC {line['valid_auc']:.5f}"
            f"  logloss {line['valid_logloss']:.5f}{best}"
        )
