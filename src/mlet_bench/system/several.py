"""Several processes over torch.distributed.

R rows of a split.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import HashStore

from mlet_bench.errors import RunFailedError
from mlet_bench.system import launch
from mlet_bench.system.processes import ALONE, Processes, Value

PATIENCE = timedelta(minutes=30)
"""A process that ends is noticed at once; one that only says nothing, after this time."""
LOST = ("Connection closed", "Connection reset", "Broken pipe", "Connection refused", "Timed out", "timed out", "NCCL",
        "Socket", "recvValue", "sendBytes", "aborted")  # fmt: skip
"""What PyTorch says where another process is gone."""


class Several(Processes):
    """Those of torch.distributed's default group; small values go over a group of their own, on the host."""

    def __init__(self, device: torch.device) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.device = device
        self.host = dist.new_group(backend="gloo", timeout=PATIENCE)

    def mean(self, loss: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        sums = torch.stack([loss.detach().double() * rows, loss.new_tensor(rows, dtype=torch.float64)])
        dist.all_reduce(sums)
        return loss * (rows * self.size / sums[1]).to(loss.dtype), (sums[0] / sums[1]).to(loss.dtype)

    def average_(self, gradients: Sequence[Tensor]) -> None:
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, mean in zip(gradients, torch.split(flat, sizes), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def stacked(self, values: Tensor) -> Tensor:
        lengths = self.each(len(values))
        padded = values.new_zeros(max(lengths), *values.shape[1:])
        padded[: len(values)] = values
        parts = [torch.empty_like(padded) for _ in lengths]
        dist.all_gather(parts, padded)
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

    def gathered(self, values_R: np.ndarray) -> np.ndarray:
        lengths = self.each(len(values_R))
        padded = torch.zeros(max(lengths), dtype=torch.from_numpy(values_R).dtype)
        padded[: len(values_R)] = torch.from_numpy(values_R)
        parts = [torch.empty_like(padded) for _ in lengths] if self.first else None
        dist.gather(padded, parts, group=self.host)
        if parts is None:
            return values_R[:0]
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)]).numpy()

    def each(self, value: Value) -> list[Value]:
        data = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(lengths, torch.tensor([len(data)]), group=self.host)
        padded = torch.zeros(int(max(lengths)), dtype=torch.uint8)
        padded[: len(data)] = data
        parts = [torch.empty_like(padded) for _ in lengths]
        dist.all_gather(parts, padded, group=self.host)
        return [json.loads(part[: int(n)].numpy().tobytes()) for part, n in zip(parts, lengths, strict=True)]

    def most(self, value: int) -> int:
        found = torch.tensor([value])
        dist.all_reduce(found, dist.ReduceOp.MAX, group=self.host)
        return int(found)

    def wait(self) -> None:
        dist.barrier(group=self.host)


@contextmanager
def joined(device: torch.device, told: dict[str, Any], *, group: bool) -> Iterator[Processes]:
    """The processes of this launch; rank 0 tells the others first, who wait for it (`launch.word`).

    `group`: one process too needs torch.distributed's group. RunFailedError where another process ends meanwhile.
    """
    here = launch.launched()
    if here.size == 1 and not group:
        yield ALONE
        return
    launch.tell(told)
    backend = "nccl" if device.type == "cuda" else "gloo"
    shared = launch.store() if here.size > 1 else HashStore()
    dist.init_process_group(backend, store=shared, rank=here.rank, world_size=here.size, timeout=PATIENCE)
    try:
        yield Several(device)
    except RuntimeError as error:
        if here.size > 1 and any(words in str(error) for words in LOST):
            raise RunFailedError(
                "another process of this run has ended, so this one ends too; the same command resumes from the last "
                "checkpoint"
            ) from None
        raise
    finally:
        dist.destroy_process_group()
