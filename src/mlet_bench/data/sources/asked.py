"""Rows that a model is asked about: labels may be missing and are not looked at, other columns go along as they are."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from mlet_bench.data.sources.lines import Kind, Layout
from mlet_bench.data.sources.raw import KEPT
from mlet_bench.errors import UserError, listing, nearest


def asked_layout(path: Path, layout: Layout, label: str, kept: Sequence[str]) -> Layout:
    """The layout of a text file with what is wanted of labelled rows but the label, and with columns to be kept.

    UserError where a column is missing.
    """
    wanted: dict[str, Kind] = {name: kind for name, kind in layout.kinds.items() if name != label}
    kinds: dict[str, Kind] = {**dict.fromkeys(kept, "category"), **wanted}
    for name in kinds:
        if name not in layout.columns:
            raise UserError(missing_column(path, name, layout.columns, kept=name in kept))
    if len(set(layout.columns)) < len(layout.columns):
        raise UserError(f"{path}: line 1 names a column twice")
    return Layout(layout.columns, kinds, layout.delimiter, layout.header, known=layout.known)


def missing_column(path: Path, name: str, columns: Sequence[str], *, kept: bool) -> str:
    key = f"predict.keep={name}: {path} has no such column" if kept else f"{path}: has no column {name}"
    return f"{key}; it has {listing(columns)}.{nearest(name, columns)}"


def kept_columns(table: pa.Table, kept: Sequence[str]) -> dict[str, pa.ChunkedArray]:
    """Columns of a table to go along under their names behind KEPT, dictionaries as what stands in them."""
    columns = {}
    for name in kept:
        column = table.column(KEPT + name if KEPT + name in table.column_names else name)
        columns[KEPT + name] = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    return columns
