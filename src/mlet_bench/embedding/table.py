"""A table of which a step reads, differentiates and moves only the rows that its batch holds.

V rows of the table, W its width, U different rows of a batch, B batch, F sparse fields, P = B·F places of a batch,
K inner width, D output width.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RowTable(nn.Module):
    """V × W weights without a dense gradient.

    `take` hands out rows as a leaf of the graph; after the backward pass `gradient` tells the optimiser which
    rows to move and by what. `densify` makes that the whole table, as PyTorch's dense optimizers see it.
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

    def forget(self) -> None:
        """Let the rows and the gradient of the last batch go."""
        self._rows_U = self.taken_UW = self._dense_VW = None

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
    offsets_int32: Tensor
    """Sorting ids of 32 bits takes three quarters of the time; not used where the rows are too many for them."""

    def __init__(self, cardinalities: Sequence[int]) -> None:
        super().__init__()
        self.bounds = list(itertools.accumulate(cardinalities, initial=0))
        """F + 1 row numbers: field f has rows bounds[f] up to bounds[f + 1]."""
        self.register_buffer("offsets", torch.tensor(self.bounds))
        self.register_buffer("offsets_int32", self.offsets.clamp(max=2**31 - 1).int(), persistent=False)

    def different(self, ids_BF: Tensor) -> "UniqueRows":
        """The different rows of a batch."""
        small = self.bounds[-1] < 2**31
        places_P = (ids_BF + (self.offsets_int32 if small else self.offsets)[:-1]).flatten()
        sorted_P, order_P = places_P.sort(stable=True)
        first_P = torch.ones_like(sorted_P, dtype=torch.bool)
        torch.ne(sorted_P[1:], sorted_P[:-1], out=first_P[1:])
        start_U = first_P.nonzero().squeeze(1)
        which_P = torch.empty_like(order_P)
        which_P[order_P] = first_P.cumsum(0) - 1
        return UniqueRows(sorted_P[start_U].long(), which_P.view(ids_BF.shape), order_P, start_U)

    def segments(self, rows_U: Tensor) -> list[int]:
        """F + 1 positions in `rows_U` (rising) between which each field's rows lie."""
        positions: list[int] = torch.searchsorted(rows_U, self.offsets).tolist()
        return positions


@dataclass(frozen=True)
class UniqueRows:
    """The different rows of a batch, and where in the batch each of them stands."""

    rows_U: Tensor
    """In rising order."""
    which_BF: Tensor
    """For each id, which of the rows it is."""
    order_P: Tensor
    """The places of the batch (flattened) sorted by row, equal ones in their order."""
    start_U: Tensor
    """Where each row's places begin in `order_P`."""

    def spread(self, vectors_UD: Tensor) -> Tensor:
        """emb_BFD: every place gets its row's vector."""
        spread: Tensor = _Spread.apply(vectors_UD, self)  # type: ignore[no-untyped-call]
        return spread


class _Spread(torch.autograd.Function):
    """F.embedding, with the backward pass as sums over sorted places: parallel, and the same in every repetition.

    PyTorch's own backward pass of an embedding runs on one thread and took 40 times as long.
    """

    @staticmethod
    def forward(ctx: Any, vectors_UD: Tensor, different: UniqueRows) -> Tensor:
        ctx.different = different
        return F.embedding(different.which_BF, vectors_UD)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        grad_PD = gradients[0].flatten(0, 1).contiguous()
        different: UniqueRows = ctx.different
        return F.embedding_bag(different.order_P, grad_PD, different.start_U, mode="sum"), None


def initial_rows(cardinalities: Sequence[int], width: int, std: float | None) -> Tensor:
    """V × W starting weights, uniform, field by field.

    The standard deviation is `std`, or that of DLRM's uniform ±1/sqrt(n) for a field with n rows, 1/sqrt(3n).
    """
    weight_VW = torch.empty(sum(cardinalities), width)
    for rows, weight_NW in zip(cardinalities, torch.split(weight_VW, list(cardinalities)), strict=True):
        bound = 3**0.5 * std if std is not None else rows**-0.5
        weight_NW.uniform_(-bound, bound)
    return weight_VW
