"""The table at the end of a sweep, and the one while it runs."""

import time
from collections import Counter
from pathlib import Path
from typing import Any, get_args

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlet_bench.errors import printable
from mlet_bench.report.console.run_table import number
from mlet_bench.runs.sweep_folder import Job, State, SweepFolder


def show_sweep(console: Console, outcomes: list[dict[str, Any]]) -> None:
    """A row a job; a failed one with its error."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("job", overflow="fold")
    table.add_column("test AUC", justify="right")
    table.add_column("logloss", justify="right")
    table.add_column("run folder, or what went wrong", overflow="fold")
    for outcome in outcomes:
        result = outcome["result"]
        test = result["metrics"]["test"] if result else {"auc": None, "logloss": None}
        ended = outcome["folder"] if outcome["error"] is None else f"failed: {outcome['error']}"
        table.add_row(
            Text(printable(" ".join(outcome["job"]))),
            number(test["auc"]),
            number(test["logloss"]),
            Text(printable(ended)),
        )
    console.print(table)
    failed = sum(outcome["error"] is not None for outcome in outcomes)
    console.print(f"{len(outcomes)} jobs, {failed} failed", markup=False)


def show_state(console: Console, sweep: SweepFolder) -> list[Job]:
    """A row a job: its state, how long it has run, its folder or what went wrong; returns the jobs."""
    jobs, at_work = sweep.jobs(), sweep.at_work
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("#", "state", "seconds"):
        table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
    table.add_column("job", overflow="fold")
    table.add_column("run folder, or what went wrong", overflow="fold")
    for one in jobs:
        state = "not begun" if one.state == "waiting" and not at_work else one.state
        seconds = time.time() - one.began if one.state == "running" and one.began else one.seconds
        shown = "" if seconds is None else f"{max(0.0, seconds):,.0f}"
        table.add_row(str(one.job), state, shown, Text(" ".join(one.overrides)), Text(one.error or _near(one.folder)))
    counts = Counter(one.state for one in jobs)
    said = ", ".join(f"{counts[state]} {state}" for state in get_args(State) if counts[state])
    broken_off = counts["waiting"] or counts["stopped"]
    over = "" if at_work else "; it was broken off, the same sweep goes on" if broken_off else "; it is over"
    console.print(f"sweep {sweep.path}: {len(jobs)} jobs, {said}{over}", markup=False, soft_wrap=True)
    console.print(table)
    return jobs


def _near(folder: str | None) -> str:
    """A folder as it is called from here."""
    if folder is None:
        return ""
    path, here = Path(folder), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else folder
