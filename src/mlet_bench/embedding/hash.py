"""Hashed rows (Weinberger et al. 2009): the ids of a large field share the rows of a smaller table, by modulo.

The rows are those of one plain table or, with `emb.inner`, of MLET, with fewer rows than ids.
B batch, F sparse fields, N ids of a field.
"""

from bisect import bisect_right as bisect
from collections.abc import Sequence

import torch
from torch import Tensor

from mlet_bench.config.emb import HashEmbConfig, Shrink
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.maker import TableMaker
from mlet_bench.embedding.parts import ratios_from
from mlet_bench.embedding.rows import FieldOffsets
from mlet_bench.errors import UserError

LEAST = 2
"""Rows of a field that is hashed: id 0 has its own."""


class HashedFields(FieldOffsets):
    """Fields whose ids share rows: id 0 has a row of its own, id i ≥ 1 reads row 1 + (i - 1) mod (rows - 1).

    `rows` are those of each field's table; where they are as many as its `cardinalities`, every id has its own.

    Example:
        >>> HashedFields([6, 3], rows=[3, 3]).rows(torch.tensor([[0, 0], [1, 1], [2, 2], [3, 1], [5, 2]])).tolist()
        [[0, 3], [1, 4], [2, 5], [1, 4], [1, 5]]
    """

    cardinalities_F: Tensor
    """Beside the weights, so that a saved model says how many ids it has."""
    moduli_F: Tensor

    def __init__(self, cardinalities: Sequence[int], rows: Sequence[int]) -> None:
        super().__init__(cardinalities, rows)
        if not all(min(ids, LEAST) <= count <= ids for ids, count in zip(cardinalities, rows, strict=True)):
            raise ValueError(f"rows={list(rows)}: allowed for each field: {LEAST} to its cardinality")
        self._moduli = [max(count - 1, 1) for count in rows]
        self.register_buffer("cardinalities_F", torch.tensor(self.cardinalities))
        self.register_buffer("moduli_F", torch.tensor(self._moduli), persistent=False)

    def in_field(self, ids: Tensor, field: int) -> Tensor:
        return _hashed(ids, self._moduli[field])

    def rows_of(self, id_N: Tensor, field_N: Tensor) -> Tensor:
        """The rows of ids of any fields."""
        return _hashed(id_N, self.moduli_F[field_N]) + self.offsets[field_N]

    def rows(self, ids_BF: Tensor) -> Tensor:
        return super().rows(_hashed(ids_BF, self.moduli_F.to(ids_BF.dtype)))


def _hashed(ids: Tensor, moduli: Tensor | int) -> Tensor:
    return ((ids - 1) % moduli + 1) * (ids > 0)


def hashed_rows(cardinalities: Sequence[int], ratio: float, min_rows: int, shrink: Shrink = "alike") -> list[int]:
    """Rows of each field, so that all together are as near to `ratio` times the ids as they can be without being more.

    Fields with fewer than `min_rows` ids stay whole. The others shrink to no fewer than two rows: all by the same
    share (`alike`), or to one largest number of rows, which smaller fields do not reach (`cap`). UserError names the
    smallest ratio that can be reached.

    >>> hashed_rows([1000, 10, 3000], 0.5, 100), hashed_rows([1000, 10, 3000], 1.0, 100)
    ([499, 10, 1496], [1000, 10, 3000])
    >>> hashed_rows([1000, 10, 3000], 0.5, 100, "cap"), hashed_rows([1000, 10, 3000], 0.3, 0, "cap")
    ([998, 10, 997], [597, 10, 596])
    """
    wanted = int(ratio * sum(cardinalities) + 1e-6)  # 0.29 * 100 is a little less than 29
    rows = [count if count < min_rows else min(count, LEAST) for count in cardinalities]
    rest, above = wanted - sum(rows), sum(cardinalities) - sum(rows)
    if rest < 0:
        raise UserError(
            f"emb.ratio={ratio:g}: fields with fewer than emb.min_rows={min_rows} ids stay whole; allowed with them: "
            f"{ratios_from(sum(rows), sum(cardinalities))}"
        )
    if shrink == "cap":
        return _capped(cardinalities, wanted, min_rows)
    ids = 0
    for field, count in enumerate(cardinalities):
        more = count - rows[field]
        rows[field] += (rest * (ids + more) // above - rest * ids // above) if above else 0
        ids += more
    return rows


def _capped(cardinalities: Sequence[int], wanted: int, min_rows: int) -> list[int]:
    """`wanted` rows, in fields that shrink as many as in the others; the first have one more where that is left."""

    def capped(cap: int) -> list[int]:
        return [count if count < min_rows else min(count, cap) for count in cardinalities]

    cap = LEAST + bisect(range(LEAST + 1, max(cardinalities) + 1), wanted, key=lambda cap: sum(capped(cap)))
    rows = capped(cap)
    left = wanted - sum(rows)
    larger = [field for field, count in enumerate(cardinalities) if count > rows[field]]
    for field in larger[:left]:
        rows[field] += 1
    return rows


def hash_rows(config: HashEmbConfig, cardinalities: Sequence[int], maker: TableMaker) -> Embedding:
    """As small as emb.ratio says."""
    rows = hashed_rows(cardinalities, config.ratio, config.min_rows, config.shrink)
    return maker.table(HashedFields(cardinalities, rows))
