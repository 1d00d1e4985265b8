"""Integers instead of a trained table's numbers: uniform, symmetric, one scale a table.

The scale is the one of least squared error that a grid search finds, as in the MLET paper (section 5.5).
"""

import torch
from torch import Tensor

COARSE = 64
"""Scales tried between none and the one at which the largest number is the largest integer."""
FINE = 32
"""Scales tried between the two beside the best of those."""
BLOCK = 1 << 20
"""Rows that are rounded at a time."""


def quantize(table_NW: Tensor, bits: int) -> tuple[Tensor, float]:
    """Integers (int8) within ±(2^(bits-1) - 1), and the scale with which they stand for the table.

    Example:
        >>> quantize(torch.tensor([[-0.7, 0.2], [0.0, 0.7]]), 4)[0].tolist()
        [[-7, 2], [0, 7]]
    """
    scale = _best_scale(table_NW, bits)
    return torch.cat([_rounded(rows, scale, bits).to(torch.int8) for rows in torch.split(table_NW, BLOCK)]), scale


def packed_bytes(numbers: int, bits: int) -> int:
    """Of a table's integers one after the other, and its scale in float32.

    >>> packed_bytes(5, 4)
    7
    """
    return -(-numbers * bits // 8) + 4


def _best_scale(table_NW: Tensor, bits: int) -> float:
    largest = float(table_NW.abs().max()) if table_NW.numel() else 0.0
    whole = largest / (2 ** (bits - 1) - 1)
    if whole == 0:
        return 1.0
    step = whole / COARSE
    best = _least_error(table_NW, [step * place for place in range(1, COARSE + 1)], bits)
    return _least_error(table_NW, [best + step * place / FINE for place in range(1 - FINE, FINE)], bits)


def _least_error(table_NW: Tensor, scales: list[float], bits: int) -> float:
    errors = torch.zeros(len(scales), dtype=torch.float64)
    for rows_NW in torch.split(table_NW, BLOCK):
        for place, scale in enumerate(scales):
            wrong_NW = _rounded(rows_NW, scale, bits).mul_(scale).sub_(rows_NW)
            errors[place] += wrong_NW.square_().sum(dtype=torch.float64).cpu()
    return scales[int(errors.argmin())]


def _rounded(rows_NW: Tensor, scale: float, bits: int) -> Tensor:
    largest = 2 ** (bits - 1) - 1
    return (rows_NW / scale).round_().clamp_(-largest, largest)
