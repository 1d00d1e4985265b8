"""Logits of whole splits, and how long they take."""

import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import nn

from mlet_bench.data import Split
from mlet_bench.system.processes import ALONE, Processes, rounds


def allowed_change(largest: float) -> float:
    """How far a logit may be from what it was where the same model is computed another way: 1e-5 times the largest, or
    times 1 if that is smaller.

    >>> allowed_change(0.5), allowed_change(20.0)
    (1e-05, 0.0002)
    """
    return 1e-5 * max(1.0, largest)


@torch.no_grad()
def predict(
    model: nn.Module,
    pieces: Iterable[Split],
    batch_size: int,
    advanced: Callable[[int, int], None] = lambda done, of: None,
    rows: int = 0,
    processes: Processes = ALONE,
) -> np.ndarray:
    """logit of every row of a split's pieces, in their order (float32). The model must be in evaluation mode.
    `advanced` hears after every batch how many of the `rows` are done.

    Several processes have a share of each piece, and the first one gets all logits, the others none.

    Each piece is copied to the model's device at once, and all logits come back together: between batches a GPU waits
    for nothing.
    """
    assert not model.training
    device = next(model.parameters()).device
    every, done = list[torch.Tensor](), 0
    for piece in pieces:
        logits = []
        ids_RF, numeric_RN = torch.from_numpy(piece.ids_BF).to(device), torch.from_numpy(piece.numeric_BN).to(device)
        for index in range(rounds(len(piece), batch_size, processes)):
            batch = slice(index * batch_size, (index + 1) * batch_size)
            logits.append(model(ids_RF[batch], numeric_RN[batch]))
            advanced(done + min(batch.stop, len(piece)) * processes.size, rows)
        done += len(piece) * processes.size
        if processes.size > 1:
            logits = [torch.from_numpy(processes.gathered(torch.cat(logits).cpu().numpy()))]
        every += logits
    return torch.cat(every).cpu().numpy() if every else np.empty(0, np.float32)


def milliseconds(models: Sequence[nn.Module], few: Split, batch_size: int, *, rounds: int = 15) -> list[float]:
    """The least time that each model takes for the same few rows; the models run in turn."""
    seconds: list[list[float]] = [[] for _ in models]
    for _ in range(rounds):
        for model, of_model in zip(models, seconds, strict=True):
            began = time.perf_counter()
            predict(model, [few], batch_size)
            of_model.append(time.perf_counter() - began)
    return [1000 * min(of_model) for of_model in seconds]
