"""The table at the end of a sweep, and the one while it runs."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from rich.console import Console

from mlet_bench.analysis.formatting import number
from mlet_bench.report.console.tables import say, show_table
from mlet_bench.report.table import Column, Table
from mlet_bench.runs.sweep_folder import Job, State, SweepFolder, common_overrides, own_overrides


def show_sweep(console: Console, outcomes: list[dict[str, Any]]) -> None:
    """A row a job; a failed one with its error."""
    common = common_overrides([outcome["job"] for outcome in outcomes])
    columns = (
        Column("job", lambda outcome: own_overrides(outcome["job"], common), words=True),
        Column("test AUC", "result.metrics.test.auc", number),
        Column("logloss", "result.metrics.test.logloss", number),
        Column("run folder, or what went wrong", lambda outcome: _end(outcome["folder"], outcome["error"]), words=True),
    )
    _say_common(console, common)
    show_table(console, Table("", columns, outcomes), "in the run folders")
    failed = sum(outcome["error"] is not None for outcome in outcomes)
    say(console, f"{len(outcomes)} jobs, {failed} failed")


def show_state(console: Console, sweep: SweepFolder) -> list[Job]:
    """A row a job: its state, how long it has run, its folder or what went wrong; returns the jobs."""
    jobs, at_work = sweep.jobs(), sweep.at_work

    def seconds(job: Job) -> float | None:
        return time.time() - job.began if job.state == "running" and job.began else job.seconds

    common = common_overrides([job.overrides for job in jobs])
    columns = (
        Column("#", "job"),
        Column("state", lambda job: "not begun" if job.state == "waiting" and not at_work else job.state, words=True),
        Column("seconds", seconds, lambda passed: f"{max(0.0, passed):,.0f}"),
        Column("job", lambda job: own_overrides(job.overrides, common), words=True),
        Column("run folder, or what went wrong", lambda job: job.error or _near(job.folder), words=True),
    )
    counts = Counter(job.state for job in jobs)
    states = ", ".join(f"{counts[state]} {state}" for state in get_args(State) if counts[state])
    broken_off = counts["waiting"] or counts["stopped"]
    over = "" if at_work else "; it was interrupted, the same sweep resumes it" if broken_off else "; it has ended"
    say(console, f"sweep {sweep.path}: {len(jobs)} jobs, {states}{over}")
    _say_common(console, common)
    show_table(console, Table("", columns, jobs), "in sweep.json")
    return jobs


def _say_common(console: Console, common: Sequence[str]) -> None:
    if common:
        say(console, f"all jobs: {' '.join(common)}")


def _end(folder: str | None, error: str | None) -> str:
    return _near(folder) if error is None else f"failed: {error}"


def _near(folder: str | None) -> str:
    """A folder as it is called from here."""
    if folder is None:
        return ""
    path, here = Path(folder), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else folder
