"""A table of which a step reads, differentiates and moves only the rows that its batch holds.

V rows of the table, W its width, U different rows of a batch, B batch, F sparse fields, K inner width, D output
width.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class RowTable(nn.Module):
    """V × W weights without a dense gradient.

    `take` hands out rows as a leaf of the graph; after the backward pass `gradient` tells the optimiser which
    rows to move and by what. `densify` makes that the whole table, as PyTorch's dense optimisers see it.
    """

    def __init__(self, weight_VW: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight_VW, requires_grad=False)
        self.taken_UW: Tensor | None = None
        self._rows_U: Tensor | None = None
        self._dense_VW: Tensor | None = None

    def take(self, rows_U: Tensor) -> Tensor:
        """Rows `rows_U` (all different) as a U × W tensor."""
        taken_UW = self.weight.index_select(0, rows_U)
        if torch.is_grad_enabled():
            taken_UW.requires_grad_()
            self._rows_U, self.taken_UW, self._dense_VW = rows_U, taken_UW, None
        return taken_UW

    def densify(self) -> Tensor:
        """The gradient of the last batch as V × W, zero in the rows it did not hold; it may be added to."""
        assert self._rows_U is not None
        assert self.taken_UW is not None
        assert self.taken_UW.grad is not None
        self._dense_VW = torch.zeros_like(self.weight).index_copy_(0, self._rows_U, self.taken_UW.grad)
        return self._dense_VW

    def gradient(self) -> tuple[Tensor | None, Tensor]:
        """(rows_U, U × W) of the last batch, or (None, V × W) after `densify`."""
        if self._dense_VW is not None:
            return None, self._dense_VW
        assert self._rows_U is not None
        assert self.taken_UW is not None
        assert self.taken_UW.grad is not None
        return self._rows_U, self.taken_UW.grad


class FieldRows(nn.Module):
    """Where each field's rows lie in a table that holds the fields one after the other."""

    offsets: Tensor

    def __init__(self, cardinalities: Sequence[int]) -> None:
        super().__init__()
        self.bounds = list(itertools.accumulate(cardinalities, initial=0))
        """F + 1 row numbers: field f has rows bounds[f] up to bounds[f + 1]."""
        self.register_buffer("offsets", torch.tensor(self.bounds))

    def different(self, ids_BF: Tensor) -> tuple[Tensor, Tensor]:
        """The different rows of a batch in rising order (U) and, for each id, which of them it is (B × F)."""
        rows_U, which_BF = torch.unique(ids_BF + self.offsets[:-1], return_inverse=True)
        return rows_U, which_BF

    def segments(self, rows_U: Tensor) -> list[int]:
        """F + 1 positions in `rows_U` (rising) between which each field's rows lie."""
        positions: list[int] = torch.searchsorted(rows_U, self.offsets).tolist()
        return positions


def initial_rows(cardinalities: Sequence[int], width: int, std: float | None) -> Tensor:
    """V × W starting weights, uniform, field by field.

    The standard deviation is `std`, or that of DLRM's uniform ±1/sqrt(n) for a field with n rows, 1/sqrt(3n).
    """
    parts = []
    for rows in cardinalities:
        bound = 3**0.5 * std if std is not None else rows**-0.5
        parts.append(torch.empty(rows, width).uniform_(-bound, bound))
    return torch.cat(parts)
