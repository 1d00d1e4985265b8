"""Hashed rows (Weinberger et al. 2009): the ids of a large field share the rows of a smaller table, by modulo.

n ids of a field, F fields, d width. With `emb.inner` the shared rows are trained in two layers, as MLET's are.
"""

from collections.abc import Sequence

from torch import Tensor

from mlet_bench.config.emb import HashEmbConfig
from mlet_bench.embedding.mlet import MLETEmbedding
from mlet_bench.embedding.single import SingleEmbedding
from mlet_bench.errors import UserError


def hashed_rows(cardinalities: Sequence[int], ratio: float, min_rows: int) -> list[int]:
    """Rows of each field, so that all together are at most `ratio` times the ids.

    Fields with fewer than `min_rows` ids stay whole; the others shrink alike, to no fewer than two rows. UserError
    names the smallest ratio that can be reached.

    >>> hashed_rows([1000, 10, 3000], 0.5, 100), hashed_rows([1000, 10, 3000], 1.0, 100)
    ([498, 10, 1496], [1000, 10, 3000])
    """
    total, large = sum(cardinalities), sum(count for count in cardinalities if count >= max(min_rows, 3))
    wanted = ratio * total - (total - large)
    rows = [count if count < max(min_rows, 3) else max(2, int(count * wanted / large)) for count in cardinalities]
    if wanted <= 0 or sum(rows) > ratio * total:
        least = sum(min(count, 2) if count >= max(min_rows, 3) else count for count in cardinalities) / total
        raise UserError(
            f"emb.ratio={ratio:g}: fields with fewer than emb.min_rows={min_rows} ids stay whole; allowed with them: "
            f"{least:.4f} to 1"
        )
    return rows


class HashedEmbedding:
    """A single table or MLET over hashed rows; there is nothing else to it."""

    @classmethod
    def from_config(
        cls, config: HashEmbConfig, cardinalities: Sequence[int], seen: Tensor | None
    ) -> SingleEmbedding | MLETEmbedding:
        """A fresh one, drawn from PyTorch's global generator."""
        rows = hashed_rows(cardinalities, config.ratio, config.min_rows)
        if config.inner is None:
            return SingleEmbedding(
                cardinalities, config.dim, seen=seen, table_init=config.table_init, init_std=config.init_std, rows=rows
            )
        return MLETEmbedding(
            cardinalities,
            config.dim,
            config.inner,
            seen=seen,
            table_init=config.table_init,
            init_std=config.init_std,
            inner_std=config.inner_std,
            rows=rows,
        )
