"""Separate random streams, all from one seed: what one of them draws changes nothing in another."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def stream_seed(seed: int, *stream: str | int) -> int:
    """The seed of a named stream.

    >>> stream_seed(1, "order", 0) == stream_seed(1, "order", 1)
    False
    """
    text = ":".join(map(str, (seed, *stream)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@contextmanager
def seeded(seed: int, *stream: str | int) -> Iterator[None]:
    """PyTorch's global generator on CPU stands at the start of a stream, and is put back; those of GPUs stay."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream_seed(seed, *stream))
        yield


def order(rows: int, seed: int, epoch: int, *of: str | int) -> torch.Tensor:
    """The order in which an epoch visits the training rows, or some of them (int64)."""
    generator = torch.Generator().manual_seed(stream_seed(seed, "order", epoch, *of))
    return torch.randperm(rows, generator=generator)
