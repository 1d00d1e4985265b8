"""The machine: which device, how many threads, whether a run fits."""

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import psutil
import torch

import mlet_bench
from mlet_bench.errors import UserError
from mlet_bench.system.launch import launched
from mlet_bench.system.limits import available_cores, available_memory_bytes


def threads_of(threads: int | None) -> int:
    """How many threads are used where `threads` are asked for; the processes of a launch share a machine's cores."""
    return threads or max(available_cores() // launched().local_size, 1)


def device_for(device: str, threads: int | None, precision: str) -> torch.device:
    """The device, ready for use; UserError when there is no GPU."""
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("hardware=cuda: PyTorch finds no CUDA GPU here; allowed: cpu")
    if device == "cuda" and launched().size > 1:
        torch.cuda.set_device(launched().local_rank)
    torch.set_num_threads(threads_of(threads))
    keep_freed_memory()
    return torch.device(device)


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Float32 products in TF32 inside the block where `precision` is "tf32"; then as they were."""
    if precision != "tf32":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def keep_freed_memory() -> None:
    """Let glibc's allocator keep what is freed for the next allocation, blocks above 32 MB too.

    By default it gives large blocks back to the system and every step gets fresh pages, each of them zeroed first:
    AutoInt's step on a virtual machine took 620 ms so, and 370 ms without it. Does nothing with another C library.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if platform.libc_ver()[0] == "glibc" else None
    if mallopt is not None:
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 1 << 26)):
            mallopt(option, value)


M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory this process has held: on a GPU that of the device since `reset_peak_memory`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return int(getattr(psutil.Process().memory_info(), "peak_wset", 0))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS alone counts in bytes


def reset_peak_memory(device: torch.device) -> None:
    """Begin a run: what an earlier job of this process held on a GPU is not this one's."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def give_back_freed_memory() -> None:
    """What `keep_freed_memory` has kept."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if platform.libc_ver()[0] == "glibc" else None
    if trim is not None:
        trim(0)


def free_memory_bytes(device: torch.device) -> int:
    """What can be taken yet, of the machine's memory or the GPU's."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else available_memory_bytes()


def memory_bytes(device: torch.device) -> int:
    """The memory this process holds now: on a GPU that of the device."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


def describe_hardware(device: str, threads: int | None, precision: str) -> dict[str, Any]:
    cuda = device == "cuda"
    return {
        "device": device,
        "threads": threads_of(threads),
        "precision": precision,
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpu": torch.cuda.get_device_name() if cuda else None,
    }


def describe_software() -> dict[str, str]:
    return {
        "mlet_bench": mlet_bench.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Products inside keep the type of their factors; an exported graph has no such thing, and needs none."""
    if torch.compiler.is_exporting() or not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
