"""Rows and their probabilities as Parquet or csv, written as they come."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from mlet_bench.errors import UserError
from mlet_bench.evaluation.metrics import probability

Format = Literal["parquet", "csv"]


class ProbabilityWriter:
    """Writes blocks of rows to one file: row (int64, from 0), probability (float64) and the columns that go along."""

    def __init__(self, path: Path, kind: Format) -> None:
        self._path, self._kind = path, kind
        self._writer: pq.ParquetWriter | pyarrow.csv.CSVWriter | None = None
        self.rows, self.sum = 0, 0.0
        """Written so far, and the sum of their probabilities."""

    def add(self, logit_B: np.ndarray, kept: dict[str, pa.Array]) -> None:
        """The next rows. UserError for a column that csv cannot hold."""
        probability_B = probability(logit_B)
        row_B = np.arange(self.rows, self.rows + len(logit_B), dtype=np.int64)
        table = pa.table({"row": row_B, "probability": probability_B, **kept})
        if self._writer is None:
            self._writer = self._opened(table.schema)
        self._writer.write_table(table)
        self.rows += len(logit_B)
        self.sum += float(probability_B.sum())

    def _opened(self, schema: pa.Schema) -> "pq.ParquetWriter | pyarrow.csv.CSVWriter":
        if self._kind == "parquet":
            return pq.ParquetWriter(self._path, schema)
        for field in schema:
            if pa.types.is_nested(field.type) or pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
                raise UserError(f"predict.keep={field.name}: csv cannot hold {field.type}; allowed: "
                                "predict.format=parquet")  # fmt: skip
        return pyarrow.csv.CSVWriter(self._path, schema)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


@contextmanager
def probability_writer(path: Path, kind: Format) -> Iterator[ProbabilityWriter]:
    writer = ProbabilityWriter(path, kind)
    try:
        yield writer
    finally:
        writer.close()
