"""A fresh model, drawn from a seed."""

from collections.abc import Callable, Sequence

from torch import Tensor

from mlet_bench import models
from mlet_bench.config import EmbConfig, ModelSection
from mlet_bench.embedding import Embedding, build
from mlet_bench.models.base import CTRModel
from mlet_bench.system.seeds import seeded

Build = Callable[[EmbConfig, Sequence[int], Tensor | None], Embedding]
"""Makes an embedding as `mlet_bench.embedding.build` does."""


def build_model(
    model: ModelSection,
    emb: EmbConfig,
    cardinalities: Sequence[int],
    numeric: int,
    seed: int,
    seen_V: Tensor | None = None,
    build_embedding: Build = build,
) -> CTRModel:
    """The embedding and the dense weights each draw from a stream of their own; rows that are not `seen_V` start at 0.

    `cardinalities` are the rows of each field's table, `numeric` is the number of numeric columns. `build_embedding`
    makes the embedding.
    """
    with seeded(seed, "embedding"):
        embedding = build_embedding(emb, cardinalities, seen_V)
    with seeded(seed, "dense"):
        return models.build(model, embedding, numeric)
