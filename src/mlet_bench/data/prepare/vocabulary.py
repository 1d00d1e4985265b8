"""Categories of one field ↔ ids.

Ids are given by training count, the most frequent category first; equal counts in order of first
appearance. Id 0 is reserved for values that the training split does not hold, and is never trained. With a minimum
count above 1, id 1 is reserved for the categories rarer than it.

Rows come in blocks, each with a dictionary of its own. A category's number is its place in the order of first
appearance over all of them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MERGE_AT = 1 << 19
"""Fewest entries of block dictionaries to merge at a time; beyond it, as many as are known: so the work grows with
the entries, and memory with the categories."""


class VocabularyBuilder:
    """The categories of one field, gathered from the dictionaries of its blocks.

    A file holds the way back: for every entry of every block its category's number (int32).
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, path.open("wb")
        self._pending: list[pa.Array] = []
        self._pending_entries = 0
        self._starts = [0]
        self.values = pa.array([], pa.large_string())

    def add(self, dictionary: pa.Array) -> None:
        """The next block's dictionary (strings)."""
        self._pending.append(dictionary)
        self._pending_entries += len(dictionary)
        self._starts.append(self._starts[-1] + len(dictionary))

    @property
    def due(self) -> bool:
        return self._pending_entries >= max(MERGE_AT, len(self.values))

    def merge(self) -> None:
        if not self._pending_entries:
            return
        pieces = [self.values, *(dictionary.cast(pa.large_string()) for dictionary in self._pending)]
        encoded = pa.chunked_array(pieces).dictionary_encode()
        numbers = np.concatenate([piece.indices.to_numpy() for piece in encoded.chunks])  # empty pieces are left out
        self._file.write(numbers[len(self.values) :].astype(np.int32, copy=False).data)
        self.values = encoded.chunk(encoded.num_chunks - 1).dictionary
        self._pending, self._pending_entries = [], 0

    def finish(self) -> None:
        """Merge what is left; then `numbers` can be asked."""
        self.merge()
        self._file.close()
        entries = self._starts[-1]
        self._numbers = np.memmap(self._path, np.int32, "r", shape=(entries,)) if entries else np.empty(0, np.int32)

    def numbers(self, block: int) -> np.ndarray:
        """By entry of a block's dictionary, its category's number (int32)."""
        return self._numbers[self._starts[block] : self._starts[block + 1]]


@dataclass(frozen=True)
class FieldVocabulary:
    """Values of one field with their ids and training counts, most frequent first."""

    values: pa.Array
    ids: np.ndarray
    counts: np.ndarray

    id_of_number: np.ndarray
    """int32; by category number."""
    count_of_number: np.ndarray
    """int64; by category number."""

    kept: int
    """Categories with an id of their own."""
    reserved: int
    """Ids that stand for no single category."""

    @property
    def cardinality(self) -> int:
        """Rows that the field's table needs."""
        return self.kept + self.reserved

    def write(self, field: str, path: Path) -> None:
        """Columns field, value, id, train_count."""
        table = pa.table(
            {
                "field": pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(self.ids), np.int8)), [field]),
                "value": self.values,
                "id": pa.array(self.ids, pa.int32()),
                "train_count": pa.array(self.counts, pa.int64()),
            }
        )
        pq.write_table(table, path, compression="zstd", compression_level=1, use_dictionary=["field", "train_count"],
                       column_encoding={"id": "DELTA_BINARY_PACKED", "value": "DELTA_LENGTH_BYTE_ARRAY"},
                       write_statistics=False)  # fmt: skip


def numbered(values: pa.Array, counts: np.ndarray, min_count: int) -> FieldVocabulary:
    """A new vocabulary of the categories that occur in the training split.

    values: by category number; counts: how often each occurs there (int64).
    """
    order = np.argsort(-counts, kind="stable")
    order = order[: int((counts > 0).sum())]
    kept = int((counts >= min_count).sum())
    reserved = 1 + (min_count > 1)
    ids = np.ones(len(order), np.int32)
    ids[:kept] = np.arange(reserved, reserved + kept)
    id_of_number = np.zeros(len(values), np.int32)
    id_of_number[order] = ids
    return FieldVocabulary(values.take(pa.array(order)), ids, counts[order], id_of_number, counts, kept, reserved)


def encoded_with(known: pa.Table, values: pa.Array, min_count: int) -> FieldVocabulary:
    """The vocabulary of another data set (columns value, id, train_count), applied to these categories."""
    ids, counts = known.column("id").to_numpy(), known.column("train_count").to_numpy()
    known_values = known.column("value").combine_chunks().cast(pa.large_string())
    place = pc.fill_null(pc.index_in(values, known_values), -1).to_numpy()
    found = place >= 0
    id_of_number, count_of_number = np.zeros(len(values), np.int32), np.zeros(len(values), np.int64)
    id_of_number[found], count_of_number[found] = ids[place[found]], counts[place[found]]
    kept = int((counts >= min_count).sum())
    return FieldVocabulary(known_values, ids, counts, id_of_number, count_of_number, kept, 1 + (min_count > 1))
