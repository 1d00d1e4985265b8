"""Run folders in the terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from mlet_bench.analysis.formatting import number
from mlet_bench.analysis.run_list import ListedRun
from mlet_bench.errors import printable
from mlet_bench.report.console.tables import say, show_table
from mlet_bench.report.table import Column, Table


def _embedding(run: ListedRun) -> str | None:
    mode, dim, inner = (run.config.get(f"emb.{key}") for key in ("mode", "dim", "inner"))
    return None if mode is None else f"{mode} d={dim}" + (f" k={inner}" if inner is not None else "")


def _when(run: ListedRun) -> str:
    return f"{datetime.fromtimestamp(run.written, UTC):%Y-%m-%d %H:%M}"


COLUMNS = (
    Column("data", lambda run: run.config.get("dataset.name"), words=True),
    Column("model", lambda run: run.config.get("model.name"), words=True),
    Column("embedding", _embedding, words=True),
    Column("seed", lambda run: run.config.get("seed"), dropped=2),
    Column("state", "state", words=True),
    Column("test AUC", "auc", number),
    Column("when (UTC)", _when, dropped=1),
    Column("folder", "path", words=True),
)

BESIDE = 90
"""Columns of a terminal that all but the folder take; where a folder has no room beside them, folders stand below."""


def show_runs(console: Console, runs: Sequence[ListedRun], folder: Path) -> None:
    """A row a run; a line where there is none. A folder is never broken: it can be copied."""
    if not runs:
        say(console, f"no run below {folder}")
    longest = max((len(str(run.path)) for run in runs), default=0)
    if not console.is_terminal or BESIDE + longest <= console.width:
        show_table(console, Table("", COLUMNS, runs), "on a wider terminal")
        return
    numbers = {id(run): place for place, run in enumerate(runs, 1)}
    columns = (Column("#", lambda run: numbers[id(run)]), *COLUMNS[:-1])
    show_table(console, Table("", columns, runs), "on a wider terminal")
    for place, run in enumerate(runs, 1):
        console.print(printable(f"{place:>{len(str(len(runs)))}}  {run.path}"), markup=False, soft_wrap=True)
