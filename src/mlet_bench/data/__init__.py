"""Raw files → Parquet → batches."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mlet_bench.config import (
    AvazuConfig,
    BarsConfig,
    CriteoConfig,
    DatasetConfig,
    MovieLens1MConfig,
    SyntheticConfig,
    TableConfig,
)
from mlet_bench.data.prepare.pipeline import Progress, Summary, found_before, prepare
from mlet_bench.data.prepared import Prepared
from mlet_bench.data.rows import Split
from mlet_bench.data.sources.avazu import AvazuSource
from mlet_bench.data.sources.bars import BarsSource
from mlet_bench.data.sources.criteo import CriteoSource
from mlet_bench.data.sources.movielens1m import MovieLens1MSource
from mlet_bench.data.sources.raw import RawSource
from mlet_bench.data.sources.synthetic import SyntheticSource
from mlet_bench.data.sources.table import TableSource
from mlet_bench.data.splits import SPLITS
from mlet_bench.errors import UserError, listing, nearest, nearest_beside

__all__ = [
    "READERS",
    "SPLITS",
    "Prepared",
    "Split",
    "check",
    "check_field",
    "check_kept",
    "made_before",
    "prepare",
    "prepared_for",
    "source_for",
]

READERS: dict[type[DatasetConfig], Callable[..., RawSource]] = {
    SyntheticConfig: SyntheticSource,
    CriteoConfig: CriteoSource,
    AvazuConfig: AvazuSource,
    BarsConfig: BarsSource,
    MovieLens1MConfig: MovieLens1MSource,
    TableConfig: TableSource,
}
"""What reads the rows of a config. A second argument makes them rows that a model is asked about, whose labels may be
missing: it names the raw columns that go along."""


def source_for(config: DatasetConfig) -> RawSource:
    return READERS[type(config)](config)


def check(config: DatasetConfig) -> None:
    """Whether the data can be had, before anything is created; UserError if not."""
    if config.prepared is not None:
        prepared = Prepared.open(existing_folder(config.prepared))
        check_kept(config.kept, prepared)
        fields = prepared.fields
    else:
        source = source_for(config)
        found_before(source, config)
        fields = source.categorical
    check_field("item_field", config.item_field, fields)
    check_field("group", config.group, fields)


def check_field(key: str, name: str | None, fields: Sequence[str]) -> None:
    """UserError if `dataset.<key>` names none of the fields of a data set."""
    if name is not None and name not in fields:
        raise UserError(f"dataset.{key}={name}: no such field; allowed: {listing(fields)}.{nearest(name, fields)}")


def check_kept(names: Sequence[str], prepared: Prepared) -> None:
    """UserError if rows that are prepared do not carry these raw columns."""
    for name in names:
        if name not in prepared.kept:
            having = listing(prepared.kept) or "no raw columns"
            raise UserError(
                f"keep={name}: {prepared.folder} keeps {having}; prepare it again with dataset.keep=[{name}]"
            )


def made_before(config: DatasetConfig) -> Prepared | None:
    """The prepared data of a config if they are there; UserError if they are not, and cannot be made."""
    if config.prepared is not None:
        return Prepared.open(existing_folder(config.prepared))
    return found_before(source_for(config), config)


def prepared_for(config: DatasetConfig, *, best: Summary, progress: Progress) -> Prepared:
    """The prepared data of a config: the folder that it names, or the one made from its raw rows."""
    if config.prepared is not None:
        return Prepared.open(existing_folder(config.prepared))
    return prepare(source_for(config), config, best=best, progress=progress)


def existing_folder(path: Path) -> Path:
    if not path.is_dir():
        raise UserError(f"dataset.prepared={path}: no such folder.{nearest_beside(path, folders=True)}")
    return path
