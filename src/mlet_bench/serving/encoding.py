"""How a raw row becomes ids and numbers: the vocabulary as Parquet, the numeric columns' scaling as JSON."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlet_bench.data import Prepared
from mlet_bench.system import files

VOCABULARY, ENCODING = "vocabulary.parquet", "encoding.json"
SCHEMA = pa.schema([("field", pa.string()), ("value", pa.string()), ("id", pa.int64())])
FORMULAS = {
    "log1p": "ln(max(x, 0) + 1), missing as 0, in float32",
    "bucket": "a category, a whole number: floor(ln(x)^2) above 2, else x without its fraction; missing as 0",
    "standard": "(x - mean) / standard deviation in float64, missing as 0, then float32",
    "as_is": "x, missing as 0, in float32",
}


def write_encoding(prepared: Prepared, folder: Path) -> None:
    """Both files. A category that the vocabulary does not have gets id 0, a missing cell is the category ""."""
    with pq.ParquetWriter(folder / VOCABULARY, SCHEMA) as writer:
        for field in prepared.fields:
            table = prepared.vocabulary_table(field)
            columns = [pa.repeat(field, len(table)), table.column("value"), table.column("id")]
            writer.write_table(pa.table(dict(zip(SCHEMA.names, columns, strict=True))).cast(SCHEMA))
    files.write_json(folder / ENCODING, encoding(prepared))


def encoding(prepared: Prepared) -> dict[str, Any]:
    """Fields and numeric columns in the order of the model's inputs, and what is done to their cells."""
    options, manifest = prepared.manifest["options"], prepared.manifest
    numeric_as = str(options["numeric_as"])
    moments = manifest["moments"] or {}
    return {
        "version": 1,
        "fields": list(prepared.fields),
        "unknown_id": 0,
        "missing": "",
        "numeric": list(prepared.numeric),
        "numeric_as": numeric_as,
        "formula": FORMULAS[numeric_as],
        "mean_and_deviation": {name: moments[name] for name in prepared.numeric if name in moments},
        "reader": options.get("reader"),
        "vocabulary": prepared.vocabulary,
    }
