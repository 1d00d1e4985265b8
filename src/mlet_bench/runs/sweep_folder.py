"""A sweep's own folder: sweep.json says of each job whether it waits, runs, is done or failed.

Jobs can run in processes, and on machines, of their own. Each changes its own entry under a lock, and holds another
lock as long as it runs: the system frees that one when the process dies, so a killed job is not taken for one at work.
"""

import time
from collections.abc import Iterator, Sequence
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
    state: State
    folder: str | None
    """The run's, as soon as it is known."""
    error: str | None
    began: float | None
    """Seconds since 1970."""
    seconds: float | None
    """From its begin to its end."""


class _Sweep(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    version: Literal[1]
    jobs: list[Job]


class AtWork:
    """A job's entry while it runs; the numbers are those of its begin."""

    def __init__(self, folder: "SweepFolder", number: int) -> None:
        self._folder, self._number = folder, number
        self.error: str | None = None
        jobs = folder._change(number, state="running", folder=None, error=None, began=time.time(), seconds=None)
        states = [job["state"] for job in jobs]
        self.headline = f"job {number}"
        """Which job of how many, and what those before it came to."""
        if jobs:
            self.headline += f" of {len(jobs)}: {states.count('done')} done, {states.count('failed')} failed"

    def is_in(self, folder: Path) -> None:
        """The run's folder."""
        self._folder._change(self._number, folder=str(folder.absolute()))


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
            waiting = {"state": "waiting", "folder": None, "error": None, "began": None, "seconds": None}
            entries = [{"job": number, "overrides": list(given), **waiting} for number, given in enumerate(jobs, 1)]
            files.write_json(self.path / SWEEP, {"version": 1, "jobs": entries})
            yield

    @contextmanager
    def job(self, number: int) -> Iterator[AtWork]:
        """A job at work; at its end it is done, failed if `error` was set, or stopped if it was broken off."""
        began, state = time.monotonic(), "stopped"
        with files.locked(self._lock(number)):
            entry = AtWork(self, number)
            try:
                yield entry
                state = "failed" if entry.error else "done"
            finally:
                self._change(number, state=state, error=entry.error, seconds=round(time.monotonic() - began, 1))

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

    def _read(self) -> list[Job]:
        held = files.read_json(self.path / SWEEP)
        if not isinstance(held, dict):
            raise UserError(f"{self.path / SWEEP}: not what a sweep writes")
        try:
            return convert(_Sweep, held).jobs
        except UserError as error:
            raise UserError(f"{self.path / SWEEP}: {error}") from None

    def _change(self, number: int, **values: Any) -> list[dict[str, Any]]:
        """Write a job's entry anew; returns all, or none where the file is gone: its absence must not end a sweep."""
        with suppress(OSError, UserError), files.locked(self.path / CHANGING):
            held: dict[str, Any] = files.read_json(self.path / SWEEP)
            held["jobs"][number - 1].update(values)
            files.write_json(self.path / SWEEP, held)
            return list(held["jobs"])
        return []

    def _lock(self, number: int) -> Path:
        return self.path / f".job-{number}.lock"
