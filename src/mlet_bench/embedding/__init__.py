"""What turns ids into vectors: a mode is a file that owns its parameters, its lookup, its L2 and its collapse."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mlet_bench.config import EmbConfig
from mlet_bench.config.emb import FrozenMLETEmbConfig, HashEmbConfig, MLETEmbConfig, SingleEmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.hash import HashedFields, hashed_fields
from mlet_bench.embedding.mlet import MLETEmbedding
from mlet_bench.embedding.mlet_frozen import FrozenMLETEmbedding
from mlet_bench.embedding.none import NoEmbedding
from mlet_bench.embedding.rows import FieldOffsets
from mlet_bench.embedding.single import SingleEmbedding
from mlet_bench.embedding.table import RowTable

__all__ = [
    "MODES",
    "Embedding",
    "HashedFields",
    "MLETEmbedding",
    "Mode",
    "NoEmbedding",
    "RowTable",
    "SingleEmbedding",
    "build",
    "empty_served",
]


@dataclass(frozen=True)
class Mode:
    """The steps from an id to its vector, each for itself."""

    fields: Callable[[Any, Sequence[int]], FieldOffsets] = lambda config, cardinalities: FieldOffsets(cardinalities)
    """Which rows an id reads, by the mode's section and the cardinalities."""
    single: type[Embedding] = SingleEmbedding
    """What turns rows into vectors where `emb.inner` is null."""
    product: type[Embedding] = MLETEmbedding
    """And where it is a number."""


MODES: dict[type[EmbConfig], Mode] = {
    SingleEmbConfig: Mode(),
    MLETEmbConfig: Mode(),
    FrozenMLETEmbConfig: Mode(product=FrozenMLETEmbedding),
    HashEmbConfig: Mode(fields=hashed_fields),
}
"""By the section of the config, which has the mode's name (config.EMBEDDINGS)."""


def build(config: EmbConfig, cardinalities: Sequence[int], seen: Tensor | None = None) -> Embedding:
    """A fresh embedding drawn from PyTorch's global generator.

    `cardinalities` are the ids of each field, id 0 included; `seen` (V booleans) says which ids occur in the training
    split, None: all. UserError where the mode cannot be so small as it is asked to be.
    """
    mode = MODES[type(config)]
    kind = mode.single if config.inner is None else mode.product
    return kind.from_config(config, mode.fields(config, cardinalities), seen)


def empty_served(config: EmbConfig, cardinalities: Sequence[int]) -> SingleEmbedding:
    """What collapse makes of such an embedding, all zeros: a place to load a collapsed model into."""
    return SingleEmbedding.empty(MODES[type(config)].fields(config, cardinalities), config.dim)
