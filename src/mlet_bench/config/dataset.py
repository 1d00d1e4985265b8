"""The sections of the data sets, by their readers."""

import codecs
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from mlet_bench.config.base import Name, Names, OptionalPath, Section, as_tuple


def _three_shares(value: tuple[float, ...]) -> tuple[float, ...]:
    if len(value) != 3 or abs(sum(value) - 1) > 1e-6:
        raise ValueError("dataset.shares: needs three shares, of train, valid and test, that add up to 1")
    return value


Shares = Annotated[
    tuple[Annotated[float, Field(gt=0, lt=1)], ...], BeforeValidator(as_tuple), AfterValidator(_three_shares)
]
"""Of train, valid and test."""


def _positive(value: Any) -> Any:
    """A threshold such as >=4, or a word."""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value) if isinstance(value, int | float) else value
    if isinstance(text, str) and not re.fullmatch(
        r"\s*(?:[<>]=?|==?)\s*[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?\s*|[^<>=].*", text
    ):
        raise ValueError("needs a sign and a number, as >=4, or a word")
    return text


class DatasetConfig(Section):
    """What every data set has."""

    name: Name
    reader: str
    raw: OptionalPath
    prepared: OptionalPath
    vocab: OptionalPath
    min_count: int = Field(ge=1)
    numeric_as: Literal["log1p", "bucket", "standard", "as_is"]
    train_share: float = Field(gt=0, le=1)
    bad_rows: Literal["stop", "skip"]
    max_bad_share: float = Field(ge=0, le=1)
    item_field: str | None
    group: str | None = None  # a default, because configs of runs made before it do not have it
    seed: int = Field(ge=0)

    @property
    def kept(self) -> tuple[str, ...]:
        """Raw columns that prepared rows carry."""
        return ()


class SyntheticConfig(DatasetConfig):
    reader: Literal["synthetic"]
    rows: int = Field(ge=60)
    structure: Literal["shared", "independent"]
    rank: int = Field(ge=1)
    vector_dim: int = Field(ge=1)
    best_auc: float = Field(gt=0.5, lt=1)
    shape: Literal["criteo", "avazu"] = "criteo"
    """A default, because configs of runs made before it do not have it."""


def _of_every_field(value: tuple[int, ...] | None) -> tuple[int, ...] | None:
    if value is not None and len(value) != CRITEO_FIELDS:
        raise ValueError(f"dataset.cardinalities: needs {CRITEO_FIELDS} numbers, C1 first; here are {len(value)}")
    return value


CRITEO_FIELDS = 26


class CriteoConfig(DatasetConfig):
    reader: Literal["criteo"]
    split: Literal["time", "random", "test"]
    shares: Shares
    cardinalities: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...] | None, BeforeValidator(as_tuple), AfterValidator(_of_every_field)
    ] = None
    """Categories of each field, known before the rows are read; `plan=true` alone looks at them."""


class AvazuConfig(DatasetConfig):
    reader: Literal["avazu"]
    split: Literal["time", "random", "test"]
    shares: Shares
    hour_as: Literal["fields", "numeric"] = "fields"
    """A default, because configs of runs made before it do not have it."""


class BarsConfig(DatasetConfig):
    """A ready-split set of csv files: train, valid and test."""

    reader: Literal["bars"]
    label: str
    numeric: Names
    categorical: Names
    hour: str | None
    """The column of times written YYMMDDHH, of which an hour, a weekday and a weekend field are made."""
    drop: Names
    md5: dict[Literal["train", "valid", "test"], Annotated[str, Field(pattern="^[0-9a-f]{32}$")]]


class MovieLens1MConfig(DatasetConfig):
    reader: Literal["movielens1m"]
    split: Literal["time", "random", "test"]
    shares: Shares


def _tab(value: Any) -> Any:
    r"""A tab as people write it in a shell: \\t."""
    return "\t" if value == "\\t" else value


def _divides(value: str) -> str:
    if not value.isascii() or value in '"\r\n':
        raise ValueError("no cell can end with it; allowed: an ASCII character other than a quote or a line's end")
    return value


def _each_once(value: tuple[str, ...] | None) -> tuple[str, ...] | None:
    twice = [name for name in value or () if (value or ()).count(name) > 1]
    if twice:
        raise ValueError(f"dataset.columns: names {twice[0]} twice")
    return value


def _encoding(value: str) -> str:
    """Its usual name. ASCII must be in it what it is in UTF-8: rows and cells end with the same bytes."""
    plain = bytes(range(128))
    try:
        if plain.decode(value) == plain.decode("ascii"):
            return codecs.lookup(value).name
    except (LookupError, ValueError):
        pass
    raise ValueError("not an ASCII-compatible encoding of text; allowed: utf-8, latin-1, cp1252, gb18030 and others")


def _without_doubles(value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value))


class TableConfig(DatasetConfig):
    """The user's own csv or Parquet."""

    reader: Literal["table"]
    label: str | None
    positive: Annotated[str | None, BeforeValidator(_positive)] = None
    """A default, because configs of runs made before it do not have it."""
    numeric: Names | None
    categorical: Names | None
    drop: Names
    delimiter: Annotated[str, Field(min_length=1, max_length=1), BeforeValidator(_tab), AfterValidator(_divides)] | None
    header: bool | None = None
    columns: Annotated[Names | None, AfterValidator(_each_once)] = None
    encoding: Annotated[str, AfterValidator(_encoding)] = "utf-8"
    """Defaults, because configs of runs made before these keys do not have them."""
    missing: Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
    keep: Annotated[Names, AfterValidator(_without_doubles)] = ()
    """A default, because configs of runs made before it do not have it."""
    split: Literal["auto", "random", "order", "time", "column", "files", "test"]
    split_column: str | None
    time_column: str | None
    shares: Shares

    @property
    def kept(self) -> tuple[str, ...]:
        return self.keep


DATASETS: dict[str, type[DatasetConfig]] = {
    "synthetic": SyntheticConfig,
    "criteo": CriteoConfig,
    "avazu": AvazuConfig,
    "bars": BarsConfig,
    "movielens1m": MovieLens1MConfig,
    "table": TableConfig,
}
