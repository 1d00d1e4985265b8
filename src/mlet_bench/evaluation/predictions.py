"""Logits of whole splits, and how long they take."""

import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import nn

from mlet_bench.data import Split


@torch.no_grad()
def predict(
    model: nn.Module,
    pieces: Iterable[Split],
    batch_size: int,
    advanced: Callable[[int, int], None] = lambda done, of: None,
    rows: int = 0,
) -> np.ndarray:
    """logit of every row of a split's pieces, in their order (float32). The model must be in evaluation mode.
    `advanced` hears after every batch how many of the `rows` are done.

    Each piece is copied to the model's device at once, and all logits come back together: between batches a GPU waits
    for nothing.
    """
    assert not model.training
    device = next(model.parameters()).device
    logits, done = [], 0
    for piece in pieces:
        ids_RF, numeric_RN = torch.from_numpy(piece.ids_BF).to(device), torch.from_numpy(piece.numeric_BN).to(device)
        for start in range(0, len(piece), batch_size):
            batch = slice(start, start + batch_size)
            logits.append(model(ids_RF[batch], numeric_RN[batch]))
            advanced(done + min(start + batch_size, len(piece)), rows)
        done += len(piece)
    return torch.cat(logits).cpu().numpy() if logits else np.empty(0, np.float32)


def milliseconds(models: Sequence[nn.Module], few: Split, batch_size: int, *, rounds: int = 15) -> list[float]:
    """The least time that each model takes for the same few rows; the models run in turn."""
    seconds: list[list[float]] = [[] for _ in models]
    for _ in range(rounds):
        for model, of_model in zip(models, seconds, strict=True):
            began = time.perf_counter()
            predict(model, [few], batch_size)
            of_model.append(time.perf_counter() - began)
    return [1000 * min(of_model) for of_model in seconds]
