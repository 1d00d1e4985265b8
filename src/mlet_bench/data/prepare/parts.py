"""Spooled rows → the Parquet parts and the vocabulary of a prepared folder."""

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlet_bench.data.prepare import numeric
from mlet_bench.data.prepare.spool import Assigned, Spool
from mlet_bench.data.prepare.vocabulary import FieldVocabulary
from mlet_bench.data.sources.raw import LABEL, TRUTH
from mlet_bench.data.splits import SPLITS
from mlet_bench.system import files

PART_ROWS = 1 << 19
ROW_GROUP_ROWS = 1 << 17


@dataclass(frozen=True)
class Encoded:
    """All that decides the content of the parts."""

    spool: Spool
    assigned: Assigned
    vocabularies: dict[str, FieldVocabulary]
    moments: dict[str, list[float]] | None
    """Mean and standard deviation by numeric column, where those are standardised."""
    counted: bool
    """Whether ids merge categories, so that each row needs the counts of its original ones beside them."""


@dataclass(frozen=True)
class Part:
    split: int
    index: int
    start: int
    rows: int

    @property
    def name(self) -> str:
        return f"{SPLITS[self.split]}/part-{self.index:05d}.parquet"


def write_vocabularies(
    vocabularies: dict[str, FieldVocabulary], folder: Path, pool: Executor
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Writes vocab/; gives each file's name, bytes and md5."""

    def write(field: str) -> tuple[str, dict[str, Any]]:
        name = f"vocab/{field}.parquet"
        vocabularies[field].write(field, folder / name)
        return name, known(folder / name)

    return pool.map(write, vocabularies)


def write_parts(encoded: Encoded, folder: Path, pool: Executor) -> Iterator[tuple[Part, dict[str, Any]]]:
    """Writes the parts of all splits, the same bytes on any number of threads; gives each one's bytes and md5."""
    rows = encoded.assigned.rows
    parts = [
        Part(split, index, start, min(PART_ROWS, rows[name] - start))
        for split, name in enumerate(SPLITS)
        for index, start in enumerate(range(0, rows[name], PART_ROWS))
    ]

    def write(part: Part) -> tuple[Part, dict[str, Any]]:
        _write(encoded, part, folder / part.name)
        return part, known(folder / part.name)

    return pool.map(write, parts)


def known(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "md5": files.md5(path)}


def _write(encoded: Encoded, part: Part, path: Path) -> None:
    """Packed deltas for ids and counts, a dictionary for numbers, no compression: small, and read at full speed."""
    types = _types(encoded)
    packed = {name: "DELTA_BINARY_PACKED" for name, kind in types.items() if kind in (np.int32, np.int64)}
    kept = encoded.spool.kept_types
    schema = pa.schema([*((name, pa.from_numpy_dtype(kind)) for name, kind in types.items()), *kept.items()])
    with pq.ParquetWriter(
        path,
        schema,
        compression="none",
        use_dictionary=[LABEL, *encoded.spool.columns.numeric],
        column_encoding=packed or None,
        write_statistics=False,
    ) as writer:
        for start in range(part.start, part.start + part.rows, ROW_GROUP_ROWS):
            stop = min(start + ROW_GROUP_ROWS, part.start + part.rows)
            columns = {name: pa.array(column) for name, column in _columns(encoded, part.split, start, stop).items()}
            columns.update({name: _kept(encoded, name, part.split, start, stop) for name in kept})
            writer.write_table(pa.table(columns, schema), row_group_size=ROW_GROUP_ROWS)


def _kept(encoded: Encoded, name: str, split: int, start: int, stop: int) -> pa.ChunkedArray:
    """A raw column of rows `start` … `stop - 1` of a split, as it is."""
    pieces = []
    for index, chosen in encoded.assigned.pieces(split, start, stop):
        column = encoded.spool.block(index).column(name)
        pieces.append(column[chosen] if isinstance(chosen, slice) else column.take(pa.array(chosen)))
    return pa.chunked_array(pieces, encoded.spool.kept_types[name])


def _types(encoded: Encoded) -> dict[str, type]:
    """A part's columns: label, numeric ones, ids, where needed counts, and the truth where it is known."""
    fields = encoded.vocabularies
    types: dict[str, type] = {LABEL: np.int8, **dict.fromkeys(encoded.spool.columns.numeric, np.float32)}
    types.update(dict.fromkeys(fields, np.int32))
    if encoded.counted:
        types.update({f"{name}_count": np.int64 for name in fields})
    if encoded.spool.has_truth:
        types[TRUTH] = np.float64
    return types


def _columns(encoded: Encoded, split: int, start: int, stop: int) -> dict[str, np.ndarray]:
    """The columns of rows `start` … `stop - 1` of a split."""
    spool, done = encoded.spool, 0
    columns: dict[str, np.ndarray] = {name: np.empty(stop - start, kind) for name, kind in _types(encoded).items()}
    for index, chosen in encoded.assigned.pieces(split, start, stop):
        block = spool.block(index)
        label_B = block.column(LABEL).to_numpy()[chosen]
        into = slice(done, done + len(label_B))
        columns[LABEL][into] = label_B
        for name in spool.columns.numeric:
            value_B = block.column(name).to_numpy()[chosen]
            moments = encoded.moments
            columns[name][into] = value_B if moments is None else numeric.standard(value_B, *moments[name])
        for name, vocabulary in encoded.vocabularies.items():
            numbers = spool.builders[name].numbers(index)
            place_B = block.column(name).to_numpy()[chosen]
            np.take(vocabulary.id_of_number[numbers], place_B, out=columns[name][into], mode="clip")
            if encoded.counted:
                counts = vocabulary.count_of_number[numbers]
                np.take(counts, place_B, out=columns[f"{name}_count"][into], mode="clip")
        if spool.has_truth:
            columns[TRUTH][into] = block.column(TRUTH).to_numpy()[chosen]
        done += len(label_B)
    assert done == stop - start
    return columns
