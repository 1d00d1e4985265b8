"""What turns ids into vectors: a mode is a file that owns its parameters, its lookup, its L2 and its collapse."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from mlet_bench.config import EmbConfig
from mlet_bench.config.emb import (
    AdaEmbedEmbConfig,
    ALPTEmbConfig,
    CAFEEmbConfig,
    DHEEmbConfig,
    FIITEDEmbConfig,
    FrozenMLETEmbConfig,
    HashEmbConfig,
    LPTEmbConfig,
    MixedEmbConfig,
    MLETEmbConfig,
    PEPEmbConfig,
    PEPSearchEmbConfig,
    QREmbConfig,
    ROBEEmbConfig,
    SingleEmbConfig,
    TTEmbConfig,
)
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.cafe import cafe
from mlet_bench.embedding.dhe import dhe
from mlet_bench.embedding.hash import HashedFields, hash_rows
from mlet_bench.embedding.integers import lpt
from mlet_bench.embedding.maker import TableMaker
from mlet_bench.embedding.mixed import mixed
from mlet_bench.embedding.mlet import MLETEmbedding
from mlet_bench.embedding.mlet_frozen import FrozenMLETEmbedding
from mlet_bench.embedding.none import NoEmbedding
from mlet_bench.embedding.pep import pep
from mlet_bench.embedding.pruned import pruned
from mlet_bench.embedding.qr import qr
from mlet_bench.embedding.robe import robe
from mlet_bench.embedding.rows import FieldOffsets
from mlet_bench.embedding.single import SingleEmbedding
from mlet_bench.embedding.table import RowTable
from mlet_bench.embedding.tt import tt

__all__ = [
    "MODES",
    "Embedding",
    "HashedFields",
    "MLETEmbedding",
    "NoEmbedding",
    "RowTable",
    "SingleEmbedding",
    "build",
    "empty_served",
]


def own_rows(config: EmbConfig, cardinalities: Sequence[int], maker: TableMaker) -> Embedding:
    """A row for every id, trained as one layer or two."""
    return maker.table(FieldOffsets(cardinalities))


def frozen(config: EmbConfig, cardinalities: Sequence[int], maker: TableMaker) -> Embedding:
    """A row for every id, and a W2 that is not trained."""
    return maker.table(FieldOffsets(cardinalities), product=FrozenMLETEmbedding)


MODES: dict[type[EmbConfig], Callable[[Any, Sequence[int], TableMaker], Embedding]] = {
    SingleEmbConfig: own_rows,
    MLETEmbConfig: own_rows,
    FrozenMLETEmbConfig: frozen,
    HashEmbConfig: hash_rows,
    QREmbConfig: qr,
    MixedEmbConfig: mixed,
    TTEmbConfig: tt,
    ROBEEmbConfig: robe,
    DHEEmbConfig: dhe,
    CAFEEmbConfig: cafe,
    AdaEmbedEmbConfig: pruned,
    FIITEDEmbConfig: pruned,
    PEPEmbConfig: pep,
    PEPSearchEmbConfig: pep,
    LPTEmbConfig: lpt,
    ALPTEmbConfig: lpt,
}
"""By the section of the config, which has the mode's name (config.EMBEDDINGS)."""


def build(config: EmbConfig, cardinalities: Sequence[int], seen: Tensor | None = None) -> Embedding:
    """A fresh embedding drawn from PyTorch's global generator.

    `cardinalities` are the ids of each field, id 0 included; `seen` (V booleans) says which ids occur in the training
    split, None: all. UserError where the mode cannot be so small as it is asked to be.
    """
    return MODES[type(config)](config, cardinalities, TableMaker(config, tuple(cardinalities), seen))


def empty_served(config: EmbConfig, cardinalities: Sequence[int]) -> Embedding:
    """What collapse makes of such an embedding, with any numbers: a place to load a collapsed model into."""
    return MODES[type(config)](config, cardinalities, TableMaker(config, tuple(cardinalities), served=True))
