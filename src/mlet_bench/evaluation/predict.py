"""Logits of whole splits, and how long they take."""

import time
from collections.abc import Sequence

import numpy as np
import torch

from mlet_bench.data import Split
from mlet_bench.models import CTRModel


@torch.no_grad()
def predict(model: CTRModel, split: Split, batch_size: int) -> np.ndarray:
    """logit of every row of a split, in its order (float32). The model must be in evaluation mode."""
    assert not model.training
    device = next(model.parameters()).device
    logits = []
    for start in range(0, len(split), batch_size):
        rows = slice(start, start + batch_size)
        ids_BF = torch.from_numpy(split.ids_BF[rows]).to(device)
        numeric_BN = torch.from_numpy(split.numeric_BN[rows]).to(device)
        logits.append(model(ids_BF, numeric_BN).cpu())
    return torch.cat(logits).numpy() if logits else np.empty(0, np.float32)


def milliseconds(models: Sequence[CTRModel], split: Split, batch_size: int, *, rounds: int = 15) -> list[float]:
    """The least time that each model takes for the same `batch_size` rows; the models run in turn."""
    few = split.head(batch_size)
    times: list[list[float]] = [[] for _ in models]
    for _ in range(rounds):
        for model, taken in zip(models, times, strict=True):
            began = time.perf_counter()
            predict(model, few, batch_size)
            taken.append(1000 * (time.perf_counter() - began))
    return [min(taken) for taken in times]
