"""Rows that a trained model is asked about: read as the run's own were, encoded with its vocabulary, block by block.

B rows of a block, F sparse fields, N numeric columns.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlet_bench.config import DATASETS, DatasetConfig, SyntheticConfig, TableConfig, convert
from mlet_bench.data import READERS, Prepared, Split
from mlet_bench.data.prepare import numeric
from mlet_bench.data.prepare.spool import TRANSFORMS, Columns, dictionary_of
from mlet_bench.data.sources.raw import RawSource
from mlet_bench.data.sources.synthetic import SyntheticSource
from mlet_bench.errors import UserError, listing
from mlet_bench.system import files
from mlet_bench.system.shipped import shipped


def asked_source(prepared: Prepared, trained: DatasetConfig, raw: Path, keep: Sequence[str]) -> RawSource:
    """What reads `raw` as the rows of `prepared` were read: labels may be missing, columns of `keep` go along.

    Generated rows have no files of their own: theirs is a table with the same columns.
    """
    options = prepared.manifest["options"]
    reader, name = str(options["reader"]), prepared.name
    if trained.reader != reader or trained.name != name:  # the run was given a prepared folder
        place = next((path for word in (name, reader) if (path := shipped() / f"dataset/{word}.yaml").is_file()), None)
        if place is None or reader not in DATASETS:
            raise UserError(f"{prepared.folder}: was read as dataset={name}, which is not known here")
        trained = convert(DATASETS[reader], files.read_yaml(place), "dataset")
    changes: dict[str, object] = {"raw": raw, "prepared": None, "vocab": None, "bad_rows": "stop"}
    if isinstance(trained, SyntheticConfig):
        shape = SyntheticSource(trained.model_copy(update={"shape": options.get("shape", "criteo")}))
        trained = convert(TableConfig, files.read_yaml(shipped() / "dataset" / "table.yaml"), "dataset")
        changes |= {"label": "", "numeric": shape.numeric, "categorical": shape.categorical}
    elif isinstance(trained, TableConfig):
        changes |= _table(options)
    elif "hour_as" in type(trained).model_fields:
        changes["hour_as"] = options.get("hour_as", "fields")
    source = READERS[type(trained)](trained.model_copy(update=changes), keep)
    _check_columns(source, prepared)
    return source


def _table(options: dict[str, object]) -> dict[str, object]:
    """The keys of a table's config that decide which cells are whose, as they turned out."""
    columns, names = options["columns"], options.get("names")
    assert isinstance(columns, dict)
    header = options.get("header", True)
    return {
        "label": columns["label"],
        "numeric": tuple(columns["numeric"]),
        "categorical": tuple(columns["categorical"]),
        "missing": tuple(options["missing"]),  # type: ignore[arg-type]
        "encoding": options.get("encoding", "utf-8"),
        "columns": None if names is None else tuple(names),  # type: ignore[arg-type]
        "header": None if names is not None and not header else header,  # other files of theirs may have one
        "delimiter": None,
        "drop": (),
    }


def _check_columns(source: RawSource, prepared: Prepared) -> None:
    columns = Columns.of(source, prepared.manifest["options"]["numeric_as"])
    for what, theirs, ours in (
        ("fields", prepared.fields, columns.categorical),
        ("numeric columns", prepared.numeric, columns.numeric),
    ):
        if theirs != ours:
            raise UserError(
                f"{prepared.folder}: its {what} are {listing(theirs)}, the run's data set has {listing(ours)}"
            )


def blocks(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows, so many at a time; fewer at the end."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        while sum(map(len, held)) >= rows:
            whole = pa.concat_tables(held)
            yield from whole.slice(0, rows).combine_chunks().to_batches()
            held = [whole.slice(rows)]
    if sum(map(len, held)):
        yield from pa.concat_tables(held).combine_chunks().to_batches()


class RowEncoder:
    """Raw cells → ids and numbers, as the run's own rows were encoded; `unseen` counts what has no id of its own."""

    def __init__(self, prepared: Prepared, source: RawSource) -> None:
        options, self._moments = prepared.manifest["options"], prepared.manifest["moments"]
        self._columns = Columns.of(source, options["numeric_as"])
        self._vocabularies = [_Vocabulary(prepared, name) for name in prepared.fields]
        self.rows, self.unseen = 0, dict.fromkeys(prepared.fields, 0)
        """Rows so far, and by field how many of them hold a category that the training rows did not."""

    def encode(self, block: pa.RecordBatch) -> Split:
        """Labels are NaN."""
        rows, columns = len(block), self._columns
        ids_BF = np.empty((rows, len(columns.categorical)), np.int32)
        numeric_BN = np.empty((rows, len(columns.numeric)), np.float32)
        for index, name in enumerate(columns.numeric):
            value_B = TRANSFORMS[columns.numeric_as](block.column(name))
            numeric_BN[:, index] = value_B if self._moments is None else numeric.standard(value_B, *self._moments[name])
        for index, (name, vocabulary) in enumerate(zip(columns.categorical, self._vocabularies, strict=True)):
            cells = block.column(name)
            encoded = numeric.bucket(cells) if name in columns.bucketed else dictionary_of(cells)
            ids_BF[:, index] = vocabulary.ids(encoded.dictionary)[encoded.indices.to_numpy()]
            self.unseen[name] += int((ids_BF[:, index] == 0).sum())
        self.rows += rows
        return Split(ids_BF, numeric_BN, np.full(rows, np.nan, np.float32), None, None)


class _Vocabulary:
    def __init__(self, prepared: Prepared, field: str) -> None:
        table = prepared.vocabulary_table(field)
        self._values = table.column("value").combine_chunks().cast(pa.large_string())
        self._ids = table.column("id").to_numpy()
        cardinality = prepared.cardinalities[prepared.fields.index(field)]
        if len(self._ids) and not 0 <= self._ids.min() <= self._ids.max() < cardinality:
            raise UserError(f"{prepared.folder / 'vocab' / field}.parquet: an id is out of range")

    def ids(self, values: pa.Array) -> np.ndarray:
        """int32; 0 for a value that it does not have."""
        place = pc.fill_null(pc.index_in(values.cast(pa.large_string()), self._values), -1).to_numpy()
        ids = np.zeros(len(values), np.int32)
        ids[place >= 0] = self._ids[place[place >= 0]]
        return ids
