"""Commands of several processes, and what there is to compare them with."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import torch

from tests.conftest import Ended
from tests.processes import PRELOADED, Running

ROWS = ("dataset.rows=12000", "train.batch_size=512", "hardware.threads=1", "emb.dim=8")
PRELOADED.append("embedding.sharded")  # with TorchRec, where that is installed
TIMID = ("train.lr=0.001", "emb.lr=0.005")
"""Adagrad's first steps are signs of gradients: with large ones the last bits of a sum become another training."""


def launched(processes: int, *words: str) -> subprocess.Popen[str]:
    """torchrun with so many processes, in a session of its own, so that a test can stop all of it."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCHELASTIC_ERROR_FILE": os.devnull}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            start_new_session=True)  # fmt: skip


def ended(process: "subprocess.Popen[str]", seconds: float = 900) -> tuple[int, str, str]:
    """Exit code, output and errors; nothing of it is left when it takes too long."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"still there after {seconds} s\n{out}\n{err}") from None
    return process.returncode, out, err


def mlet_bench(processes: int, *words: str) -> "subprocess.Popen[str]":
    return launched(processes, "-m", "mlet_bench", *words)


class Forked:
    """The processes of a command, forked from a server that has all imported, and told of each other as by torchrun."""

    def __init__(self, size: int, words: list[str], place: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        shared = {"WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1",
                  "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}  # fmt: skip
        self.ranks = [
            Running(words, place, None, {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(size)
        ]

    def ended_by_launcher(self, patience: float = 60) -> int:
        """Those still there some time after one has ended, which a launcher would end at once; how many these were."""
        until = time.monotonic() + patience
        while any(rank.alive() for rank in self.ranks) and time.monotonic() < until:
            time.sleep(0.1)
        left = [rank for rank in self.ranks if rank.alive()]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for rank in left:
                rank.kill(number)
            for rank in left:
                rank.process.join(30)
        return len(left)

    def ended(self) -> list[Ended]:
        return [rank.ended() for rank in self.ranks]


def ranks(folder: str) -> list[int]:
    """The processes of a run in this folder, rank 0 first."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            environ = (path / "environ").read_bytes().split(b"\0")
            words = (path / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        rank = next((word for word in environ if word.startswith(b"RANK=")), None)
        if rank is not None and f"hydra.run.dir={folder}".encode() in words:
            found.append((int(rank[5:]), int(path.name)))
    return [process for _, process in sorted(found)]


def wait_for_state(folder: str, step: int, seconds: float = 300) -> None:
    """Until a run has the state of this step or a later one."""
    until = time.monotonic() + seconds
    while not any(int(path.stem[6:]) >= step for path in Path(folder).glob("checkpoint/state-*.json")):
        assert time.monotonic() < until, f"{folder}: no state of step {step}"
        time.sleep(0.01)


def relative(one: torch.Tensor, other: torch.Tensor) -> float:
    """Distance of two tensors, per length of the first."""
    return float((one.double() - other.double()).norm() / one.double().norm().clamp(min=1e-30))
