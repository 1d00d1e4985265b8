"""How the rows of a table start.

V rows of all fields together, N rows of a field, W the width.
"""

from typing import Literal

import torch
from torch import Tensor

from mlet_bench.embedding.rows import FieldOffsets

TableInit = Literal["dlrm", "glorot"]


def initial_rows(
    fields: FieldOffsets,
    width: int,
    *,
    table_init: TableInit = "dlrm",
    init_std: float | None = None,
    seen: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """V × W starting weights, uniform, field by field; zero where training sees none of a row's ids.

    The standard deviation is `init_std`, or that of DLRM's uniform ±1/√N for a field with N rows, 1/√(3N), or Glorot's
    √(2 / (N + W)).
    """
    if min(fields.cardinalities, default=1) < 1:
        raise ValueError(f"cardinalities={list(fields.cardinalities)}: allowed: whole numbers >= 1")
    weight_VW = torch.empty(fields.bounds[-1], width)
    for rows, weight_NW in zip(fields.counts, torch.split(weight_VW, list(fields.counts)), strict=True):
        bound = start_bound(rows, width, table_init, init_std)
        weight_NW.uniform_(-bound, bound, generator=generator)
    return weight_VW if seen is None else weight_VW.mul_(fields.seen_rows(seen)[:, None])


def start_bound(rows: int, width: int, table_init: TableInit, init_std: float | None) -> float:
    """Entries of a field's table start between minus this and this."""
    if init_std is not None:
        return float(3**0.5 * init_std)
    return float(rows**-0.5 if table_init == "dlrm" else (6 / (rows + width)) ** 0.5)
