"""A table of several fields: an ordinary parameter, of which a row optimiser may move the rows of a batch alone.

Any optimiser of PyTorch moves the table by its dense gradient. A row optimiser switches on that a step reads,
differentiates and moves the rows of its batch; what a step keeps for that lies in a `RowStep` of the table, which no
copy takes along. V rows of the table, W its width, U rows of a batch, D output width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlet_bench.embedding.rows import BatchRows, PlacedRows
from mlet_bench.system.processes import Processes


@dataclass
class RowRead:
    """Rows that a forward pass has read, as a leaf of the graph."""

    rows: BatchRows
    values_UW: Tensor
    vectors_UD: Tensor | None = None
    """What the embedding made of them, where it made anything."""


@dataclass
class RowGradient:
    """Which rows of a table are to be moved, and by what; no rows: the whole table."""

    rows: BatchRows | None
    weight_UW: Tensor
    grad_UW: Tensor

    def once(self) -> Tensor:
        """The gradient with every row's part in it once."""
        return self.grad_UW if self.rows is None else self.rows.once(self.grad_UW)


@dataclass
class RowStep:
    """What a table keeps from the forward passes of a step until its rows have moved."""

    reads: list[RowRead] = field(default_factory=list)
    gradient: RowGradient | None = None

    def clear(self) -> None:
        self.reads.clear()
        self.gradient = None


class RowTable(nn.Module):
    """V × W weights.

    Example:
        >>> table = RowTable(torch.arange(6.0).view(3, 2))
        >>> table(torch.tensor([2, 0])).tolist()
        [[4.0, 5.0], [0.0, 1.0]]
    """

    def __init__(self, weight_VW: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight_VW)
        self.step: RowStep | None = None
        """Set by a row optimiser; the weight then gets no gradient of its own."""

    def forward(self, rows: Tensor) -> Tensor:
        """A vector of width W for each row number, of any shape."""
        return F.embedding(rows, self.weight)

    @property
    def by_rows(self) -> bool:
        """Whether a forward pass is to read different rows once, for a row optimiser."""
        return self.step is not None and torch.is_grad_enabled()

    @property
    def is_trained(self) -> bool:
        """Whether a row optimiser has anything to move."""
        return self.weight.requires_grad

    def values(self, rows_U: Tensor) -> Tensor:
        """A copy of these rows."""
        return self.weight.detach().index_select(0, rows_U)

    def write(self, rows_U: Tensor, weight_UW: Tensor, grad_UW: Tensor) -> None:
        """Keep rows that a row optimiser has moved by these gradients."""
        self.weight.index_copy_(0, rows_U, weight_UW)  # index_add_ takes ten times as long on CPU

    def read(self, rows: BatchRows) -> RowRead:
        """The rows of a batch, kept for the row optimiser."""
        assert self.step is not None
        values_UW = self.values(rows.rows_U).requires_grad_()
        read = RowRead(rows, values_UW)
        self.step.reads.append(read)
        return read

    @property
    def last_read(self) -> RowRead:
        assert self.step is not None
        return self.step.reads[-1]

    def gradient(self) -> RowGradient | None:
        """The gradient of all that was read since the table last moved; None if nothing was, or nothing needs it."""
        assert self.step is not None
        if self.step.gradient is None:
            reads = [read for read in self.step.reads if read.values_UW.grad is not None]
            if reads:
                self.step.gradient = self._sum(reads)
        return self.step.gradient

    def share_gradient(self, processes: Processes) -> None:
        """The gradient becomes the mean of that of all processes, which have the same table and read what they want."""
        assert self.step is not None
        gradient = self.gradient()
        assert gradient is not None
        assert gradient.rows is not None
        rows_P = processes.stacked(gradient.rows.rows_U)
        grad_PW = processes.stacked(gradient.once())
        rows_U, place_P = torch.unique(rows_P, return_inverse=True)
        grad_UW = grad_PW.new_zeros(len(rows_U), grad_PW.shape[1]).index_add_(0, place_P, grad_PW / processes.size)
        self.step.gradient = RowGradient(PlacedRows(rows_U), self.values(rows_U), grad_UW)

    def densify(self) -> Tensor:
        """The gradient as V × W, zero in the rows that were not read; it may be added to."""
        assert self.step is not None
        gradient, weight_VW = self.gradient(), self.weight.detach()
        dense_VW = torch.zeros_like(weight_VW)
        if gradient is not None and gradient.rows is not None:
            dense_VW.index_copy_(0, gradient.rows.rows_U, gradient.grad_UW)
        self.step.gradient = RowGradient(None, weight_VW, dense_VW)
        return dense_VW

    def _sum(self, reads: Sequence[RowRead]) -> RowGradient:
        grads = [read.values_UW.grad for read in reads if read.values_UW.grad is not None]
        first = reads[0]
        if len(reads) == 1:
            return RowGradient(first.rows, first.values_UW.detach(), first.rows.total(grads[0]))
        rows = PlacedRows(torch.cat([read.rows.rows_U for read in reads]))
        weight_PW = torch.cat([read.values_UW.detach() for read in reads])
        return RowGradient(rows, weight_PW, rows.total(torch.cat(grads)))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "step": None}


def state_numbers(optimizer: str, numbers: int, rows: int) -> int:
    """How many numbers an optimiser keeps for a table of so many numbers in so many rows."""
    return {"sgd": 0, "rowwise_adagrad": rows, "adagrad": numbers, "adam": 2 * numbers}[optimizer]
