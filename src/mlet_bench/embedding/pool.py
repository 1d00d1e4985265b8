"""Rows that only some categories have: which do changes while training, and each field's share floats.

V ids of all fields together, S rows of the pool, B batch, F sparse fields.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mlet_bench.embedding.rows import BatchRows, FieldOffsets, PlacedRows, UniqueRows, project_places
from mlet_bench.embedding.search import places_among


class PooledRows(UniqueRows):
    """The different rows of a batch, which lie in no order of fields: products are taken at their places."""

    def vectors(self, rows_UK: Tensor, w2_FKD: Tensor) -> tuple[Tensor, None]:
        return project_places(self.spread(rows_UK), w2_FKD), None


class PiecedRows(PooledRows):
    """The same for vectors of C pieces: the different ids first, then the rows of their pieces."""

    def __init__(self, ids_BF: Tensor, fields: "MapFields") -> None:
        self._ids = fields.different(ids_BF)
        place_U = self._ids.order_P[self._ids.start_U]
        firsts_UC = fields.narrow_firsts_F.view(-1, fields.pieces)[place_U % ids_BF.shape[1]]
        self._piece_UC = ids_BF.flatten()[place_U][:, None] + firsts_UC
        own_UC = fields.slot_V[self._piece_UC]
        super().__init__(torch.where(own_UC >= 0, own_UC, fields.slots), fields.offsets)

    def spread(self, vectors_UD: Tensor) -> Tensor:
        pieces_UCD = super().spread(vectors_UD)
        vectors_BFC = self._ids.spread(pieces_UCD.flatten(1))
        return vectors_BFC.view(len(vectors_BFC), -1, pieces_UCD.shape[2])

    def add_to(self, sum_V: Tensor, value_PC: Tensor) -> None:
        """To a number of each piece, what stands at its places, in their order."""
        sum_UC = sum_V[self._piece_UC].index_add_(0, self._ids.index_BF.flatten(), value_PC)
        sum_V[self._piece_UC] = sum_UC


class PoolFields(FieldOffsets):
    """S rows for the ids of all fields that have one, and behind them rows for the others.

    `otherwise` says which of those an id without a row of its own reads; None: one row, which is to stay zero.
    """

    def __init__(self, cardinalities: Sequence[int], slots: int, otherwise: FieldOffsets | None = None) -> None:
        super().__init__(cardinalities, [slots, *(otherwise.counts if otherwise else [1])])
        self.slots, self.otherwise = slots, otherwise
        firsts = torch.tensor([0, *cardinalities[:-1]]).cumsum(0)
        self.register_buffer("firsts_F", firsts, persistent=False)
        small = sum(cardinalities) < 2**31
        self.register_buffer("narrow_firsts_F", firsts.int() if small else firsts, persistent=False)
        self.register_buffer("cardinalities_F", torch.tensor(self.cardinalities))

    firsts_F: Tensor
    """The first of each field's ids among all."""
    narrow_firsts_F: Tensor
    """In 32 bits, where they are enough."""

    def own_rows(self, ids_BF: Tensor) -> Tensor:
        """The row of each id's own, or a negative number."""
        raise NotImplementedError

    def rows(self, ids_BF: Tensor) -> Tensor:
        own_BF = self.own_rows(ids_BF)
        shared = self.slots if self.otherwise is None else self.slots + self.otherwise.rows(ids_BF)
        return torch.where(own_BF >= 0, own_BF, shared)

    def in_field(self, ids: Tensor, field: int) -> Tensor:
        raise NotImplementedError("rows of a pool lie in no order of fields")

    def new_batch_rows(self, ids_BF: Tensor) -> BatchRows:
        kind = PooledRows if ids_BF.device.type == "cpu" else PlacedRows
        return kind(self.rows(ids_BF), self.offsets)

    @property
    def key(self) -> tuple[object, ...]:
        return id(self), *super().key  # rows change hands: shared with nobody

    def field_of(self, id_S: Tensor) -> Tensor:
        """The field of an id among all."""
        return torch.bucketize(id_S, self.firsts_F[1:], right=True)

    def shared_blocks(self) -> Iterator[tuple[int, Tensor]]:
        """Each field's rows among those behind the pool."""
        if self.otherwise is not None:
            for field in range(len(self.cardinalities)):
                first, last = self.otherwise.bounds[field], self.otherwise.bounds[field + 1]
                yield field, torch.arange(first, last, device=self.offsets.device) + self.slots


class MapFields(PoolFields):
    """While training: a number for each id, its row, or -1.

    `pieces` fields in succession have the same ids: they are the pieces of one vector.
    """

    slot_V: Tensor
    id_S: Tensor
    """Whose row it is, or -1."""

    def __init__(
        self, cardinalities: Sequence[int], slots: int, otherwise: FieldOffsets | None = None, pieces: int = 1
    ) -> None:
        super().__init__(cardinalities, slots, otherwise)
        self.pieces = pieces
        self.register_buffer("slot_V", torch.full((sum(cardinalities),), -1, dtype=torch.int32))
        self.register_buffer("id_S", torch.full((slots,), -1))

    def own_rows(self, ids_BF: Tensor) -> Tensor:
        return self.slot_V[ids_BF + self.narrow_firsts_F]

    def new_batch_rows(self, ids_BF: Tensor) -> BatchRows:
        if self.otherwise is None and ids_BF.device.type == "cpu":
            return PiecedRows(ids_BF[:, :: self.pieces], self)
        return super().new_batch_rows(ids_BF)

    def different(self, ids_BF: Tensor) -> UniqueRows:
        """The different ones of these ids, as numbers among all first pieces."""
        return UniqueRows(ids_BF + self.narrow_firsts_F[:: self.pieces], self.firsts_F)

    def give(self, slot_N: Tensor, id_N: Tensor) -> None:
        """Rows to ids that have none; who had them has none then."""
        before_N = self.id_S[slot_N]
        self.slot_V[before_N[before_N >= 0]] = -1
        self.id_S[slot_N] = id_N
        self.slot_V[id_N[id_N >= 0]] = slot_N[id_N >= 0].int()

    def blocks(self) -> Iterator[tuple[int, Tensor]]:
        """Each field with rows that are its own."""
        used_S = (self.id_S >= 0).nonzero().squeeze(1)
        field_S = self.field_of(self.id_S[used_S])
        for field in range(len(self.cardinalities)):
            yield field, used_S[field_S == field]
        yield from self.shared_blocks()

    def served(self) -> tuple["KeyedFields", Tensor]:
        """What serves the same rows, and the order in which it wants them."""
        total = len(self.slot_V)
        order_S = torch.where(self.id_S < 0, total, self.id_S).argsort(stable=True)
        fields = KeyedFields(self.cardinalities, self.slots, self.otherwise)
        fields.keys_S.copy_(torch.where(self.id_S < 0, total, self.id_S)[order_S])
        behind = torch.arange(self.slots, self.bounds[-1], device=order_S.device)
        return fields.to(order_S.device), torch.cat([order_S, behind])


class KeyedFields(PoolFields):
    """For serving: the ids that have a row, in rising order; places that nobody has hold V."""

    keys_S: Tensor

    def __init__(self, cardinalities: Sequence[int], slots: int, otherwise: FieldOffsets | None = None) -> None:
        super().__init__(cardinalities, slots, otherwise)
        total = sum(cardinalities)
        kind = torch.int32 if total < 2**31 else torch.int64
        self.register_buffer("keys_S", torch.full((slots,), total, dtype=kind))

    def own_rows(self, ids_BF: Tensor) -> Tensor:
        id_BF = (ids_BF + self.firsts_F).to(self.keys_S.dtype)
        place_BF = places_among(self.keys_S, id_BF).clamp(max=self.slots - 1)
        return torch.where(self.keys_S[place_BF] == id_BF, place_BF, -1)
