"""manifest.json of a prepared folder, typed: what must stand in it before any of it is used."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mlet_bench.config.base import Name

MANIFEST_VERSION = 3
Count = Annotated[int, Field(ge=0)]
BySplit = dict[Literal["train", "valid", "test"], Count]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


class _Options(_Part):
    min_count: Annotated[int, Field(ge=1)]
    numeric_as: str
    train_share: float


class _Schema(_Part):
    numeric: list[str]
    categorical: list[str]
    kept: list[str] = Field(default_factory=list)


class _Field(_Part):
    field: str
    cardinality: Annotated[int, Field(ge=1)]
    categories: Count
    merged: Count
    merged_train_rows: Count


class _File(_Part):
    bytes: Count
    md5: str


class Manifest(_Part):
    version: Literal[3]
    name: Name
    fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{12}$")]
    """Both stand in paths."""
    options: _Options
    warnings: list[str]
    columns: _Schema = Field(alias="schema")
    split: str
    rows: Annotated[BySplit, Field(min_length=3)]
    positives: Annotated[BySplit, Field(min_length=3)]
    thinned: Count
    bad_rows: Count
    missing: dict[str, Count]
    truth: bool
    moments: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] | None
    fields_: list[_Field] = Field(alias="fields")
    vocabulary: str
    best: dict[str, Any] | None
    files: dict[str, _File]

    @model_validator(mode="after")
    def _one_entry_a_field(self) -> "Manifest":
        if [entry.field for entry in self.fields_] != self.columns.categorical:
            raise ValueError("fields: not those of the schema")
        return self
