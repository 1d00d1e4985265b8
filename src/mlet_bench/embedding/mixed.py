"""Mixed dimensions (MD, arXiv 1909.11810): a field of n ids has rows of width λ·n^-α, and a matrix to the full width.

λ is d·(the smallest n)^α, and α is solved for emb.ratio. Widths are rounded down to powers of two, so that fields of
one width share a table. The matrices count among what is stored. B batch, F sparse fields, R a width, D output width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mlet_bench.config.emb import MixedEmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.maker import TableMaker
from mlet_bench.embedding.parts import Budget, PartedEmbedding, beside_whole_fields
from mlet_bench.embedding.rows import FieldOffsets, project_places
from mlet_bench.embedding.table import RowTable


class ProjectedEmbedding(Embedding):
    """Vectors of width R times a matrix R × D of their field's, which is served as it is."""

    def __init__(self, narrow: Embedding, matrix_FRD: Tensor) -> None:
        super().__init__()
        self.narrow = narrow
        self.matrix_FRD = nn.Parameter(matrix_FRD)
        self.cardinalities, self.dim = narrow.cardinalities, matrix_FRD.shape[2]
        self.register_buffer("cardinalities_F", torch.tensor(self.cardinalities))

    def forward(self, ids_BF: Tensor) -> Tensor:
        """emb_BFD for ids within their fields."""
        return project_places(self.narrow(ids_BF), self.matrix_FRD)

    def tables(self) -> list[RowTable]:
        return self.narrow.tables()

    def batch_l2(self, on: str) -> Tensor:
        return self.narrow.batch_l2(on) + self.matrix_FRD.square().sum()

    def add_table_l2(self, strength: float, on: str) -> None:
        self.narrow.add_table_l2(strength, on)
        if self.matrix_FRD.grad is not None:
            self.matrix_FRD.grad.add_(self.matrix_FRD.detach(), alpha=strength)

    def collapse(self) -> "ProjectedEmbedding":
        """The narrow rows collapsed, the matrices as they are."""
        served = ProjectedEmbedding(self.narrow.collapse(), self.matrix_FRD.detach().clone())
        return served.to(self.matrix_FRD.device)


def widths(ids: Sequence[int], dim: int, alpha: float) -> list[int]:
    """Of each field, powers of two times `dim` over a power of two, at least 1.

    >>> widths([16, 64, 1_000_000], 16, 0.5), widths([16, 64], 16, 0.0)
    ([16, 8, 1], [16, 16])
    """
    least = min(ids)
    powers = [dim >> shift for shift in range(dim.bit_length())]
    return [next(width for width in [*powers, 1] if width <= max(1, dim * (least / count) ** alpha)) for count in ids]


def numbers(ids: Sequence[int], dim: int, chosen: Sequence[int]) -> int:
    """Rows and matrices; a field of the full width has no matrix."""
    return sum(count * width + (width * dim if width < dim else 0) for count, width in zip(ids, chosen, strict=True))


def solved_widths(budget: Budget) -> list[int]:
    """The widths of the small fields for the smallest α that the budget has room for."""
    ids, dim = [budget.cardinalities[field] for field in budget.small], budget.config.dim
    steepest = 20.0

    def at(share: float) -> list[int]:
        alpha = steepest * (1 - share)
        return [1] * len(ids) if share == 0 else widths(ids, dim, alpha)

    return at(budget.share(lambda share: numbers(ids, dim, at(share))))


def mixed(config: MixedEmbConfig, cardinalities: Sequence[int], maker: TableMaker) -> Embedding:
    """As small as emb.ratio says."""
    budget = Budget(config, tuple(cardinalities))

    def small(own: TableMaker) -> Embedding:
        chosen = solved_widths(budget)
        groups = []
        for width in sorted(set(chosen), reverse=True):
            places = [place for place, of_field in enumerate(chosen) if of_field == width]
            groups.append((places, _of_width(own.of_fields(places), width, config.dim)))
        return groups[0][1] if len(groups) == 1 else PartedEmbedding(groups)

    return beside_whole_fields(budget, maker, small)


def _of_width(maker: TableMaker, width: int, dim: int) -> Embedding:
    narrow = maker.table(FieldOffsets(maker.cardinalities), width)
    if width == dim:
        return narrow
    matrix_FRD = torch.randn(len(maker.cardinalities), width, dim) * width**-0.5
    return ProjectedEmbedding(narrow, torch.zeros_like(matrix_FRD) if maker.served else matrix_FRD)
