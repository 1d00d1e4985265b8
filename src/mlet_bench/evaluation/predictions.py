"""Logits of whole splits, and how long they take."""

import time
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from mlet_bench.data import Split
from mlet_bench.models import CTRModel


@torch.no_grad()
def predict(model: CTRModel, pieces: Iterable[Split], batch_size: int) -> np.ndarray:
    """logit of every row of a split's pieces, in their order (float32). The model must be in evaluation mode."""
    assert not model.training
    device = next(model.parameters()).device
    logits = []
    for piece in pieces:
        for start in range(0, len(piece), batch_size):
            rows = slice(start, start + batch_size)
            ids_BF = torch.from_numpy(piece.ids_BF[rows]).to(device)
            numeric_BN = torch.from_numpy(piece.numeric_BN[rows]).to(device)
            logits.append(model(ids_BF, numeric_BN).cpu())
    return torch.cat(logits).numpy() if logits else np.empty(0, np.float32)


def milliseconds(models: Sequence[CTRModel], few: Split, batch_size: int, *, rounds: int = 15) -> list[float]:
    """The least time that each model takes for the same few rows; the models run in turn."""
    times: list[list[float]] = [[] for _ in models]
    for _ in range(rounds):
        for model, taken in zip(models, times, strict=True):
            began = time.perf_counter()
            predict(model, [few], batch_size)
            taken.append(1000 * (time.perf_counter() - began))
    return [min(taken) for taken in times]
