"""Precision, memory and random streams that a run must leave as they were; systems without what Linux has."""

import resource
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mlet_bench.errors import UserError
from mlet_bench.system import files, hardware
from mlet_bench.system.seeds import seeded

CPU = torch.device("cpu")


def test_precision_of_products_holds_inside_the_block_alone() -> None:
    before = torch.get_float32_matmul_precision()
    hardware.device_for("cpu", None, "tf32")
    assert torch.get_float32_matmul_precision() == before
    with hardware.matmul_precision("tf32"):
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == before
    with hardware.matmul_precision("bfloat16"):
        assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize(("platform", "expected"), [("linux", 2048), ("darwin", 2)])
def test_peak_memory_is_in_bytes_on_every_system(platform: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=2))
    assert hardware.peak_memory_bytes(CPU) == expected


def test_peak_memory_without_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert hardware.peak_memory_bytes(CPU) >= 0


def test_without_file_locks_a_run_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(files, "fcntl", None)
    with pytest.raises(UserError, match="need Linux or macOS"), files.locked(tmp_path / "lock"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_stream_leaves_all_generators_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("a GPU was seeded"))
    torch.default_generator.manual_seed(3)
    expected = torch.rand(2)
    torch.default_generator.manual_seed(3)
    with seeded(1, "dense"):
        first = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with seeded(1, "dense"):
        assert torch.equal(torch.rand(2), first)
