"""Tables of integers while training: low precision training (LPT), with learned scales ALPT (arXiv 2212.05735).

A row is read as its integers times a scale, moved as ordinary numbers, and written back with stochastic rounding, so
that steps smaller than the scale count on average. ALPT's gradient of a scale is that of a learned step size, times
1/√(B·d·(2^(b-1) - 1)); it is taken with the gradient of the step's forward pass, not of a second one as in the paper.

With `emb.inner` such rows are W1's, MLET's W2 is made of ordinary numbers, and their product is served as integers of
the same bits and scale. It is read so while training too, and its gradient passes straight through where nothing was
clipped.

V rows of the table, W its width, U rows of a batch, K inner width, D output width, b bits.
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
from mlet_bench.embedding.mlet import COLLAPSE_ROWS, MLETEmbedding
from mlet_bench.embedding.parts import Budget, beside_whole_fields
from mlet_bench.embedding.rows import FieldOffsets, project_places
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
            pairs = integers.int()
            integers = torch.stack([pairs % 16, pairs // 16], -1).flatten(-2) - 8
        return integers * self._scales(rows)

    def _scales(self, rows: Tensor) -> Tensor:
        return self.scale if self.scale.ndim == 0 else self.scale[rows][..., None]

    def values(self, rows_U: Tensor) -> Tensor:
        return self.forward(rows_U)

    def nearest(self, values: Tensor) -> Tensor:
        """The integers that stand for numbers, where one scale is that of all rows."""
        return (values / self.scale).round_().clamp_(-self.largest, self.largest).to(torch.int8)

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


class IntegerProduct(MLETEmbedding):
    """W1 of integers, and a W2 per field of ordinary numbers."""

    w1: IntegerTable

    @classmethod
    def from_product(cls, product: MLETEmbedding, bits: int, scale: float) -> "IntegerProduct":
        """With its start, rounded as a step would."""
        embedding = cls.from_weights(product.fields, product.w1.weight.detach(), product.w2_FKD.detach())
        embedding.w1 = _rounded(product.w1.weight.detach(), torch.tensor(scale), bits)
        return embedding

    def forward(self, ids_BF: Tensor) -> Tensor:
        """emb_BFD for ids within their fields, as integers: of the product in float64, as collapse has it."""
        if self.w1.by_rows:  # float32 is near enough
            bound = self.w1.largest * self.w1.scale
            emb_BFD = super().forward(ids_BF).clamp(-bound, bound)
            return emb_BFD + (self.w1.nearest(emb_BFD.detach()) * self.w1.scale - emb_BFD).detach()
        rows_BFK = self.w1(self.fields.rows(ids_BF).long())
        return self.w1.nearest(project_places(rows_BFK.double(), self.w2_FKD.double())) * self.w1.scale

    def factors(self, field: int) -> tuple[Tensor, ...]:
        """(W1, W2) of one field."""
        first, last = self.fields.bounds[field], self.fields.bounds[field + 1]
        return self.w1.weight[first:last] * self.w1.scale, self.w2_FKD[field].detach()

    @torch.no_grad()
    def collapse(self) -> IntegerEmbedding:  # type: ignore[override]
        """The product as integers."""
        integers_VD = torch.zeros(len(self.w1.weight), self.dim, dtype=torch.int8, device=self.w1.weight.device)
        for field, rows_N in self.fields.blocks():
            for rows in torch.split(rows_N, COLLAPSE_ROWS):
                integers_VD[rows] = self.w1.nearest(self.w1(rows).double() @ self.w2_FKD[field].double())
        table = IntegerTable(integers_VD, self.w1.scale, self.w1.bits)
        return IntegerEmbedding(copy.deepcopy(self.fields), self.dim, table.packed_copy())


def _rounded(weight_VW: Tensor, scale: Tensor, bits: int) -> IntegerTable:
    """A table that starts with these numbers."""
    table = IntegerTable(torch.zeros_like(weight_VW, dtype=torch.int8), scale, bits)
    table.write(torch.arange(len(weight_VW)), weight_VW.clone(), weight_VW)
    return table


def _numbers(rows: int, dim: int, bits: int, *, learned: bool) -> int:
    """Of 4 bytes, for the integers and their scales."""
    return -(-rows * dim * bits // 32) + (rows if learned else 1)


def lpt(config: LPTEmbConfig | ALPTEmbConfig, cardinalities: Sequence[int], maker: TableMaker) -> Embedding:
    """As small as its bits make it; UserError if emb.ratio asks for less."""
    budget = Budget(config, tuple(cardinalities))
    learned = isinstance(config, ALPTEmbConfig)

    def small(own: TableMaker) -> Embedding:
        rows, dim = sum(own.cardinalities), config.dim
        numbers = _numbers(rows, dim, config.bits, learned=learned)
        if numbers > budget.numbers:
            fewer = budget.reachable(_numbers(rows, dim, 4, learned=learned))
            raise budget.refuse(numbers, "" if config.bits == 4 or dim % 2 else f"; with emb.bits=4: {fewer}")
        fields = FieldOffsets(own.cardinalities)
        scale = torch.full((rows,), config.scale) if learned else torch.tensor(config.scale)
        if own.served:
            width, kind = (dim // 2, torch.uint8) if config.bits == 4 else (dim, torch.int8)
            empty = IntegerTable(torch.zeros(rows, width, dtype=kind), scale, config.bits, packed=True)
            return IntegerEmbedding(fields, dim, empty)
        if config.inner is not None:
            product = MLETEmbedding.from_config(config, fields, own.seen)
            return IntegerProduct.from_product(product, config.bits, config.scale)
        start_VW = initial_rows(fields, dim, table_init=config.table_init, init_std=config.init_std, seen=own.seen)
        table = _rounded(start_VW, scale, config.bits)
        table.scale_lr = config.scale_lr if isinstance(config, ALPTEmbConfig) else None
        return IntegerEmbedding(fields, dim, table)

    return beside_whole_fields(budget, maker, small, whole_at_one=False)
