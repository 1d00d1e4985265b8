"""How the rows of a table start.

V rows of all fields together, N rows of a field, W the width.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

TableInit = Literal["dlrm", "glorot"]


def initial_rows(
    cardinalities: Sequence[int],
    width: int,
    *,
    table_init: TableInit = "dlrm",
    init_std: float | None = None,
    seen: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """V × W starting weights, uniform, field by field; zero where `seen` (V booleans) says no.

    The standard deviation is `init_std`, or that of DLRM's uniform ±1/√N for a field with N rows, 1/√(3N), or Glorot's
    √(2 / (N + W)).
    """
    if min(cardinalities, default=1) < 1:
        raise ValueError(f"cardinalities={list(cardinalities)}: allowed: whole numbers >= 1")
    weight_VW = torch.empty(sum(cardinalities), width)
    for rows, weight_NW in zip(cardinalities, torch.split(weight_VW, list(cardinalities)), strict=True):
        bound = rows**-0.5 if table_init == "dlrm" else (6 / (rows + width)) ** 0.5
        if init_std is not None:
            bound = 3**0.5 * init_std
        weight_NW.uniform_(-bound, bound, generator=generator)
    return weight_VW if seen is None else weight_VW.mul_(seen[:, None])
