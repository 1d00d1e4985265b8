"""Raw rows on their way: read once, held on disk with ids that mean something inside their block alone.

What stays in memory is the categories of every field; the rest is in files that are read by mapping.
B rows of a block.
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlet_bench.data.prepare import numeric
from mlet_bench.data.prepare.vocabulary import VocabularyBuilder
from mlet_bench.data.sources.raw import KEPT, KEY, LABEL, TRUTH, RawSource
from mlet_bench.data.splits import SPLITS, TRAIN, Seen, SplitRule
from mlet_bench.errors import UserError

LONGEST_NAME = 200
"""Bytes of a field's name, which names a file."""
KEYS_AT = 1 << 16
"""Fewest split keys that are counted at a time."""


@dataclass(frozen=True)
class Columns:
    """What becomes of a source's columns."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    bucketed: frozenset[str]
    numeric_as: str
    kept: tuple[str, ...] = ()
    """Raw ones that are stored as they are."""

    @classmethod
    def of(cls, source: RawSource, numeric_as: str) -> "Columns":
        """UserError for a field whose name can be no file's in vocab/."""
        if numeric_as == "bucket":
            columns = cls(
                (), (*source.numeric, *source.categorical), frozenset(source.numeric), numeric_as, source.kept
            )
        else:
            columns = cls(source.numeric, source.categorical, frozenset(), numeric_as, source.kept)
        for name in columns.categorical:
            if "/" in name or "\0" in name or len(name.encode()) > LONGEST_NAME:
                raise UserError(
                    f"{name}: a field's name holds no / and at most {LONGEST_NAME} bytes; rename the column"
                )
        return columns

    def check_counts(self) -> None:
        """UserError where a column has the name of a field's counts, which stand beside ids that merge categories."""
        taken = {f"{name}_count" for name in self.categorical} & {*self.numeric, *self.categorical}
        if taken:
            raise UserError(
                f"{min(taken)}: with dataset.min_count above 1 this is the column of a field's counts; rename it"
            )


class Spool:
    """All good rows of a source, in their order."""

    def __init__(self, folder: Path, columns: Columns) -> None:
        self.columns, self._folder = columns, folder
        self.builders = {
            name: VocabularyBuilder(folder / f"{index}.numbers") for index, name in enumerate(columns.categorical)
        }
        self.missing = dict.fromkeys((*columns.numeric, *columns.categorical), 0)
        self.first_rows = [0]
        """Of every block, and behind the last."""
        self._writer: pa.RecordBatchFileWriter | None = None
        self._positives = 0
        self._keys: list[tuple[np.ndarray, np.ndarray]] = []
        """And the labels beside them."""
        self._keys_pending = 0
        self._seen_keys, self._seen_rows, self._seen_positives = (np.empty(0, np.int64) for _ in range(3))

    def add(self, table: pa.Table, pool: Executor) -> None:
        for batch in table.combine_chunks().to_batches():
            if batch.num_rows:
                self._add_block(batch)
        list(pool.map(VocabularyBuilder.merge, [builder for builder in self.builders.values() if builder.due]))

    def finish(self, pool: Executor) -> Seen:
        """No more rows; says what they were."""
        list(pool.map(VocabularyBuilder.finish, self.builders.values()))
        self._count_keys()
        if self._writer is not None:
            self._writer.close()
            self._reader = pa.ipc.open_file(pa.memory_map(str(self._folder / "rows.arrow")))
        return Seen(self.first_rows[-1], self._positives, self._seen_keys, self._seen_rows, self._seen_positives)

    @property
    def blocks(self) -> int:
        return len(self.first_rows) - 1

    @property
    def has_truth(self) -> bool:
        return self.blocks > 0 and TRUTH in self._reader.schema.names

    def block(self, index: int) -> pa.RecordBatch:
        """One block, mapped."""
        return self._reader.get_batch(index)

    @property
    def kept_types(self) -> dict[str, pa.DataType]:
        """By column of a block."""
        schema = self._reader.schema if self.columns.kept else None
        return {} if schema is None else {KEPT + name: schema.field(KEPT + name).type for name in self.columns.kept}

    def counts(self, field: str) -> np.ndarray:
        """How often each category, by its number, occurs in all rows (int64)."""
        builder = self.builders[field]
        counts = np.zeros(len(builder.values), np.int64)
        for index in range(self.blocks):
            numbers = builder.numbers(index)
            counts[numbers] += np.bincount(self.block(index).column(field).to_numpy(), minlength=len(numbers))
        return counts

    def _add_block(self, batch: pa.RecordBatch) -> None:
        arrays = {LABEL: batch.column(LABEL).cast(pa.int8())}
        for name in (KEY, TRUTH):
            if name in batch.schema.names:
                arrays[name] = batch.column(name)
        for name in self.columns.kept:
            arrays[KEPT + name] = batch.column(KEPT + name)
        for name in self.columns.numeric:
            values = batch.column(name)
            self.missing[name] += values.null_count
            arrays[name] = pa.array(TRANSFORMS[self.columns.numeric_as](values))
        for name in self.columns.categorical:
            if name in self.columns.bucketed:
                self.missing[name] += batch.column(name).null_count
                encoded = numeric.bucket(batch.column(name))
            else:
                encoded = dictionary_of(batch.column(name))
                self.missing[name] += _empty(encoded)
            self.builders[name].add(encoded.dictionary)
            arrays[name] = encoded.indices
        label_B = arrays[LABEL].to_numpy()
        self._positives += int(label_B.sum())
        if KEY in arrays:
            self._keys.append((arrays[KEY].to_numpy(), label_B))
            self._keys_pending += batch.num_rows
            if self._keys_pending >= max(KEYS_AT, len(self._seen_keys)):
                self._count_keys()
        rows = pa.RecordBatch.from_pydict(arrays)
        if self._writer is None:
            self._writer = pa.ipc.new_file(self._folder / "rows.arrow", rows.schema)
        self._writer.write_batch(rows)
        self.first_rows.append(self.first_rows[-1] + batch.num_rows)

    def _count_keys(self) -> None:
        keys = np.concatenate([self._seen_keys, *(key_B for key_B, _ in self._keys)])
        rows = np.concatenate([self._seen_rows, *(np.ones(len(key_B), np.int64) for key_B, _ in self._keys)])
        positives = np.concatenate([self._seen_positives, *(label_B for _, label_B in self._keys)])
        self._seen_keys, place = np.unique(keys, return_inverse=True)
        self._seen_rows, self._seen_positives = (
            np.bincount(place, counts, len(self._seen_keys)).astype(np.int64) for counts in (rows, positives)
        )
        self._keys, self._keys_pending = [], 0


TRANSFORMS = {"log1p": numeric.log1p, "as_is": numeric.as_is, "standard": numeric.raw}


def dictionary_of(column: pa.Array) -> pa.DictionaryArray:
    """Strings with their dictionary; missing ones are "" like empty ones."""
    if column.null_count or not pa.types.is_dictionary(column.type):
        column = pc.fill_null(column.cast(pa.string()), "").dictionary_encode()
    if column.indices.type != pa.int32():
        column = pa.DictionaryArray.from_arrays(column.indices.cast(pa.int32()), column.dictionary)
    return column


def _empty(column: pa.DictionaryArray) -> int:
    """How many of a block's cells are empty."""
    place = pc.index(column.dictionary, "").as_py()
    return int((column.indices.to_numpy() == place).sum()) if place >= 0 else 0


class Assigned:
    """Which split every spooled row goes to; -1 where thinning drops it."""

    def __init__(self, spool: Spool, path: Path) -> None:
        self._spool, self._path = spool, path
        self.rows_of_block = np.zeros((spool.blocks, len(SPLITS)), np.int64)
        self.positives = dict.fromkeys(SPLITS, 0)
        self.moments = {name: numeric.Moments() for name in spool.columns.numeric}
        """Of the training rows, where columns are standardised."""

    def assign(self, rule: SplitRule, train_share: float, seed: int) -> None:
        """Ask `rule` for every row, and keep `train_share` of the training rows, drawn from `seed`."""
        thinning = np.random.default_rng(seed)
        standard = self._spool.columns.numeric_as == "standard"
        with self._path.open("wb") as opened:
            for index in range(self._spool.blocks):
                block = self._spool.block(index)
                label_B = block.column(LABEL).to_numpy()
                key_B = block.column(KEY).to_numpy() if KEY in block.schema.names else None
                split_B = rule.of(self._spool.first_rows[index], label_B, key_B)
                if train_share < 1:
                    split_B[(thinning.random(len(split_B)) >= train_share) & (split_B == TRAIN)] = -1
                opened.write(split_B.data)
                for split, name in enumerate(SPLITS):
                    self.rows_of_block[index, split] = (split_B == split).sum()
                    self.positives[name] += int(label_B[split_B == split].sum())
                if standard:
                    for name, moments in self.moments.items():
                        moments.add(block.column(name).to_numpy()[split_B == TRAIN])
        rows = self._spool.first_rows[-1]
        self._splits = np.memmap(self._path, np.int8, "r", shape=(rows,)) if rows else np.empty(0, np.int8)

    @property
    def rows(self) -> dict[str, int]:
        return dict(zip(SPLITS, self.rows_of_block.sum(0).tolist(), strict=True))

    def chosen(self, index: int, split: int) -> np.ndarray | slice:
        """The rows of a block that go to a split; a slice where those are all."""
        first, last = self._spool.first_rows[index : index + 2]
        if self.rows_of_block[index, split] == last - first:
            return slice(None)
        return np.flatnonzero(self._splits[first:last] == split)

    def train_counts(self, field: str) -> np.ndarray:
        """How often each category, by its number, occurs in the training rows (int64)."""
        builder = self._spool.builders[field]
        counts = np.zeros(len(builder.values), np.int64)
        for index in range(self._spool.blocks):
            if self.rows_of_block[index, TRAIN]:
                numbers = builder.numbers(index)
                ids = self._spool.block(index).column(field).to_numpy()[self.chosen(index, TRAIN)]
                counts[numbers] += np.bincount(ids, minlength=len(numbers))
        return counts

    def pieces(self, split: int, start: int, stop: int) -> Iterator[tuple[int, np.ndarray | slice]]:
        """Blocks, and the rows in them, that make up rows `start` … `stop - 1` of a split."""
        ends = np.cumsum(self.rows_of_block[:, split])
        for index in range(int(np.searchsorted(ends, start, "right")), self._spool.blocks):
            rows = int(self.rows_of_block[index, split])
            first = int(ends[index]) - rows
            if first >= stop:
                return
            if rows:
                chosen = self.chosen(index, split)
                low, high = max(start - first, 0), min(stop - first, rows)
                yield index, slice(low, high) if isinstance(chosen, slice) else chosen[low:high]
