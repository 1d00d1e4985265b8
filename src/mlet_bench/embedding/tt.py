"""Tensor trains (TT-Rec, arXiv 2101.11714): a table n × d as three cores, n ≤ p1·p2·p3 and d = q1·q2·q3.

The row x = (i1, i2, i3) is G1[i1] · G2[i2] · G3[i3], with matrices of q1 × r, r × (q2·r) and r × q3. One rank r for all
fields is solved for emb.ratio; fields whose cores would take more than the table stay whole.
U different rows of a batch, D output width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlet_bench.config.emb import TTEmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.computed import ComputedEmbedding, single_std
from mlet_bench.embedding.maker import TableMaker
from mlet_bench.embedding.parts import Budget, PartedEmbedding, beside_whole_fields
from mlet_bench.embedding.rows import FieldOffsets

Factors = tuple[int, int, int]


def row_factors(ids: int) -> Factors:
    """Three numbers as alike as they can be, whose product is at least `ids`.

    >>> row_factors(1000), row_factors(10)
    ((10, 10, 10), (3, 2, 2))
    """
    first = _root(ids, 3)
    second = _root(-(-ids // first), 2)
    return first, second, -(-ids // (first * second))


def _root(number: int, degree: int) -> int:
    root: int = max(1, round(number ** (1 / degree)))
    while root**degree < number:
        root += 1
    while root > 1 and (root - 1) ** degree >= number:
        root -= 1
    return root


def width_factors(dim: int) -> Factors:
    """Three factors of `dim`, rising.

    >>> width_factors(16), width_factors(4), width_factors(10), width_factors(7)
    ((2, 2, 4), (1, 2, 2), (1, 2, 5), (1, 1, 7))
    """
    choices = [(a, b, dim // (a * b)) for a in range(1, dim + 1) for b in range(a, dim + 1) if dim % (a * b) == 0]
    return min((choice for choice in choices if choice[1] <= choice[2]), key=lambda choice: choice[2] - choice[0])


def core_numbers(ids: int, dim: int, rank: int) -> int:
    """Of the three cores of a field."""
    (p1, p2, p3), (q1, q2, q3) = row_factors(ids), width_factors(dim)
    return p1 * q1 * rank + p2 * q2 * rank * rank + p3 * q3 * rank


class TTEmbedding(ComputedEmbedding):
    """The cores of all fields, one field after the other.

    Every entry starts normal, so that a vector has `std` if its terms were independent.
    """

    factors_F3: Tensor
    begins_F3: Tensor

    def __init__(self, cardinalities: Sequence[int], dim: int, rank: int, std: float) -> None:
        super().__init__(cardinalities, dim)
        self.rank, self.widths = rank, width_factors(dim)
        factors = [row_factors(ids) for ids in cardinalities]
        self.register_buffer("factors_F3", torch.tensor(factors), persistent=False)
        self.register_buffer("begins_F3", self.factors_F3.cumsum(0) - self.factors_F3, persistent=False)
        q1, q2, q3 = self.widths
        rows = [sum(of_field[core] for of_field in factors) for core in range(3)]
        entry = (std * std / rank**2) ** (1 / 6)
        self.cores = nn.ParameterList(
            nn.Parameter(torch.randn(count, width) * entry)
            for count, width in zip(rows, (q1 * rank, rank * q2 * rank, rank * q3), strict=True)
        )

    def vectors(self, ids_U: Tensor, field_U: Tensor) -> Tensor:
        p2_U, p3_U = self.factors_F3[field_U, 1], self.factors_F3[field_U, 2]
        places = (ids_U // (p2_U * p3_U), ids_U // p3_U % p2_U, ids_U % p3_U)
        first, second, third = (
            F.embedding(place_U + self.begins_F3[field_U, core], self.cores[core])
            for core, place_U in enumerate(places)
        )
        q1, q2, q3 = self.widths
        head = torch.bmm(first.view(-1, q1, self.rank), second.view(-1, self.rank, q2 * self.rank))
        return torch.bmm(head.view(-1, q1 * q2, self.rank), third.view(-1, self.rank, q3)).flatten(1)


def solved_rank(budget: Budget) -> int:
    """The largest rank that the budget has room for."""
    ids, dim = [budget.cardinalities[field] for field in budget.small], budget.config.dim

    def size(rank: int) -> int:
        return sum(min(count * dim, core_numbers(count, dim, rank)) for count in ids)

    highest = max(2, round((max(ids) * dim) ** 0.5))
    return budget.largest(size, range(1, highest + 1))


def tt(config: TTEmbConfig, cardinalities: Sequence[int], maker: TableMaker) -> Embedding:
    """As small as emb.ratio says."""
    budget = Budget(config, tuple(cardinalities))

    def small(own: TableMaker) -> Embedding:
        rank, dim = solved_rank(budget), config.dim
        trains = [core_numbers(ids, dim, rank) < ids * dim for ids in own.cardinalities]
        groups: list[tuple[list[int], Embedding]] = []
        for is_train in (False, True):
            places = [place for place, chosen in enumerate(trains) if chosen == is_train]
            part = own.of_fields(places)
            if places:
                made = (
                    TTEmbedding(part.cardinalities, dim, rank, single_std(config, part.cardinalities))
                    if is_train
                    else part.table(FieldOffsets(part.cardinalities))
                )
                groups.append((places, made))
        return groups[0][1] if len(groups) == 1 else PartedEmbedding(groups)

    return beside_whole_fields(budget, maker, small)
