"""Tables of integers while training: low precision training (LPT), with learned scales ALPT (arXiv 2212.05735).

A row is read as its integers times a scale, moved as ordinary numbers, and written back with stochastic rounding, so
that steps smaller than the scale count on average. ALPT's gradient of a scale is that of a learned step size, times
1/√(B·d·(2^(b-1) - 1)); it is taken with the gradient of the step's forward pass, not of a second one as in the paper.

V rows of the table, W its width, U rows of a batch, b bits.
"""

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mlet_bench.config.emb import ALPTEmbConfig, LPTEmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.computed import PRIME
from mlet_bench.embedding.maker import TableMaker
from mlet_bench.embedding.parts import Budget, beside_whole_fields
from mlet_bench.embedding.rows import FieldOffsets
from mlet_bench.embedding.start import initial_rows
from mlet_bench.embedding.table import RowTable


class IntegerTable(RowTable):
    """Integers of b bits, a byte each while training; served, those of 4 bits lie two in a byte.

    `scale` is one number for all rows, or V of them, which learn with rate `scale_lr`.
    """

    weight: Tensor  # type: ignore[assignment]
    scale: Tensor
    writes: Tensor

    def __init__(
        self, weight_VW: Tensor, scale: Tensor, bits: int, *, scale_lr: float | None = None, packed: bool = False
    ) -> None:
        nn.Module.__init__(self)
        self.step = None
        self.bits, self.scale_lr, self.packed = bits, scale_lr, packed
        self.register_buffer("weight", weight_VW)
        self.register_buffer("scale", scale)
        self.register_buffer("writes", torch.zeros((), dtype=torch.long), persistent=not packed)

    @property
    def largest(self) -> int:
        return int(2 ** (self.bits - 1) - 1)

    @property
    def is_trained(self) -> bool:
        return not self.packed

    def forward(self, rows: Tensor) -> Tensor:
        """A vector of width W for each row number, of any shape."""
        integers = self.weight[rows]
        if self.packed and self.bits == 4:
            integers = torch.stack([integers & 15, integers >> 4], -1).flatten(-2).to(torch.int8) - 8
        return integers * self._scales(rows)

    def _scales(self, rows: Tensor) -> Tensor:
        return self.scale if self.scale.ndim == 0 else self.scale[rows][..., None]

    def values(self, rows_U: Tensor) -> Tensor:
        return self.forward(rows_U)

    def write(self, rows_U: Tensor, weight_UW: Tensor, grad_UW: Tensor) -> None:
        self.writes += 1
        if self.scale_lr is not None:
            self.scale[rows_U] = self._moved_scale(rows_U, weight_UW, grad_UW, self.scale_lr)
        scaled_UW = (weight_UW / self._scales(rows_U)).clamp_(-self.largest, self.largest)
        integers_UW = (scaled_UW + self._noise(rows_U)).floor_().clamp_(-self.largest, self.largest)
        self.weight[rows_U] = integers_UW.to(torch.int8)

    def _moved_scale(self, rows_U: Tensor, weight_UW: Tensor, grad_UW: Tensor, lr: float) -> Tensor:
        scale_U = self.scale[rows_U]
        exact_UW = weight_UW / scale_U[:, None]
        inside_UW, outside_UW = exact_UW.round() - exact_UW, self.largest * exact_UW.sign()
        slope_UW = torch.where(exact_UW.abs() < self.largest, inside_UW, outside_UW)
        factor = 1 / math.sqrt(len(rows_U) * weight_UW.shape[1] * self.largest)
        return (scale_U - lr * factor * (grad_UW * slope_UW).sum(1)).clamp_(min=1e-8)

    def _noise(self, rows_U: Tensor) -> Tensor:
        """U × W numbers in [0, 1), by row, place and number of the write alone: the same in every repetition."""
        place_W = torch.arange(self.weight.shape[1], device=rows_U.device)
        mixed_UW = (rows_U[:, None] * 48_271 + place_W * 69_621 + self.writes * 16_807 + 1) % PRIME
        for factor in (1_103_515_245, 1_597_334_677):
            mixed_UW = (mixed_UW ^ (mixed_UW >> 13)) * factor % PRIME
        return mixed_UW.float() / PRIME

    def packed_copy(self) -> "IntegerTable":
        """To be served."""
        weight = self.weight.clone()
        if self.bits == 4:
            nibbles = (weight + 8).to(torch.uint8)
            weight = nibbles[:, ::2] | nibbles[:, 1::2] << 4
        return IntegerTable(weight, self.scale.clone(), self.bits, packed=True)


class IntegerEmbedding(Embedding):
    """A table of integers for all fields, one field after the other."""

    def __init__(self, fields: FieldOffsets, dim: int, table: IntegerTable) -> None:
        super().__init__()
        self.cardinalities, self.dim, self.fields, self.table = fields.cardinalities, dim, fields, table
        self.register_buffer("cardinalities_F", torch.tensor(self.cardinalities))

    def forward(self, ids_BF: Tensor) -> Tensor:
        """emb_BFD for ids within their fields."""
        if not self.table.by_rows:
            vectors: Tensor = self.table(self.fields.rows(ids_BF).long())
            return vectors
        rows = self.fields.batch_rows(ids_BF)
        return rows.spread(self.table.read(rows).values_UW)

    def tables(self) -> list[RowTable]:
        return [self.table]

    def batch_l2(self, on: str) -> Tensor:
        read = self.table.last_read
        return read.rows.once(read.values_UW).square().sum()

    def add_table_l2(self, strength: float, on: str) -> None:
        raise NotImplementedError("integers move with the rows of a batch alone")

    def collapse(self) -> "IntegerEmbedding":
        """The integers, and their scales."""
        return IntegerEmbedding(copy.deepcopy(self.fields), self.dim, self.table.packed_copy())


def lpt(config: LPTEmbConfig | ALPTEmbConfig, cardinalities: Sequence[int], maker: TableMaker) -> Embedding:
    """As small as its bits make it; UserError if emb.ratio asks for less."""
    budget = Budget(config, tuple(cardinalities))
    learned = isinstance(config, ALPTEmbConfig)

    def small(own: TableMaker) -> Embedding:
        rows, dim = sum(own.cardinalities), config.dim
        numbers = -(-rows * dim * config.bits // 32) + (rows if learned else 1)
        if numbers > budget.numbers:
            raise budget.refuse(numbers)
        fields = FieldOffsets(own.cardinalities)
        scale = torch.full((rows,), config.scale) if learned else torch.tensor(config.scale)
        if own.served:
            width, kind = (dim // 2, torch.uint8) if config.bits == 4 else (dim, torch.int8)
            empty = IntegerTable(torch.zeros(rows, width, dtype=kind), scale, config.bits, packed=True)
            return IntegerEmbedding(fields, dim, empty)
        scale_lr = config.scale_lr if isinstance(config, ALPTEmbConfig) else None
        table = IntegerTable(torch.zeros(rows, dim, dtype=torch.int8), scale, config.bits, scale_lr=scale_lr)
        start_VW = initial_rows(
            fields, dim, table_init=config.table_init, init_std=config.init_std, seen=own.seen
        )  # rounded as a step would
        table.scale_lr = None
        table.write(torch.arange(rows), start_VW, start_VW)
        table.scale_lr = scale_lr
        return IntegerEmbedding(fields, dim, table)

    return beside_whole_fields(budget, maker, small, whole_at_one=False)
