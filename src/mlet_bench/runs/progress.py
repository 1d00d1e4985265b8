"""What a command reports while it works. The terminal's is report/console/progress.py."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from mlet_bench.training.trainer import Watcher


class Progress(Protocol):
    def say(self, text: str) -> None:
        """A line for who looks on, and for the log."""

    def preparing(self) -> AbstractContextManager[Callable[[str, int, int, int], None]]:
        """Is called with a stage, how much of how much of it is done, and the rows so far."""

    def evaluating(self) -> AbstractContextManager[Callable[[str, int, int], None]]:
        """Is called with a stage, and how many of how many rows are done; 0 of 0 where that is not known."""

    def training(self) -> AbstractContextManager[Watcher]: ...

    def quiet(self) -> "Progress":
        """That of one of many runs: its lines go to its log alone."""
