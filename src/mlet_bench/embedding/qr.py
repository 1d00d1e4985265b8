"""Quotient and remainder (arXiv 1909.02107): category x has the vector Q[x div c] ∘ R[x mod c].

∘ is an elementwise product, a sum, or a concatenation of two halves. A field of n ids stores ⌈n/c⌉ + c rows, so no
fewer than about 2√n. B batch, F sparse fields.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from mlet_bench.config.emb import QREmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.maker import TableMaker, scale_rows
from mlet_bench.embedding.parts import Budget, beside_whole_fields
from mlet_bench.embedding.rows import FieldOffsets
from mlet_bench.embedding.table import RowTable

Compose = Literal["product", "sum", "concat"]


class DividedFields(FieldOffsets):
    """Ids divided by a number of their field's own; read is the quotient, or the remainder."""

    divisors_F: Tensor

    def __init__(self, cardinalities: Sequence[int], divisors: Sequence[int], *, remainders: bool) -> None:
        counts = [
            min(ids, divisor) if remainders else -(-ids // divisor)
            for ids, divisor in zip(cardinalities, divisors, strict=True)
        ]
        super().__init__(cardinalities, counts)
        self.divisors, self.remainders = tuple(divisors), remainders
        self.register_buffer("divisors_F", torch.tensor(self.divisors), persistent=False)

    @property
    def key(self) -> tuple[object, ...]:
        return *super().key, *self.divisors, self.remainders

    def _divided(self, ids: Tensor, divisors: Tensor | int) -> Tensor:
        return ids % divisors if self.remainders else torch.div(ids, divisors, rounding_mode="floor")

    def in_field(self, ids: Tensor, field: int) -> Tensor:
        return self._divided(ids, self.divisors[field])

    def rows(self, ids_BF: Tensor) -> Tensor:
        return super().rows(self._divided(ids_BF, self.divisors_F.to(ids_BF.dtype)))


class QREmbedding(Embedding):
    """Two embeddings of the same ids, composed."""

    cardinalities_F: Tensor

    def __init__(self, quotients: Embedding, remainders: Embedding, compose: Compose) -> None:
        super().__init__()
        self.quotients, self.remainders, self.compose = quotients, remainders, compose
        self.cardinalities = quotients.cardinalities
        self.dim = quotients.dim * (2 if compose == "concat" else 1)
        self.register_buffer("cardinalities_F", torch.tensor(self.cardinalities))

    def forward(self, ids_BF: Tensor) -> Tensor:
        """emb_BFD for ids within their fields."""
        quotient_BFD, remainder_BFD = self.quotients(ids_BF), self.remainders(ids_BF)
        if self.compose == "product":
            return quotient_BFD * remainder_BFD  # type: ignore[no-any-return]
        if self.compose == "sum":
            return quotient_BFD + remainder_BFD  # type: ignore[no-any-return]
        return torch.cat([quotient_BFD, remainder_BFD], 2)

    def tables(self) -> list[RowTable]:
        return [*self.quotients.tables(), *self.remainders.tables()]

    def batch_l2(self, on: str) -> Tensor:
        return self.quotients.batch_l2(on) + self.remainders.batch_l2(on)

    def add_table_l2(self, strength: float, on: str) -> None:
        self.quotients.add_table_l2(strength, on)
        self.remainders.add_table_l2(strength, on)

    def collapse(self) -> "QREmbedding":
        """Both collapsed."""
        served = QREmbedding(self.quotients.collapse(), self.remainders.collapse(), self.compose)
        return served.to(self.cardinalities_F.device)


def divisors(budget: Budget) -> list[int]:
    """The divisor of each small field: the smallest whose tables fit a share of its rows that is alike for all."""
    ids = [budget.cardinalities[field] for field in budget.small]
    halved = 2 if budget.config.compose == "concat" else 1  # type: ignore[attr-defined]
    dim = budget.config.dim // halved

    def at(share: float) -> list[int]:
        return [divisor_within(count, share * count * halved) for count in ids]

    def size(share: float) -> int:
        return sum((-(-count // c) + min(c, count)) * dim for count, c in zip(ids, at(share), strict=True))

    return at(budget.share(size))


def divisor_within(ids: int, rows: float) -> int:
    """The smallest c with ⌈ids/c⌉ + c ≤ rows, or the one that needs the fewest rows.

    >>> divisor_within(100, 29), divisor_within(100, 3), divisor_within(100, 101)
    (4, 10, 1)
    """
    best = max(1, math.isqrt(ids))
    if -(-ids // best) + best > rows:
        return best
    low, high = 1, best
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if -(-ids // middle) + middle <= rows else (middle + 1, high)
    return low


def qr(config: QREmbConfig, cardinalities: Sequence[int], maker: TableMaker) -> Embedding:
    """As small as emb.ratio says."""
    budget = Budget(config, tuple(cardinalities))

    def small(own: TableMaker) -> Embedding:
        chosen = divisors(budget)
        return _small(config, own, chosen)

    return beside_whole_fields(budget, maker, small)


def _small(config: QREmbConfig, maker: TableMaker, chosen: Sequence[int]) -> QREmbedding:
    fields = [DividedFields(maker.cardinalities, chosen, remainders=remainders) for remainders in (False, True)]
    width = config.dim // 2 if config.compose == "concat" else config.dim
    rest = replace(maker, seen=None) if config.compose == "product" else maker
    quotients, remainders = (own.table(part, width) for own, part in zip((maker, rest), fields, strict=True))
    if not maker.served:
        for table, part in ((quotients, fields[0]), (remainders, fields[1])):
            scale_rows(table, part, _scales(config, maker, part))
        if config.compose == "product" and config.start == "dlrm":
            for weight_ND, ids in zip(
                torch.split(remainders.tables()[0].weight.detach(), list(fields[1].counts)), maker.cardinalities,
                strict=True,
            ):  # fmt: skip
                nn.init.uniform_(weight_ND, ids**-0.5, 1.0)
    return QREmbedding(quotients, remainders, config.compose)


def _scales(config: QREmbConfig, maker: TableMaker, fields: DividedFields) -> list[float]:
    """Factors with which a composed vector starts with the variance of the standard embedding's."""
    scales = []
    for ids, rows in zip(maker.cardinalities, fields.counts, strict=True):
        single, own = maker.start_std(ids), maker.start_std(rows)
        if config.compose == "product" and config.start == "symmetric":
            single = single**0.5
        elif config.compose == "sum":
            single = single / 2**0.5
        scales.append(single / own)
    return scales
