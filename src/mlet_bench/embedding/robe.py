"""ROBE (arXiv 2108.02191): vectors are pieces of one circular array that all fields share, at hashed places.

Piece c of category x of field f begins at a hash of (f, x, c), and has a hashed sign. U different rows of a batch,
D output width, C = D / Z pieces of Z numbers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mlet_bench.config.emb import ROBEEmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.computed import ComputedEmbedding, hashed, single_std
from mlet_bench.embedding.maker import TableMaker
from mlet_bench.embedding.parts import Budget, beside_whole_fields

PLACE = (1_103_515_245, 12_345, 1_664_525, 1_013_904_223)
SIGN = (1_140_671_485, 12_820_163, 1_597_334_677, 1_442_695_041)
"""Of the hash functions: factor and shift for the category, then factor and shift for the piece."""


class ROBEEmbedding(ComputedEmbedding):
    """An array of `size` numbers, uniform around 0 with standard deviation `std` at the start."""

    def __init__(self, cardinalities: Sequence[int], dim: int, size: int, piece: int, std: float) -> None:
        super().__init__(cardinalities, dim)
        self.piece = piece
        self.array = nn.Parameter(torch.empty(size).uniform_(-(3**0.5) * std, 3**0.5 * std))

    def vectors(self, ids_U: Tensor, field_U: Tensor) -> Tensor:
        begin_UC, sign_UC = self.begins(ids_U, field_U)
        place_UCZ = (begin_UC[..., None] + torch.arange(self.piece, device=ids_U.device)) % len(self.array)
        read_UCZ = self.array.index_select(0, place_UCZ.flatten()).view_as(place_UCZ)  # [] sums gradients in any order
        return (read_UCZ * sign_UC[..., None]).flatten(1)

    def begins(self, ids_U: Tensor, field_U: Tensor) -> tuple[Tensor, Tensor]:
        """Where each piece begins in the array, and its sign, both U × C."""
        piece_C = torch.arange(self.dim // self.piece, device=ids_U.device)
        category_U = self.fields.offsets[field_U] + ids_U
        begin_UC, bit_UC = (
            hashed(hashed(category_U, factor, shift)[:, None], piece_factor, piece_shift * (piece_C + 1) % 2**30)
            for factor, shift, piece_factor, piece_shift in (PLACE, SIGN)
        )
        return begin_UC % len(self.array), 1.0 - 2.0 * (bit_UC >> 15 & 1)


def robe(config: ROBEEmbConfig, cardinalities: Sequence[int], maker: TableMaker) -> Embedding:
    """As small as emb.ratio says."""
    budget = Budget(config, tuple(cardinalities))

    def small(own: TableMaker) -> Embedding:
        if budget.numbers < config.dim:
            raise budget.refuse(config.dim)
        std = single_std(config, own.cardinalities)
        return ROBEEmbedding(own.cardinalities, config.dim, budget.numbers, config.piece or config.dim, std)

    return beside_whole_fields(budget, maker, small)
