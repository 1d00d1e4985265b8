"""Fields that stay whole beside those that a mode makes small, and how small it has to make them.

B batch, F sparse fields, D output width.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mlet_bench.config.emb_base import EmbConfig, SmallerEmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.maker import TableMaker
from mlet_bench.embedding.rows import FieldOffsets
from mlet_bench.embedding.table import RowTable
from mlet_bench.errors import UserError


def ratios_from(least: int, whole: int) -> str:
    """Those that leave room for `least` of `whole` numbers, the smallest rounded up; 1 leaves every field whole.

    >>> ratios_from(13_041, 1_000_000), ratios_from(52, 33_762_577), ratios_from(70, 35)
    ('0.0131 to 1', '1.55e-06 to 1', '1')
    """
    if least >= whole:
        return "1"
    unit = 10 ** max(4, 2 - math.floor(math.log10(least / whole)))
    return f"{-(-least * unit // whole) / unit:g} to 1"


@dataclass(frozen=True)
class Budget:
    """What a mode may serve for the fields that it makes small."""

    config: SmallerEmbConfig
    cardinalities: tuple[int, ...]
    """Of all fields."""

    @property
    def small(self) -> list[int]:
        """The fields that are made small, those with emb.min_rows ids or more."""
        return [field for field, ids in enumerate(self.cardinalities) if ids >= self.config.min_rows]

    @property
    def whole(self) -> list[int]:
        return [field for field, ids in enumerate(self.cardinalities) if ids < self.config.min_rows]

    @property
    def whole_rows(self) -> int:
        """Rows of the fields that stay whole."""
        return sum(self.cardinalities[field] for field in self.whole)

    @property
    def numbers(self) -> int:
        """Numbers of 4 bytes that are left for the small fields; may be negative."""
        allowed = int(self.config.ratio * sum(self.cardinalities) * self.config.dim + 1e-6)
        return allowed - self.whole_rows * self.config.dim

    def reachable(self, least: int) -> str:
        """Ratios that leave room for so many numbers of the small fields, in words."""
        return ratios_from(least + self.whole_rows * self.config.dim, sum(self.cardinalities) * self.config.dim)

    def refuse(self, least: int, instead: str = "") -> UserError:
        """The mistake to raise where the small fields take `least` numbers or more; `instead`: what else would do."""
        config = self.config
        kept = f", where fields with fewer than emb.min_rows={config.min_rows} ids stay whole" if self.whole else ""
        return UserError(
            f"emb.ratio={config.ratio:g}: too small for emb={config.mode} and these fields{kept}; allowed: "
            f"{self.reachable(least)}{instead}"
        )

    def largest(self, size: Callable[[int], int], choices: Sequence[int]) -> int:
        """The largest of rising `choices` whose `size` in numbers the budget has room for."""
        if size(choices[0]) > self.numbers:
            raise self.refuse(size(choices[0]))
        low, high = 0, len(choices) - 1
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if size(choices[middle]) <= self.numbers else (low, middle - 1)
        return choices[low]

    def share(self, size: Callable[[float], int]) -> float:
        """The largest share in [0, 1] whose `size`, which rises with it, the budget has room for."""
        if size(0.0) > self.numbers:
            raise self.refuse(size(0.0))
        low, high = 0.0, 1.0
        if size(high) <= self.numbers:
            return high
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if size(middle) <= self.numbers else (low, middle)
        return low


class _Join(torch.autograd.Function):
    """Vectors of several groups of fields, in the order of the fields; copies and their gradients, no sums."""

    @staticmethod
    def forward(ctx: Any, places_F: Tensor, order_F: Tensor, *vectors: Tensor) -> Tensor:
        ctx.places = torch.split(places_F, [part.shape[1] for part in vectors])
        return torch.cat(vectors, 1).index_select(1, order_F)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        joined_BFD = gradients[0].contiguous()  # index_select would copy it for every group
        return None, None, *(joined_BFD.index_select(1, places) for places in ctx.places)


class PartedEmbedding(Embedding):
    """Groups of fields, each with an embedding of its own; every field is in one of them."""

    places_F: Tensor
    """The fields, group after group."""
    order_F: Tensor
    """Where each field stands there."""

    def __init__(self, groups: Sequence[tuple[list[int], Embedding]]) -> None:
        super().__init__()
        self.groups = [places for places, _ in groups]
        self.parts = nn.ModuleList(part for _, part in groups)
        ids = {field: count for places, part in groups for field, count in zip(places, part.cardinalities, strict=True)}
        self.cardinalities = tuple(ids[field] for field in range(len(ids)))
        self.dim = groups[0][1].dim
        self.register_buffer("cardinalities_F", torch.tensor(self.cardinalities))
        places_F = torch.tensor([place for places in self.groups for place in places])
        self.register_buffer("places_F", places_F, persistent=False)
        self.register_buffer("order_F", places_F.argsort(), persistent=False)

    @property
    def embeddings(self) -> list[Embedding]:
        return [part for part in self.parts if isinstance(part, Embedding)]

    def forward(self, ids_BF: Tensor) -> Tensor:
        """emb_BFD for ids within their fields."""
        places = torch.split(self.places_F, [len(group) for group in self.groups])
        vectors = [part(ids_BF.index_select(1, of_part)) for of_part, part in zip(places, self.parts, strict=True)]
        if torch.compiler.is_exporting():
            return torch.cat(vectors, 1).index_select(1, self.order_F)
        joined_BFD: Tensor = _Join.apply(self.places_F, self.order_F, *vectors)  # type: ignore[no-untyped-call]
        return joined_BFD

    def tables(self) -> list[RowTable]:
        return [table for part in self.embeddings for table in part.tables()]

    def batch_l2(self, on: str) -> Tensor:
        return torch.stack([part.batch_l2(on) for part in self.embeddings]).sum()

    def add_table_l2(self, strength: float, on: str) -> None:
        for part in self.embeddings:
            part.add_table_l2(strength, on)

    def take_over(self, found: Embedding) -> None:
        assert isinstance(found, PartedEmbedding)
        for part, other in zip(self.embeddings, found.embeddings, strict=True):
            part.take_over(other)

    def before_step(self) -> None:
        for part in self.embeddings:
            part.before_step()

    def after_step(self) -> list[tuple[RowTable, Tensor]]:
        return [anew for part in self.embeddings for anew in part.after_step()]

    def collapse(self) -> "PartedEmbedding":
        """Every part collapsed."""
        served = [part.collapse() for part in self.embeddings]
        return PartedEmbedding(list(zip(self.groups, served, strict=True))).to(self.places_F.device)


def beside_whole_fields(
    budget: Budget, maker: TableMaker, small: Callable[[TableMaker], Embedding], *, whole_at_one: bool = True
) -> Embedding:
    """What `small` makes of the small fields, and ordinary tables for the others: for all where emb.ratio is 1."""
    if budget.config.ratio == 1 and (whole_at_one or not budget.small):
        return maker.table(FieldOffsets(budget.cardinalities))
    if not budget.small:
        raise budget.refuse(0)
    part = small(maker.of_fields(budget.small))
    if not budget.whole:
        return part
    whole = maker.of_fields(budget.whole)
    return PartedEmbedding([(budget.whole, whole.table(FieldOffsets(whole.cardinalities))), (budget.small, part)])


def served_ratios(config: EmbConfig, served: Embedding) -> tuple[float | None, float | None]:
    """Bytes served over those of the standard embedding of the same d: of all fields, and of those that are made small.

    None where there is nothing to divide by.
    """
    if not served.dim:
        return None, None
    rows, of_row = sum(served.cardinalities), 4 * served.dim
    whole_rows = rows
    if isinstance(config, SmallerEmbConfig):
        whole_rows = Budget(config, tuple(served.cardinalities)).whole_rows
    of_small = (rows - whole_rows) * of_row
    return served.bytes / (rows * of_row), (served.bytes - whole_rows * of_row) / of_small if of_small else None
