"""What turns ids into vectors: a mode is a file that owns its parameters, its lookup, its L2 and its collapse."""

from collections.abc import Sequence

from torch import Tensor

from mlet_bench.config import EmbConfig, FrozenMLETEmbConfig, MLETEmbConfig, SingleEmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.mlet import MLETEmbedding
from mlet_bench.embedding.mlet_frozen import FrozenMLETEmbedding
from mlet_bench.embedding.none import NoEmbedding
from mlet_bench.embedding.single import SingleEmbedding
from mlet_bench.embedding.table import RowTable

__all__ = ["MODES", "Embedding", "MLETEmbedding", "NoEmbedding", "RowTable", "SingleEmbedding", "build"]


MODES: dict[type[EmbConfig], type[Embedding]] = {
    SingleEmbConfig: SingleEmbedding,
    MLETEmbConfig: MLETEmbedding,
    FrozenMLETEmbConfig: FrozenMLETEmbedding,
}
"""By the section of the config, which has the mode's name (config.EMBEDDINGS)."""


def build(config: EmbConfig, cardinalities: Sequence[int], seen: Tensor | None = None) -> Embedding:
    """A fresh embedding drawn from PyTorch's global generator.

    `cardinalities` are the rows of each field's table, id 0 included; `seen` (V booleans) says which rows occur in the
    training split, None: all.
    """
    return MODES[type(config)].from_config(config, cardinalities, seen)
