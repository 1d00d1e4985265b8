"""What each column of the user's own table is for: as the config names it, else by its name and type."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mlet_bench.config import TableConfig
from mlet_bench.data.sources.raw import KEY, LABEL, TRUTH
from mlet_bench.errors import UserError, listing, nearest

LABELS = ("label", "click", "clicked", "target", "y")


@dataclass(frozen=True)
class Roles:
    """What each column is for."""

    label: str
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    dropped: tuple[str, ...]
    key: str | None
    """The column that the split goes by."""
    guessed: dict[str, tuple[str, ...]]
    """The columns that the config does not name, by what they were taken for."""


def named_roles(config: TableConfig) -> Roles:
    """Where the config names the label and all columns that are used."""
    assert config.label is not None
    return Roles(config.label, config.numeric or (), config.categorical or (), (), None, {})


def roles_of(config: TableConfig, schema: dict[str, pa.DataType], path: Path, hint: str) -> Roles:
    """The columns' roles: as the config names them, the rest by name and type.

    hint: what may be wrong where the columns are not those that are looked for.
    """
    named = {
        "label": (config.label,) if config.label else (),
        "numeric": config.numeric or (),
        "categorical": config.categorical or (),
        "drop": config.drop,
        "split_column": (config.split_column,) if config.split_column else (),
        "time_column": (config.time_column,) if config.time_column else (),
    }
    seen: dict[str, str] = {}
    for key, columns in named.items():
        for name in columns:
            if name not in schema:
                raise UserError(f"dataset.{key}={name}: {path.name} has no such column; it has {listing(schema)}."
                                f"{hint or nearest(name, schema)}")  # fmt: skip
            if name in seen and key != "time_column":
                raise UserError(f"dataset.{key}={name}: the column is named under dataset.{seen[name]} too")
            seen[name] = key
    for name in config.keep:
        if name not in schema:
            raise UserError(f"dataset.keep={name} (eval.keep): {path.name} has no such column; it has "
                            f"{listing(schema)}.{hint or nearest(name, schema)}")  # fmt: skip
    for split, key in (("column", "split_column"), ("time", "time_column")):
        if (config.split == split) != bool(named[key]):
            raise UserError(f"dataset.split={config.split}: dataset.{key} goes with split={split}, and that needs it")
    label = config.label or next(
        (name for word in LABELS for name in schema if name.lower() == word and name not in seen), None
    )
    if label is None:
        raise UserError(f"dataset.label: none of the columns of {path.name} is named {listing(LABELS)}; "
                        f"choose one of {listing(schema)}.{hint}")  # fmt: skip
    rest = [name for name in schema if name and name not in seen and name != label]  # a nameless one is an index
    guessed_numeric = [] if config.numeric is not None else [n for n in rest if pa.types.is_floating(schema[n])]
    times_ = [n for n in rest if pa.types.is_temporal(schema[n]) or pa.types.is_nested(schema[n])]
    taken = {*guessed_numeric, *times_}
    guessed_categorical = [] if config.categorical is not None else [n for n in rest if n not in taken]
    numeric = (*named["numeric"], *guessed_numeric)
    categorical = (*named["categorical"], *guessed_categorical)
    guessed = {"label": [] if config.label else [label], "numeric": guessed_numeric, "categorical": guessed_categorical}
    used = {label, *numeric, *categorical, *named["split_column"], *named["time_column"]}
    if not categorical:
        raise UserError("dataset.categorical: at least one column is needed")
    reserved = {LABEL, KEY, TRUTH} & {*numeric, *categorical}
    if reserved:
        raise UserError(f"dataset.categorical: a column cannot be named {listing(reserved)}; rename it")
    return Roles(
        label=label,
        numeric=numeric,
        categorical=categorical,
        dropped=tuple(name for name in schema if name not in used),
        key=next(iter((*named["split_column"], *named["time_column"])), None),
        guessed={key: tuple(columns) for key, columns in guessed.items() if columns},
    )
