"""Deep hash embeddings (DHE, arXiv 2010.10784): many hashes of an id, scaled to [-1, 1], through a network.

One network for all fields, whose hashes tell the fields apart; its width is solved for emb.ratio. U different rows of a
batch, H hashes, D output width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mlet_bench.config.emb import DHEEmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.computed import PRIME, ComputedEmbedding, hashed, single_std
from mlet_bench.embedding.maker import TableMaker
from mlet_bench.embedding.parts import Budget, beside_whole_fields

VALUES = 1_000_000
"""That a hash takes."""
WIDEST = 4096
START_IDS = 1024
"""By which the last layer is scaled at the start."""


class DHEEmbedding(ComputedEmbedding):
    """`layers` hidden layers of `width`, each linear, batch normalisation, Mish; then a linear one to `dim`."""

    factor_H: Tensor
    shift_H: Tensor

    def __init__(
        self, cardinalities: Sequence[int], dim: int, width: int, hashes: int, layers: int, std: float
    ) -> None:
        super().__init__(cardinalities, dim)
        generator = torch.Generator().manual_seed(0)
        factor_H, shift_H = torch.randint(1, PRIME, (2, hashes), generator=generator)
        self.register_buffer("factor_H", factor_H, persistent=False)
        self.register_buffer("shift_H", shift_H, persistent=False)
        parts: list[nn.Module] = []
        for layer in range(layers):
            parts += [nn.Linear(width if layer else hashes, width), nn.BatchNorm1d(width), nn.Mish()]
        self.network = nn.Sequential(*parts, nn.Linear(width, dim))
        self._scale_to(std)

    def vectors(self, ids_U: Tensor, field_U: Tensor) -> Tensor:
        category_U = self.fields.offsets[field_U] + ids_U
        value_UH = hashed(category_U[:, None], self.factor_H, self.shift_H) % VALUES
        number = next(self.network.parameters()).dtype
        vectors_UD: Tensor = self.network(value_UH.to(number) * (2 / (VALUES - 1)) - 1)
        return vectors_UD

    @torch.no_grad()
    def _scale_to(self, std: float) -> None:
        """So that vectors start with this standard deviation."""
        if self.factor_H.device.type == "meta":
            return
        ids_U = torch.arange(START_IDS) % sum(self.cardinalities)
        state = {name: value.clone() for name, value in self.network.state_dict().items()}
        last = self.network[-1]
        assert isinstance(last, nn.Linear)
        last.bias.zero_()
        found = float(self.vectors(ids_U, torch.zeros_like(ids_U)).std())
        self.network.load_state_dict(state)
        last.bias.zero_()
        last.weight.mul_(std / found)


def network_numbers(width: int, dim: int, hashes: int, layers: int) -> int:
    """Weights and biases; of a batch normalisation two weights and two statistics a place, and a count of batches."""
    return hashes * width + (layers - 1) * width * width + layers * (5 * width + 2) + (width + 1) * dim


def dhe(config: DHEEmbConfig, cardinalities: Sequence[int], maker: TableMaker) -> Embedding:
    """As small as emb.ratio says."""
    budget = Budget(config, tuple(cardinalities))

    def small(own: TableMaker) -> Embedding:
        width = budget.largest(
            lambda width: network_numbers(width, config.dim, config.hashes, config.layers),
            range(1, WIDEST + 1),
        )
        std = single_std(config, own.cardinalities)
        return DHEEmbedding(own.cardinalities, config.dim, width, config.hashes, config.layers, std)

    return beside_whole_fields(budget, maker, small)
