"""What turns ids into vectors: a mode is a file that owns its parameters, its lookup, its collapse, its sizes."""

from collections.abc import Sequence

from torch import Tensor

from mlet_bench.config import EmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.mlet import MLETEmbedding
from mlet_bench.embedding.mlet_frozen import FrozenMLETEmbedding
from mlet_bench.embedding.none import NoEmbedding
from mlet_bench.embedding.single import SingleEmbedding
from mlet_bench.embedding.table import RowTable

__all__ = ["MODES", "Embedding", "MLETEmbedding", "NoEmbedding", "RowTable", "SingleEmbedding", "build"]


MODES: dict[str, type[SingleEmbedding] | type[MLETEmbedding]] = {
    "single": SingleEmbedding,
    "mlet": MLETEmbedding,
    "mlet_frozen": FrozenMLETEmbedding,
}


def build(config: EmbConfig, cardinalities: Sequence[int], seen_V: Tensor) -> Embedding:
    """A fresh embedding drawn from PyTorch's global generator.

    `cardinalities` are the rows of each field's table, id 0 included; `seen_V` says which rows occur in the
    training split.
    """
    return MODES[config.mode].initial(cardinalities, seen_V, config)
