"""A sweep's own folder: sweep.json says of each job whether it waits, runs, is done or failed.

Jobs can run in processes, and on machines, of their own. Each changes its own entry under a lock, and holds another
lock as long as it runs: the system frees that one when the process dies, so a killed job is not taken for one at work.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlet_bench.config import convert
from mlet_bench.errors import UserError
from mlet_bench.system import files

SWEEP, LOCK, CHANGING = "sweep.json", ".sweep.lock", ".sweep.json.lock"
State = Literal["waiting", "running", "done", "failed", "stopped"]


class Job(BaseModel):
    """A job of a sweep as sweep.json holds it."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    job: int = Field(ge=1)
    overrides: list[str]
    state: State = "waiting"
    folder: str | None = None
    """The run's, as soon as it is known."""
    error: str | None = None
    began: float | None = None
    """Seconds since 1970."""
    seconds: float | None = None
    """From its begin to its end."""


class _Sweep(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    version: Literal[1] = 1
    jobs: list[Job]


@dataclass
class RunningJob:
    """A job while it runs."""

    headline: str
    """Which job of how many, and what those before it came to."""
    set_folder: Callable[[Path], None]
    """Is told the run's folder."""
    error: str | None = None
    """What it failed with."""


@dataclass(frozen=True)
class SweepFolder:
    path: Path

    @contextmanager
    def opened(self, jobs: Sequence[Sequence[str]]) -> Iterator[None]:
        """Hold the folder, made if missing, for a sweep of jobs with these overrides, all of them waiting at first.

        UserError if another sweep is at work in it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"hydra.sweep.dir={self.path}: cannot be made ({error.strerror})") from None
        with files.locked(self.path / LOCK, f"hydra.sweep.dir={self.path}: another sweep is at work in this folder"):
            self._write([Job(job=number, overrides=list(overrides)) for number, overrides in enumerate(jobs, 1)])
            yield

    @contextmanager
    def job(self, number: int) -> Iterator[RunningJob]:
        """A job at work; at its end it is done, failed if `error` was set, or stopped if it was broken off."""
        clock, state = time.monotonic(), "stopped"
        with files.locked(self._lock(number)):
            jobs = self._change(number, state="running", folder=None, error=None, began=time.time(), seconds=None)
            counts = Counter(job.state for job in jobs)
            headline = f"job {number}"
            if jobs:
                headline += f" of {len(jobs)}: {counts['done']} done, {counts['failed']} failed"
            running = RunningJob(headline, lambda folder: self._set_folder(number, folder))
            try:
                yield running
                state = "failed" if running.error else "done"
            finally:
                self._change(number, state=state, error=running.error, seconds=round(time.monotonic() - clock, 1))

    def jobs(self) -> list[Job]:
        """The jobs as they are now; one whose process died is stopped. UserError if sweep.json is damaged."""
        jobs = self._read()
        dead = {job.job for job in jobs if job.state == "running" and not files.is_held(self._lock(job.job))}
        if dead:  # or they have ended since: that is written before the lock is freed
            jobs = self._read()
        return [
            job.model_copy(update={"state": "stopped"}) if job.job in dead and job.state == "running" else job
            for job in jobs
        ]

    @property
    def at_work(self) -> bool:
        """Whether the process that began the sweep still runs."""
        return files.is_held(self.path / LOCK)

    def _set_folder(self, number: int, folder: Path) -> None:
        self._change(number, folder=str(folder.absolute()))

    def _read(self) -> list[Job]:
        values = files.read_json(self.path / SWEEP)
        if not isinstance(values, dict):
            raise UserError(f"{self.path / SWEEP}: not what a sweep writes")
        try:
            return convert(_Sweep, values).jobs
        except UserError as error:
            raise UserError(f"{self.path / SWEEP}: {error}") from None

    def _write(self, jobs: list[Job]) -> None:
        files.write_json(self.path / SWEEP, _Sweep(jobs=jobs).model_dump())

    def _change(self, number: int, **values: Any) -> list[Job]:
        """Write a job's entry anew; returns all, or none where the file is gone: its absence must not end a sweep."""
        with suppress(OSError, UserError), files.locked(self.path / CHANGING):
            jobs = self._read()
            jobs[number - 1] = jobs[number - 1].model_copy(update=values)
            self._write(jobs)
            return jobs
        return []

    def _lock(self, number: int) -> Path:
        return self.path / f".job-{number}.lock"


def common_overrides(jobs: Sequence[Sequence[str]]) -> list[str]:
    """The overrides that several jobs have in common."""
    return [text for text in jobs[0] if all(text in job for job in jobs)] if len(jobs) > 1 else []


def own_overrides(overrides: Sequence[str], common: Sequence[str]) -> str:
    """What sets a job apart."""
    return " ".join(text for text in overrides if text not in common) or " ".join(overrides)
