"""Cores and memory that a process may use, by made-up cgroups and affinity."""

import os
from pathlib import Path

import psutil
import pytest

from mlet_bench.system import limits

GB = 1 << 30


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 16 cores, of which 8 are this process's, and plenty of memory."""
    monkeypatch.setattr(limits, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(limits, "MEMBERSHIP", tmp_path / "self")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 100 * GB})())
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_without_cgroups_affinity_counts(cgroups: Path) -> None:
    assert limits.available_cores() == 8
    assert limits.available_memory_bytes() == 100 * GB


@pytest.mark.parametrize(("quota", "cores"), [("max 100000", 8), ("150000 100000", 2), ("50000 100000", 1)])
def test_version_2(cgroups: Path, quota: str, cores: int) -> None:
    write(cgroups, {"self": "0::/job/step\n", "cgroup/job/cpu.max": quota, "cgroup/job/step/cpu.max": "max 100000"})
    assert limits.available_cores() == cores


def test_memory_of_version_2_is_that_of_the_narrowest_group(cgroups: Path) -> None:
    write(
        cgroups,
        {
            "self": "0::/job/step\n",
            "cgroup/job/memory.max": f"{10 * GB}\n",
            "cgroup/job/memory.current": f"{8 * GB}\n",
            "cgroup/job/memory.stat": f"anon 1\ninactive_file {3 * GB}\n",
            "cgroup/job/step/memory.max": "max\n",
            "cgroup/job/step/memory.current": f"{GB}\n",
        },
    )
    assert limits.available_memory_bytes() == 5 * GB


def test_version_1(cgroups: Path) -> None:
    write(
        cgroups,
        {
            "self": "4:cpu,cpuacct:/docker/a\n3:memory:/docker/a\n2:pids:/docker/a\n",
            "cgroup/cpu,cpuacct/docker/a/cpu.cfs_quota_us": "300000\n",
            "cgroup/cpu,cpuacct/docker/a/cpu.cfs_period_us": "100000\n",
            "cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "cgroup/memory/memory.limit_in_bytes": f"{4 * GB}\n",
            "cgroup/memory/memory.usage_in_bytes": f"{6 * GB}\n",
        },
    )
    assert limits.available_cores() == 3
    assert limits.available_memory_bytes() == 0
