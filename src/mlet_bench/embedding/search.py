"""Where numbers stand among sorted ones."""

import torch
from torch import Tensor


def places_among(keys_S: Tensor, ids: Tensor) -> Tensor:
    """torch.searchsorted; an exported graph goes by steps, since ONNX has no such operator."""
    return _in_steps(keys_S, ids) if torch.compiler.is_exporting() else torch.searchsorted(keys_S, ids)


def _in_steps(keys_S: Tensor, ids: Tensor) -> Tensor:
    """torch.searchsorted in steps of powers of two.

    >>> _in_steps(torch.tensor([2, 3, 7, 7, 9]), torch.tensor([[0, 2, 3], [4, 7, 10]])).tolist()
    [[0, 0, 1], [2, 2, 5]]
    """
    places = torch.zeros_like(ids, dtype=torch.int64)
    for power in reversed(range(len(keys_S).bit_length())):
        ahead = places + (1 << power)
        is_below = (ahead <= len(keys_S)) & (keys_S[(ahead - 1).clamp(max=len(keys_S) - 1)] < ids)
        places = torch.where(is_below, ahead, places)
    return places
