"""The rows that a batch reads of a table that holds several fields one after the other.

V rows of the table, W its width, B batch, F sparse fields, P = B·F places of a batch, U different rows of a batch,
K inner width, D output width.
"""

import copy
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlet_bench.system import hardware


class FieldOffsets(nn.Module):
    """Which rows the ids of each field read in a table that holds the fields one after the other: here their own.

    A way to read fewer rows is a subclass, with `rows`, `in_field`, and the number of each field's rows.
    """

    offsets: Tensor
    offsets_int32: Tensor
    """Sorting ids of 32 bits takes three quarters of the time; not used where the rows are too many for them."""

    def __init__(self, cardinalities: Sequence[int], rows: Sequence[int] | None = None) -> None:
        super().__init__()
        self.cardinalities = tuple(cardinalities)
        """Ids of each field."""
        self.counts = tuple(cardinalities if rows is None else rows)
        """Rows of each field."""
        self.bounds = list(itertools.accumulate(self.counts, initial=0))
        """F + 1 row numbers: field f has rows bounds[f] up to bounds[f + 1]."""
        self.register_buffer("offsets", torch.tensor(self.bounds))
        self.register_buffer("offsets_int32", self.offsets.clamp(max=2**31 - 1).int(), persistent=False)
        self.shared: SharedRows | None = None
        """Set by the optimisers, so that tables of equal fields find the rows of a batch once."""

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal where the same ids read the same rows."""
        return type(self), *self.bounds

    def in_field(self, ids: Tensor, field: int) -> Tensor:
        """Which of a field's rows its ids read, counted from the field's first."""
        return ids

    def rows(self, ids_BF: Tensor) -> Tensor:
        """rows_BF of ids within their fields."""
        small = self.bounds[-1] < 2**31
        return ids_BF + (self.offsets_int32 if small else self.offsets)[:-1]

    def rows_of_field(self, field: int) -> Tensor:
        """The row of each of a field's ids."""
        ids_N = torch.arange(self.cardinalities[field], device=self.offsets.device)
        return self.in_field(ids_N, field) + self.bounds[field]

    def blocks(self) -> Iterator[tuple[int, Tensor]]:
        """Every field with the rows that are its own."""
        for field in range(len(self.counts)):
            yield field, torch.arange(self.bounds[field], self.bounds[field + 1], device=self.offsets.device)

    def served(self) -> tuple["FieldOffsets", Tensor | None]:
        """What serves the same rows, and the order in which it wants them; None: as they are."""
        return copy.deepcopy(self), None

    def seen_rows(self, seen_V: Tensor) -> Tensor:
        """Which rows training reads, given which ids it does (all fields one after the other)."""
        if self.counts == self.cardinalities:
            return seen_V
        rows_V = torch.zeros(self.bounds[-1], dtype=torch.bool, device=seen_V.device)
        for field, seen_N in enumerate(torch.split(seen_V, list(self.cardinalities))):
            rows_V[self.rows_of_field(field).to(seen_V.device)[seen_N]] = True
        return rows_V

    def batch_rows(self, ids_BF: Tensor) -> "BatchRows":
        """The rows that a training step reads for these ids."""
        if self.shared is not None:
            return self.shared.batch_rows(self, ids_BF)
        return self.new_batch_rows(ids_BF)

    def new_batch_rows(self, ids_BF: Tensor) -> "BatchRows":
        """The different rows on CPU; on a GPU a row for each place, since how many are different is not known there."""
        kind = UniqueRows if ids_BF.device.type == "cpu" else PlacedRows
        return kind(self.rows(ids_BF), self.offsets)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "shared": None}


def fields_of(fields: FieldOffsets | Sequence[int]) -> FieldOffsets:
    """As they are, or of cardinalities: every id reads a row of its own."""
    return fields if isinstance(fields, FieldOffsets) else FieldOffsets(fields)


class SharedRows:
    """The rows of the batch that a step looks at, found once for all tables whose fields have equal cardinalities."""

    def __init__(self) -> None:
        self._ids_BF: Tensor | None = None
        self._version = 0
        self._rows: dict[tuple[Any, ...], BatchRows] = {}

    def batch_rows(self, fields: FieldOffsets, ids_BF: Tensor) -> "BatchRows":
        """Those of `fields.new_batch_rows`, or the same object again for the same ids."""
        if ids_BF.is_inference():  # PyTorch does not say whether it was changed since
            return fields.new_batch_rows(ids_BF)
        if self._ids_BF is not ids_BF or self._version != ids_BF._version:
            self.clear()
            self._ids_BF, self._version = ids_BF, ids_BF._version
        key = fields.key
        if key not in self._rows:
            self._rows[key] = fields.new_batch_rows(ids_BF)
        return self._rows[key]

    def clear(self) -> None:
        """Let the batch go."""
        self._ids_BF = None
        self._rows.clear()


class BatchRows(ABC):
    """The rows of a table that a batch reads, and where in the batch each of them stands."""

    rows_U: Tensor

    @abstractmethod
    def spread(self, vectors_UD: Tensor) -> Tensor:
        """emb_BFD: every place gets its row's vector."""

    @abstractmethod
    def project(self, rows_UK: Tensor, w2_FKD: Tensor) -> Tensor:
        """U × D: each row times its field's matrix."""

    def vectors(self, rows_UK: Tensor, w2_FKD: Tensor) -> tuple[Tensor, Tensor | None]:
        """emb_BFD: every place gets its row times its field's matrix; and U × D, where each row has one product."""
        product_UD = self.project(rows_UK, w2_FKD)
        return self.spread(product_UD), product_UD

    @abstractmethod
    def total(self, grad_UW: Tensor) -> Tensor:
        """The gradient of each row: the sum over those in `rows_U` that are the same."""

    @abstractmethod
    def once(self, values_UW: Tensor) -> Tensor:
        """The values with zeros where a row stands a second time, for sums over different rows."""


class UniqueRows(BatchRows):
    """The different rows of a batch, in rising order."""

    def __init__(self, rows_BF: Tensor, offsets: Tensor) -> None:
        sorted_P, self.order_P = rows_BF.flatten().sort(stable=True)
        first_P = torch.ones_like(sorted_P, dtype=torch.bool)
        torch.ne(sorted_P[1:], sorted_P[:-1], out=first_P[1:])
        self.start_U = first_P.nonzero().squeeze(1)
        """Where each row's places begin in `order_P`, the places of the batch sorted by row."""
        place_P = torch.empty_like(self.order_P)
        place_P[self.order_P] = first_P.cumsum(0) - 1
        self.index_BF = place_P.view(rows_BF.shape)
        """For each id, which of the different rows it is."""
        self.rows_U = sorted_P[self.start_U].long()
        self._offsets = offsets

    @cached_property
    def segments(self) -> list[int]:
        """F + 1 positions in `rows_U` between which each field's rows lie."""
        positions: list[int] = torch.searchsorted(self.rows_U, self._offsets).tolist()
        return positions

    def sum(self, values_PW: Tensor) -> Tensor:
        """U × W: the sum over each row's places, in their order."""
        return F.embedding_bag(self.order_P, values_PW, self.start_U, mode="sum")

    def spread(self, vectors_UD: Tensor) -> Tensor:
        spread_BFD: Tensor = _Spread.apply(vectors_UD, self)  # type: ignore[no-untyped-call]
        return spread_BFD

    def project(self, rows_UK: Tensor, w2_FKD: Tensor) -> Tensor:
        product_UD: Tensor = _Project.apply(rows_UK, w2_FKD, self.segments)  # type: ignore[no-untyped-call]
        return product_UD

    def total(self, grad_UW: Tensor) -> Tensor:
        return grad_UW

    def once(self, values_UW: Tensor) -> Tensor:
        return values_UW


class PlacedRows(BatchRows):
    """A row for each place of a batch, equal ones among them: all shapes are known beforehand.

    Nothing waits for the device, and the projection of all fields is one product. Places of equal rows hold equal
    values, so writing them all back is the same as writing one of them.
    """

    def __init__(self, rows_BF: Tensor, offsets: Tensor | None = None) -> None:
        self.shape = rows_BF.shape
        self._rows_P = rows_BF.flatten()
        self.rows_U = self._rows_P.long()

    @cached_property
    def _groups(self) -> tuple[Tensor, Tensor]:
        """For each place the number of its row among the different ones, and whether it is that row's first place."""
        sorted_P, order_P = self._rows_P.sort(stable=True)
        first_P = torch.cat([torch.ones_like(sorted_P[:1], dtype=torch.bool), sorted_P[1:] != sorted_P[:-1]])
        group_P = torch.empty_like(order_P).scatter_(0, order_P, first_P.cumsum(0) - 1)
        return group_P, torch.empty_like(first_P).scatter_(0, order_P, first_P)

    def spread(self, vectors_UD: Tensor) -> Tensor:
        return vectors_UD.view(*self.shape, vectors_UD.shape[1])

    def project(self, rows_UK: Tensor, w2_FKD: Tensor) -> Tensor:
        return project_places(self.spread(rows_UK), w2_FKD).flatten(0, 1)

    def total(self, grad_UW: Tensor) -> Tensor:
        group_P, _ = self._groups
        return torch.zeros_like(grad_UW).index_add_(0, group_P, grad_UW).index_select(0, group_P)

    def once(self, values_UW: Tensor) -> Tensor:
        return values_UW * self._groups[1][:, None]


def project_places(rows_BFK: Tensor, w2_FKD: Tensor) -> Tensor:
    """B × F × D: each place's row times its field's matrix, in one product, in the precision of the tables."""
    with hardware.without_autocast(rows_BFK.device):
        return torch.bmm(rows_BFK.transpose(0, 1), w2_FKD).transpose(0, 1)


class _Spread(torch.autograd.Function):
    """F.embedding, with the backward pass as sums over sorted places: parallel, and the same in every repetition.

    PyTorch's own backward pass of an embedding runs on one thread and took 40 times as long.
    """

    @staticmethod
    def forward(ctx: Any, vectors_UD: Tensor, rows: UniqueRows) -> Tensor:
        ctx.rows = rows
        return F.embedding(rows.index_BF, vectors_UD)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        rows: UniqueRows = ctx.rows
        return rows.sum(gradients[0].flatten(0, 1).contiguous()), None


class _Project(torch.autograd.Function):
    """Rows of each field times that field's W2, written into one output.

    Slicing and concatenating under autograd would copy the whole gradient once per field in the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, rows_UK: Tensor, w2_FKD: Tensor, segments: list[int]) -> Tensor:
        ctx.save_for_backward(rows_UK, w2_FKD)
        ctx.segments = segments
        product_UD = rows_UK.new_empty(len(rows_UK), w2_FKD.shape[2])
        for index, (start, end) in enumerate(itertools.pairwise(segments)):
            torch.mm(rows_UK[start:end], w2_FKD[index], out=product_UD[start:end])
        return product_UD

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None]:
        (grad_UD,) = gradients
        rows_UK, w2_FKD = ctx.saved_tensors
        grad_UK = torch.empty_like(rows_UK)
        grad_FKD = torch.empty_like(w2_FKD) if ctx.needs_input_grad[1] else None
        for index, (start, end) in enumerate(itertools.pairwise(ctx.segments)):
            torch.mm(grad_UD[start:end], w2_FKD[index].t(), out=grad_UK[start:end])
            if grad_FKD is not None:
                torch.mm(rows_UK[start:end].t(), grad_UD[start:end], out=grad_FKD[index])
        return grad_UK, grad_FKD, None
