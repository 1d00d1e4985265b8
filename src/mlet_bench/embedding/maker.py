"""How a mode gets its tables: trained as one layer or two, or empty, to load what was served into."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mlet_bench.config import EmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.mlet import MLETEmbedding
from mlet_bench.embedding.rows import FieldOffsets
from mlet_bench.embedding.single import SingleEmbedding


@dataclass(frozen=True)
class TableMaker:
    """Makes the tables of one embedding, drawn from PyTorch's global generator, by what its section says."""

    config: EmbConfig
    cardinalities: tuple[int, ...]
    """Ids of each field, id 0 included."""
    seen: Tensor | None = None
    """V booleans: which ids occur in the training split; None: all."""
    served: bool = False
    """Whether tables are what collapse makes of them, all zeros."""

    def table(
        self, fields: FieldOffsets, dim: int | None = None, *, product: type[MLETEmbedding] = MLETEmbedding
    ) -> Embedding:
        """Rows of width `dim` (emb.dim), trained as a product where emb.inner is a number."""
        config = self.config if dim is None else self.config.model_copy(update={"dim": dim})
        if self.served:
            return SingleEmbedding.empty(fields, config.dim)
        kind = SingleEmbedding if config.inner is None else product
        return kind.from_config(config, fields, self.seen)

    def of_fields(self, chosen: Sequence[int]) -> "TableMaker":
        """For some of the fields."""
        seen = self.seen
        if seen is not None:
            parts = torch.split(seen, list(self.cardinalities))
            seen = torch.cat([parts[field] for field in chosen]) if chosen else seen[:0]
        return replace(self, cardinalities=tuple(self.cardinalities[field] for field in chosen), seen=seen)

    def start_std(self, rows: int) -> float:
        """Of an entry of a table of so many rows."""
        config = self.config
        if config.init_std is not None:
            return config.init_std
        return math.sqrt(2 / (rows + config.dim) if config.table_init == "glorot" else 1 / (3 * rows))

    def with_start(self, std: float) -> "TableMaker":
        """Whose tables all start with this standard deviation, whatever ids were seen."""
        return replace(self, config=self.config.model_copy(update={"init_std": std}), seen=None)


def scale_rows(embedding: Embedding, fields: FieldOffsets, factor_F: Sequence[float]) -> None:
    """Multiply what a table starts with, by a factor for each field."""
    with torch.no_grad():
        for table in embedding.tables():
            for rows, factor in zip(torch.split(table.weight, list(fields.counts)), factor_F, strict=True):
                rows.mul_(factor)
