"""What the sections of all embedding modes share, and those of modes that serve fewer numbers."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from mlet_bench.config.base import Name, Section

Role = Literal["baseline", "method", "control", "rival"]


class EmbConfig(Section):
    """What every mode has."""

    rows_alone: ClassVar[bool] = False
    """Whether nothing but the rows of a batch can be moved."""
    role: ClassVar[Role] = "rival"
    """What a report takes the mode for: that which gains are measured over, the method that the paper's claims are
    about, a control that explains a gain and is no offer itself, or another way to make vectors."""
    mode: Name
    dim: int = Field(ge=1)
    """d, the width of an embedding."""
    inner: int | None = Field(ge=1)
    """k, the inner dimension of modes that train a product of two factors."""
    lr: float | None = Field(gt=0)
    """Learning rate of the embeddings and of first-order weights; null: train.lr."""
    l2: float = Field(ge=0)
    """Strength of L2 on the embeddings."""
    l2_on: Literal["factors", "product"]
    l2_rows: Literal["batch", "table"]
    table_init: Literal["dlrm", "glorot"] = "dlrm"
    """The start of a table of n rows: uniform ±1/√n, or Glorot's."""
    init_std: float | None = Field(gt=0)
    """Standard deviation of an entry of the table at the start, instead of `table_init`'s."""
    inner_std: float | None = Field(default=None, gt=0)
    """Standard deviation of an entry of W2 at the start; null: 1/√k."""
    ratio: float | None = Field(default=None, gt=0, le=1)
    """Numbers of 4 bytes served, over those of the standard embedding of the same width; of modes that serve fewer,
    null in others whatever was given."""
    min_rows: int | None = Field(default=None, ge=0)
    """Fields with fewer ids stay whole; likewise."""

    @field_validator("ratio", "min_rows", mode="after")
    @classmethod
    def _only_where_it_is_used(cls, value: Any) -> Any:
        return value if issubclass(cls, SmallerEmbConfig) else None

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.init_std is not None and self.table_init != "dlrm":
            raise ValueError(f"emb.init_std={self.init_std} and emb.table_init={self.table_init}: give one of them")
        return self

    @property
    def not_in_fingerprint(self) -> set[str]:
        """Keys that are younger than fingerprints, where they change nothing."""
        defaults = {"table_init": "dlrm", "inner_std": None, "ratio": None, "min_rows": None}
        return {name for name, default in defaults.items() if getattr(self, name) == default}

    @property
    def described(self) -> dict[str, Any]:
        """What a result says of the embedding: its widths, and the keys that its mode alone has."""
        known = {*EmbConfig.model_fields, *self.not_in_fingerprint}
        own = {name: getattr(self, name) for name in type(self).model_fields if name not in known}
        if self.min_rows is not None:
            own["min_rows"] = self.min_rows
        return {"mode": self.mode, "dim": self.dim, "inner": self.inner, "ratio": self.ratio, **own}

    @property
    def search(self) -> "EmbConfig | None":
        """Of a training that comes first, of which this section's takes over what it found; None: there is none."""
        return None


def without_factors(value: Any, info: ValidationInfo) -> Any:
    """A standard embedding has none: whatever was given for them makes the same run."""
    return "product" if info.field_name == "l2_on" else None


class SmallerEmbConfig(EmbConfig):
    """Modes that serve fewer numbers; with `inner` the rows that they read are trained as MLET's."""

    ratio: float = Field(gt=0, le=1)
    min_rows: int = Field(ge=0)

    @field_validator("inner_std", "l2_on", mode="after")
    @classmethod
    def _factors_come_with_inner(cls, value: Any, info: ValidationInfo) -> Any:
        return without_factors(value, info) if info.data.get("inner") is None else value
