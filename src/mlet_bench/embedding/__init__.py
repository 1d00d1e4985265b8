"""What turns ids into vectors: a mode is a file that owns its parameters, its lookup, its L2 and its collapse."""

from collections.abc import Sequence

from torch import Tensor

from mlet_bench.config import EmbConfig
from mlet_bench.config.emb import FrozenMLETEmbConfig, HashEmbConfig, MLETEmbConfig, SingleEmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.hash import HashedEmbedding, hashed_rows
from mlet_bench.embedding.mlet import MLETEmbedding
from mlet_bench.embedding.mlet_frozen import FrozenMLETEmbedding
from mlet_bench.embedding.none import NoEmbedding
from mlet_bench.embedding.single import SingleEmbedding
from mlet_bench.embedding.table import RowTable

__all__ = ["MODES", "Embedding", "MLETEmbedding", "NoEmbedding", "RowTable", "SingleEmbedding", "build", "empty_served"]


MODES: dict[type[EmbConfig], type[Embedding] | type[HashedEmbedding]] = {
    SingleEmbConfig: SingleEmbedding,
    MLETEmbConfig: MLETEmbedding,
    FrozenMLETEmbConfig: FrozenMLETEmbedding,
    HashEmbConfig: HashedEmbedding,
}
"""By the section of the config, which has the mode's name (config.EMBEDDINGS)."""


def build(config: EmbConfig, cardinalities: Sequence[int], seen: Tensor | None = None) -> Embedding:
    """A fresh embedding drawn from PyTorch's global generator.

    `cardinalities` are the rows of each field's table, id 0 included; `seen` (V booleans) says which rows occur in the
    training split, None: all.
    """
    return MODES[type(config)].from_config(config, cardinalities, seen)  # type: ignore[arg-type]


def empty_served(config: EmbConfig, cardinalities: Sequence[int]) -> SingleEmbedding:
    """What collapse makes of such an embedding, all zeros: a place to load a collapsed model into."""
    rows = hashed_rows(cardinalities, config.ratio, config.min_rows) if isinstance(config, HashEmbConfig) else None
    return SingleEmbedding.empty(cardinalities, config.dim, rows)
