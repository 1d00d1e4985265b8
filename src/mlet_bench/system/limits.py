"""What this process may use of the machine: cores by affinity and cgroup, memory by cgroup.

In Slurm and in containers the machine has more than the process gets. Cgroups are read as Linux's kernel documents them
(cgroup-v2.rst; cgroup-v1/memory.rst and scheduler/sched-bwc.rst); the narrowest of nested ones counts.
"""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
GIB = 1 << 30
"""Bytes."""


def raise_open_files() -> None:
    """Let this process have as many files open as it may: the usual limit is lower."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def available_cores() -> int:
    """How many threads can run at once, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _cgroups("cpu"):
        limit = _numbers(folder / "cpu.max") or [
            *_numbers(folder / "cpu.cfs_quota_us"),
            *_numbers(folder / "cpu.cfs_period_us"),
        ]
        if len(limit) == 2 and 0 < limit[0] < math.inf:
            cores = min(cores, math.ceil(limit[0] / limit[1]))
    return max(cores, 1)


def available_memory_bytes() -> int:
    """The memory that is free for this process; file pages that the kernel can drop count as free."""
    free = float(psutil.virtual_memory().available)
    for folder in _cgroups("memory"):
        for limit, usage, cached in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            numbers = _numbers(folder / limit) + _numbers(folder / usage)
            if len(numbers) == 2:
                free = min(free, numbers[0] - numbers[1] + _stat(folder / "memory.stat", cached))
    return max(int(free), 0)


def _cgroups(controller: str) -> Iterator[Path]:
    """The folders of this process's cgroups that have a say on a controller, each with those around it."""
    for line in _lines(MEMBERSHIP):
        number, controllers, path = line.split(":", 2)
        if number != "0" and controller not in controllers.split(","):
            continue
        root = CGROUPS if number == "0" else CGROUPS / controllers
        inside = Path(path.lstrip("/"))
        for folder in (inside, *inside.parents):
            yield root / folder


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _numbers(path: Path) -> list[float]:
    """The numbers of a file's first line, `max` as infinity; none if there is no such file."""
    try:
        return [math.inf if word == "max" else float(word) for word in _lines(path)[:1][0].split()]
    except (IndexError, ValueError):
        return []


def _stat(path: Path, key: str) -> float:
    return next((float(line.split()[1]) for line in _lines(path) if line.startswith(f"{key} ")), 0.0)
