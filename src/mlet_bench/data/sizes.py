"""How many ids each field of a data set has, found without reading or preparing its rows."""

from dataclasses import dataclass

from mlet_bench.config import CriteoConfig, DatasetConfig, SyntheticConfig
from mlet_bench.data import existing_folder, source_for
from mlet_bench.data.prepare.pipeline import made_earlier
from mlet_bench.data.prepared import Prepared
from mlet_bench.data.sources import criteo
from mlet_bench.data.sources.synthetic import SyntheticSource
from mlet_bench.errors import UserError


@dataclass(frozen=True)
class Sizes:
    fields: tuple[str, ...]
    cardinalities: tuple[int, ...]
    """Ids of each field, those that stand for no single category included."""
    numeric: int
    """Numeric columns."""
    told_by: str
    """Where the numbers come from."""


def sizes_of(config: DatasetConfig) -> Sizes:
    """Of the prepared data, or before there are any as the config says them; UserError where nothing does."""
    if config.prepared is not None:
        return _prepared(Prepared.open(existing_folder(config.prepared)))
    if config.raw is not None or isinstance(config, SyntheticConfig):
        source = source_for(config)
        made = made_earlier(source, config)
        if made is not None:
            return _prepared(made)
        if isinstance(source, SyntheticSource):
            counts = tuple(source.shape.cardinalities.values())
            return _unread(config, source.categorical, counts, len(source.numeric), "the shape of the generated rows")
    if isinstance(config, CriteoConfig) and config.cardinalities is not None:
        numeric = len(criteo.NUMERIC)
        return _unread(config, criteo.CATEGORICAL, config.cardinalities, numeric, "dataset.cardinalities")
    raise UserError(
        f"plan=true: dataset={config.name} is not prepared yet, so nothing says how many categories its fields have; "
        "`mlet-bench prepare` makes it, dataset.prepared= names it, and dataset=criteo_1tb and criteo take "
        "dataset.cardinalities="
    )


def _prepared(made: Prepared) -> Sizes:
    return Sizes(made.fields, made.cardinalities, len(made.numeric), str(made.folder))


def _unread(
    config: DatasetConfig, fields: tuple[str, ...], counts: tuple[int, ...], numeric: int, told_by: str
) -> Sizes:
    """With the ids that `prepare` reserves; a category too rare for `min_count` is among the counts."""
    if config.min_count > 1:
        told_by += f", which knows no dataset.min_count={config.min_count}"
    return Sizes(fields, tuple(1 + count for count in counts), numeric, told_by)
