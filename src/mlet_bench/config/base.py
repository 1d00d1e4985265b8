"""What every section of a config is made of."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from mlet_bench.config.validation import describe_error
from mlet_bench.errors import UserError


class Section(BaseModel):
    """A part of the config: immutable, no unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _path(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # a file named 2024
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("the path is empty; give a file or folder, or null")
        if "\0" in value:
            raise ValueError("no path holds a null character")
        try:
            return Path(value).expanduser()
        except RuntimeError:
            raise ValueError("no user here has that name, so ~ names no folder") from None
    return value


def as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


OptionalPath = Annotated[Path | None, BeforeValidator(_path)]
RequiredPath = Annotated[Path, BeforeValidator(_path)]
Widths = Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(as_tuple)]
"""Widths of the hidden layers of an MLP, first to last."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
"""A word that can stand in a path."""


Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(as_tuple)]
"""Column names."""


SectionT = TypeVar("SectionT", bound=BaseModel)


def flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and scalars; a list of scalars is one value.

    >>> dict(flat({"emb": {"dim": 16}, "eval": {"buckets": [1, 10]}}))
    {'emb.dim': 16, 'eval.buckets': '[1, 10]'}
    """
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        for position, inner in enumerate(value):
            yield from flat(inner, f"{key}[{position}]")
    else:
        yield key, str(value) if isinstance(value, list) else value


def convert(schema: type[SectionT], values: Mapping[str, Any], where: str = "") -> SectionT:
    """`values` checked and typed by `schema`; UserError with one line for the first mistake.

    >>> from mlet_bench.config import HardwareConfig
    >>> convert(HardwareConfig, {"device": "cpu", "threads": 0}, "hardware")
    Traceback (most recent call last):
    ...
    mlet_bench.errors.UserError: hardware.threads=0: not allowed; allowed: a whole number >= 1 and <= 4096 or null.
    """
    try:
        return schema.model_validate(dict(values))
    except ValidationError as error:
        raise UserError(describe_error(error, schema, where)) from None
