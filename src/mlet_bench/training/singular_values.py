"""The singular values of a field's table and of the factors that it is trained as, and what follows from them.

N rows of a field's table, K inner width, D output width.
"""

from typing import Any

import torch
from torch import Tensor

BLOCK = 1 << 16
"""Rows that are taken in float64 at a time."""


def spectrum(factors: tuple[Tensor, ...]) -> dict[str, Any]:
    """Singular values of E and, where it is a product, of W1 and W2, from the largest; null where not finite.

    All that is made of W1 is its triangle, so millions of rows take time and little memory, and E = W1 W2 is never
    formed. `imbalance` is null for a standard embedding.
    """
    triangle_WW = triangle(factors[0])
    if not all(bool(part.isfinite().all()) for part in (triangle_WW, *factors[1:])):
        return {"singular_values": None, "effective_rank": None, "imbalance": None}
    if len(factors) == 1:
        values = {"E": torch.linalg.svdvals(triangle_WW)}
        apart = None
    else:
        w2_KD = factors[1].double()
        products = {"E": triangle_WW @ w2_KD, "W1": triangle_WW, "W2": w2_KD}
        values = {name: torch.linalg.svdvals(product) for name, product in products.items()}
        apart = imbalance(triangle_WW.t() @ triangle_WW, w2_KD @ w2_KD.t())
    return {
        "singular_values": {name: found.tolist() for name, found in values.items()},
        "effective_rank": effective_rank(values["E"]),
        "imbalance": apart,
    }


def triangle(matrix_NW: Tensor) -> Tensor:
    """R in float64, with at most W rows, such that RᵀR = MᵀM: M = QR, a block of rows at a time.

    The Gram matrix itself would square the singular values: those below 1e-8 of the largest would drown.
    """
    triangle_WW = matrix_NW.new_zeros(0, matrix_NW.shape[1], dtype=torch.float64)
    for block_NW in torch.split(matrix_NW, BLOCK):
        triangle_WW = torch.linalg.qr(torch.cat([triangle_WW, block_NW.double()]), mode="r").R
    return triangle_WW


def effective_rank(values: Tensor) -> float | None:
    """exp of the entropy of the singular values over their sum (Roy and Vetterli 2007); None where all are zero.

    >>> round(effective_rank(torch.tensor([2.0, 2.0, 2.0, 0.0])), 6)
    3.0
    """
    if not values.any():
        return None
    return float(torch.special.entr(values / values.sum()).sum().exp())


def imbalance(inner_KK: Tensor, outer_KK: Tensor) -> float | None:
    """‖W1ᵀW1 - W2W2ᵀ‖ / (‖W1ᵀW1‖ + ‖W2W2ᵀ‖), Frobenius: 0 in balance, 1 where one is nothing; None where both are."""
    whole = float(inner_KK.norm() + outer_KK.norm())
    return float((inner_KK - outer_KK).norm()) / whole if whole else None
