"""Categories of one field ↔ ids.

Ids are given by training count, the most frequent category first; equal counts in order of first
appearance. Id 0 is reserved for values that the training split does not hold, and is never trained. With a minimum
count above 1, id 1 is reserved for the categories rarer than it.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa


class VocabularyBuilder:
    """Gathers the values of one field and how often each occurs in the training split."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._counts = np.zeros(1024, np.int64)

    def add(self, values: pa.DictionaryArray, train_B: np.ndarray) -> np.ndarray:
        """Provisional ids (int32) of a batch's values, in order of first appearance over all batches."""
        ids = self._ids
        known = np.fromiter((ids.setdefault(v, len(ids)) for v in values.dictionary.to_pylist()), np.int32,
                            len(values.dictionary))  # fmt: skip
        indices = values.indices.to_numpy()
        if len(ids) > len(self._counts):
            self._counts = np.concatenate([self._counts, np.zeros(2 * len(ids) - len(self._counts), np.int64)])
        self._counts[known] += np.bincount(indices[train_B], minlength=len(known))
        return np.asarray(known[indices])

    def finish(self, min_count: int) -> "FieldVocabulary":
        """Final ids for every value that occurs in the training split."""
        values = np.array(list(self._ids), dtype=object)
        counts = self._counts[: len(values)]
        order = np.argsort(-counts, kind="stable")
        order = order[: int((counts > 0).sum())]
        kept = int((counts >= min_count).sum())
        reserved = 1 + (min_count > 1)
        ids = np.ones(len(order), np.int32)
        ids[:kept] = np.arange(reserved, reserved + kept)
        final = np.zeros(len(values), np.int32)
        final[order] = ids
        return FieldVocabulary(list(values[order]), ids, counts[order], final, counts.copy(), kept, reserved)


@dataclass(frozen=True)
class FieldVocabulary:
    """Values of one field with their final ids and training counts, most frequent first."""

    values: list[str]
    ids: np.ndarray
    counts: np.ndarray
    final_of_provisional: np.ndarray
    count_of_provisional: np.ndarray

    kept: int
    """Categories with an id of their own."""
    reserved: int
    """Ids that stand for no single category."""

    @property
    def cardinality(self) -> int:
        """Rows that the field's table needs."""
        return self.kept + self.reserved

    def table(self, field: str) -> pa.Table:
        """Columns field, value, id, train_count."""
        return pa.table(
            {
                "field": pa.array([field] * len(self.values), pa.string()),
                "value": pa.array(self.values, pa.string()),
                "id": pa.array(self.ids, pa.int32()),
                "train_count": pa.array(self.counts, pa.int64()),
            }
        )
