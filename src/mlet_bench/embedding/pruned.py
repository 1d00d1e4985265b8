"""Embeddings of which only the most useful rows, or pieces of rows, exist while training.

AdaEmbed (OSDI 2023): a row for the categories with the highest frequency × gradient norm. FIITED (arXiv 2401.04408):
the same for each piece of each vector, over all fields together, so that every table's share floats. FIITED says
neither how utility falls with time nor how often rows move; both are AdaEmbed's here.

V pieces of all ids of all fields, S rows of the pool, B batch, F sparse fields, D output width.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mlet_bench.config.emb import PrunedEmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.maker import TableMaker
from mlet_bench.embedding.parts import Budget, beside_whole_fields
from mlet_bench.embedding.pool import KeyedFields, MapFields, PiecedRows
from mlet_bench.embedding.rows import BatchRows
from mlet_bench.embedding.table import RowTable


class PiecedEmbedding(Embedding):
    """Vectors of a few pieces, each looked up as if it were a field of its own."""

    cardinalities_F: Tensor

    def __init__(self, pieces: Embedding, number: int) -> None:
        super().__init__()
        self.pieces, self.number = pieces, number
        self.cardinalities = pieces.cardinalities[::number]
        self.dim = pieces.dim * number
        self.register_buffer("cardinalities_F", torch.tensor(self.cardinalities))

    def forward(self, ids_BF: Tensor) -> Tensor:
        """emb_BFD for ids within their fields."""
        vectors: Tensor = self.pieces(ids_BF.repeat_interleave(self.number, 1))
        return vectors.reshape(*ids_BF.shape, self.dim)

    @property
    def map(self) -> MapFields:
        """Who has which row, while training."""
        assert isinstance(self.pieces.fields, MapFields)
        return self.pieces.fields

    def tables(self) -> list[RowTable]:
        return self.pieces.tables()

    def batch_l2(self, on: str) -> Tensor:
        return self.pieces.batch_l2(on)

    def add_table_l2(self, strength: float, on: str) -> None:
        self.pieces.add_table_l2(strength, on)

    def collapse(self) -> "PiecedEmbedding":
        """The pieces that have a row, and who they are."""
        return PiecedEmbedding(self.pieces.collapse(), self.number).to(self.cardinalities_F.device)


class PrunedEmbedding(PiecedEmbedding):
    """Pieces come and go.

    In training a piece gets a row when it occurs while there are free ones; every `check_every` steps the rows of the
    least useful go to more useful ones, if as many as `changed` of all would move. New ones start at zero.
    """

    utility_V: Tensor
    steps: Tensor

    def __init__(
        self, pieces: Embedding, number: int, starts: Tensor, *, check_every: int, decay: float, changed: float
    ) -> None:
        super().__init__(pieces, number)
        self.check_every, self.decay, self.changed = check_every, decay, changed
        self.register_buffer("utility_V", torch.zeros(len(self.map.slot_V)))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("starts_F", starts, persistent=False)
        self._accesses: list[tuple[Tensor, BatchRows | None, Tensor]] = []
        self._is_full = False
        """No row is free, nor will one be: they only go from one piece to another."""

    starts_F: Tensor
    """Half the range of a first row of each field's."""

    def forward(self, ids_BF: Tensor) -> Tensor:
        """emb_BFD for ids within their fields."""
        learning = self.training and torch.is_grad_enabled()
        if learning:
            self._admit(ids_BF)
        vectors = super().forward(ids_BF)
        if learning:
            (table,) = self.tables()
            rows = table.last_read.rows if table.by_rows else None
            vectors.register_hook(  # type: ignore[no-untyped-call]
                lambda grad_BFD: self._accesses.append((ids_BF, rows, grad_BFD))
            )
        return vectors

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        self._is_full = False

    def _pieces(self, ids_BF: Tensor) -> Tensor:
        """Which of all pieces these ids are, B × F·C."""
        return ids_BF.repeat_interleave(self.number, 1) + self.map.narrow_firsts_F

    @torch.no_grad()
    def _admit(self, ids_BF: Tensor) -> None:
        if self._is_full:
            return
        free_N = (self.map.id_S < 0).nonzero().squeeze(1)
        self._is_full = not len(free_N)
        new_N = torch.unique(self._pieces(ids_BF)).long()
        new_N = new_N[self.map.slot_V[new_N] < 0][: len(free_N)]
        slot_N = free_N[: len(new_N)]
        self.map.give(slot_N, new_N)
        (table,) = self.tables()
        table.weight[slot_N] *= self.starts_F[self.map.field_of(new_N)][:, None]

    @torch.no_grad()
    def before_step(self) -> None:
        """Frequency × gradient norm: the sum of the norms at the places of each piece."""
        for ids_BF, rows, grad_BFD in self._accesses:
            norm_PC = grad_BFD.reshape(-1, self.number, self.pieces.dim).norm(dim=2).to(self.utility_V.dtype)
            if isinstance(rows, PiecedRows):
                rows.add_to(self.utility_V, norm_PC)
            else:
                self.utility_V.index_add_(0, self._pieces(ids_BF).flatten(), norm_PC.flatten())
        self._accesses.clear()

    @torch.no_grad()
    def after_step(self) -> list[tuple[RowTable, Tensor]]:
        """The rows that went to somebody else, which start anew."""
        (table,) = self.tables()
        table.weight[self.map.slots :] = 0
        self.steps += 1
        if int(self.steps) % self.check_every:
            return []
        moved_N = self._reassign()
        table.weight[moved_N] = 0
        self.utility_V *= self.decay
        return [(table, moved_N)]

    def _reassign(self) -> Tensor:
        slots = self.map.slots
        wanted_N = self.utility_V.topk(min(slots, len(self.utility_V))).indices
        wanted_N = wanted_N[self.utility_V[wanted_N] > 0]
        new_N = wanted_N[self.map.slot_V[wanted_N] < 0]
        if len(new_N) < max(1, self.changed * slots):
            return new_N[:0]
        keeps_V = torch.zeros_like(self.utility_V, dtype=torch.bool)
        keeps_V[wanted_N] = True
        held_S = self.map.id_S >= 0
        leaves_S = ~held_S | ~keeps_V[self.map.id_S.clamp(min=0)]
        slot_N = leaves_S.nonzero().squeeze(1)[: len(new_N)]
        self.map.give(slot_N, new_N[: len(slot_N)])
        return slot_N


def pruned(config: PrunedEmbConfig, cardinalities: Sequence[int], maker: TableMaker) -> Embedding:
    """As small as emb.ratio says, with the ids of the rows."""
    budget = Budget(config, tuple(cardinalities))
    number = config.pieces
    width = config.dim // number

    def small(own: TableMaker) -> Embedding:
        slots = (budget.numbers - width) // (width + 1)  # and a zero row
        if slots < 1:
            raise budget.refuse(2 * width + 1)
        ids = [count for count in own.cardinalities for _ in range(number)]
        if own.served:
            return PiecedEmbedding(own.table(KeyedFields(ids, slots), width), number)
        return _trained(config, own, ids, slots)

    return beside_whole_fields(budget, maker, small)


def _trained(config: PrunedEmbConfig, maker: TableMaker, ids: Sequence[int], slots: int) -> PrunedEmbedding:
    """Rows are drawn as if of a field of one row, and get their field's range when somebody has them."""
    fields = MapFields(ids, slots, pieces=config.pieces)
    unit = maker.with_start(1 / 3**0.5)
    pieces = unit.table(fields, config.dim // config.pieces)
    starts = torch.tensor([3**0.5 * maker.start_std(count) for count in ids])
    return PrunedEmbedding(
        pieces,
        config.pieces,
        starts,
        check_every=config.check_every,
        decay=config.decay,
        changed=config.changed,
    )
