"""Tables of which only some numbers are kept, and what says where they stand.

Marked: a bit for every number of the table, and how many are kept before each row: four bytes for every few rows, one
for each. Listed: four bytes for each number that is kept. What takes less is taken.
V rows of all fields together, K numbers kept, U rows that are read, D output width.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlet_bench.embedding.computed import ComputedEmbedding
from mlet_bench.embedding.search import places_among

BITS = 8


class SparseEmbedding(ComputedEmbedding):
    """K numbers of a V × D table; the others are zero."""

    def __init__(self, cardinalities: Sequence[int], dim: int, kept: int) -> None:
        super().__init__(cardinalities, dim)
        rows = sum(cardinalities)
        marked = MarkedPlaces.bytes_of(rows, dim) < ListedPlaces.bytes_of(rows, dim, kept)
        self.places: Places = MarkedPlaces(rows, dim) if marked else ListedPlaces(rows, dim, kept)
        self.values_K = nn.Parameter(torch.zeros(kept))

    @classmethod
    @torch.no_grad()
    def of_table(cls, cardinalities: Sequence[int], weight_VD: Tensor, kept_VD: Tensor) -> "SparseEmbedding":
        """Those that are kept of a table."""
        embedding = cls(cardinalities, weight_VD.shape[1], int(kept_VD.sum())).to(weight_VD.device)
        embedding.places.keep(kept_VD)
        embedding.values_K.copy_(weight_VD[kept_VD])
        return embedding

    def vectors(self, ids_U: Tensor, field_U: Tensor) -> Tensor:
        place_UD = self.places.of_rows(self.fields.offsets[field_U] + ids_U)
        return self.values_K[place_UD.clamp(min=0)] * (place_UD >= 0)


def most_kept(rows: int, dim: int, numbers: int) -> int:
    """How many numbers of such a table there is room for, with their places, in so many numbers of 4 bytes."""
    listed = numbers // (1 + ListedPlaces.bytes_of(rows, dim, 1) // 4)
    return max(listed, numbers - math.ceil(MarkedPlaces.bytes_of(rows, dim) / 4))


class Places(nn.Module, ABC):
    """Where the K numbers stand, which lie row after row."""

    @abstractmethod
    def keep(self, kept_VD: Tensor) -> None:
        """There, K of them."""

    @abstractmethod
    def of_rows(self, row_U: Tensor) -> Tensor:
        """U × D: which of the K stands at each place of these rows, -1 where none does."""


class MarkedPlaces(Places):
    marks: Tensor
    before_group: Tensor
    before_in_group: Tensor
    power_8: Tensor

    def __init__(self, rows: int, dim: int) -> None:
        super().__init__()
        self.dim, self.group = dim, _group(dim)
        self.register_buffer("marks", torch.zeros(rows, math.ceil(dim / BITS), dtype=torch.uint8))
        self.register_buffer("before_group", torch.zeros(math.ceil(rows / self.group), dtype=torch.int32))
        self.register_buffer("before_in_group", torch.zeros(rows, dtype=torch.uint8))
        self.register_buffer("power_8", 2 ** torch.arange(BITS, dtype=torch.int32), persistent=False)

    @staticmethod
    def bytes_of(rows: int, dim: int) -> int:
        return rows * (math.ceil(dim / BITS) + 1) + 4 * math.ceil(rows / _group(dim))

    def keep(self, kept_VD: Tensor) -> None:
        bits = F.pad(kept_VD.to(torch.uint8), (0, self.marks.shape[1] * BITS - self.dim))
        self.marks.copy_((bits.view(*self.marks.shape, BITS) * self.power_8).sum(2))
        count_V = kept_VD.sum(1)
        before_V = count_V.cumsum(0) - count_V
        before_G = before_V[:: self.group]
        self.before_group.copy_(before_G)
        self.before_in_group.copy_(before_V - before_G.repeat_interleave(self.group)[: len(before_V)])

    def of_rows(self, row_U: Tensor) -> Tensor:
        bits_U = self.marks[row_U][:, :, None].int() // self.power_8 % 2
        bits_UD = bits_U.flatten(1)[:, : self.dim]
        before_U = self.before_group[row_U // self.group] + self.before_in_group[row_U]
        return torch.where(bits_UD > 0, before_U[:, None] + bits_UD.cumsum(1) - 1, -1)


def _group(dim: int) -> int:
    """Rows, so many that a byte counts what is kept before the last of them."""
    return 255 // dim + 1


class ListedPlaces(Places):
    keys_K: Tensor

    def __init__(self, rows: int, dim: int, kept: int) -> None:
        super().__init__()
        self.dim = dim
        kind = torch.int32 if self.bytes_of(rows, dim, 1) == 4 else torch.int64
        self.register_buffer("keys_K", torch.zeros(kept, dtype=kind))

    @staticmethod
    def bytes_of(rows: int, dim: int, kept: int) -> int:
        return kept * (4 if rows * dim < 2**31 else 8)

    def keep(self, kept_VD: Tensor) -> None:
        self.keys_K.copy_(kept_VD.flatten().nonzero().squeeze(1))

    def of_rows(self, row_U: Tensor) -> Tensor:
        begin_U = row_U * self.dim
        first_U = places_among(self.keys_K, begin_U.to(self.keys_K.dtype))
        place_UD = first_U[:, None] + torch.arange(self.dim, device=row_U.device)
        dimension_UD = self.keys_K[place_UD.clamp(max=len(self.keys_K) - 1)] - begin_U[:, None]
        inside_UD = (dimension_UD < self.dim) & (place_UD < len(self.keys_K))
        found_UD = torch.full((row_U.shape[0], self.dim + 1), -1, device=row_U.device)
        found_UD.scatter_(1, torch.where(inside_UD, dimension_UD, self.dim), place_UD)  # the last takes what is outside
        return found_UD[:, : self.dim]
