"""The sections of the embedding modes, by their names; adding a mode is a section, or one that is there, and a line."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from mlet_bench.config.emb_base import EmbConfig, Role, SmallerEmbConfig, without_factors

Shrink = Literal["alike", "cap"]


class SingleEmbConfig(EmbConfig):
    role: ClassVar[Role] = "baseline"

    @field_validator("inner", "inner_std", "l2_on", mode="after")
    @classmethod
    def _has_no_factors(cls, value: Any, info: ValidationInfo) -> Any:
        return without_factors(value, info)


class MLETEmbConfig(EmbConfig):
    role: ClassVar[Role] = "method"

    @field_validator("inner", mode="after")
    @classmethod
    def _inner_is_given(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is None:
            raise ValueError(f"emb={info.data['mode']} needs an inner dimension; allowed: a whole number >= 1")
        return value


class FrozenMLETEmbConfig(MLETEmbConfig):
    """W2 is not trained."""

    role: ClassVar[Role] = "control"


class _HashedEmbConfig(SmallerEmbConfig):
    """Modes that hash the ids of large fields."""

    shrink: Shrink = "alike"
    """Which fields do: all by the same share, or those that are larger than one largest number of rows."""

    @property
    def not_in_fingerprint(self) -> set[str]:
        return super().not_in_fingerprint | ({"shrink"} if self.shrink == "alike" else set())


class HashEmbConfig(_HashedEmbConfig):
    """Ids of a large field share rows by modulo."""


class QREmbConfig(SmallerEmbConfig):
    """Quotients and remainders."""

    compose: Literal["product", "sum", "concat"]
    """How a vector is made of its two rows."""
    start: Literal["symmetric", "dlrm"]
    """Of a product: both tables symmetric around 0, or facebookresearch/dlrm's remainders between √(1/n) and 1."""

    @model_validator(mode="after")
    def _halves_fit(self) -> Self:
        if self.compose == "concat" and self.dim % 2:
            raise ValueError(f"emb.dim={self.dim} with emb.compose=concat: allowed: even numbers")
        if self.start == "dlrm" and self.inner is not None:
            raise ValueError("emb.start=dlrm with emb.inner: allowed: emb.start=symmetric")
        return self


class MixedEmbConfig(SmallerEmbConfig):
    """Widths that fall with a field's size."""


class _PooledEmbConfig(SmallerEmbConfig):
    """Modes in which training says which rows, or parts of them, there are."""

    @model_validator(mode="after")
    def _factors_alone(self) -> Self:
        if self.l2 > 0 and self.inner is not None and self.l2_on == "product":
            raise ValueError(f"emb.l2_on=product with emb={self.mode}: allowed with emb.inner: factors")
        return self


class PrunedEmbConfig(_PooledEmbConfig):
    """Only the most useful pieces of vectors have a row."""

    pieces: int = Field(ge=1)
    """Of each vector; emb.dim is a multiple."""
    check_every: int = Field(ge=1)
    """Steps between two looks at who is most useful."""
    decay: float = Field(gt=0, le=1)
    """What utility is multiplied with at each look."""
    changed: float = Field(ge=0, le=1)
    """Share of the rows that has to move at least, or none does."""

    @model_validator(mode="after")
    def _pieces_fill_the_vector(self) -> Self:
        if self.dim % self.pieces:
            raise ValueError(f"emb.pieces={self.pieces}: allowed: divisors of emb.dim={self.dim}")
        return self


class FIITEDEmbConfig(PrunedEmbConfig):
    """Pieces of vectors."""


class AdaEmbedEmbConfig(PrunedEmbConfig):
    """Whole vectors."""


class _NoRows(SmallerEmbConfig):
    """Modes that read no rows of a table, so that there is nothing to train in two layers."""

    @field_validator("inner", mode="after")
    @classmethod
    def _reads_no_rows(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None:
            raise ValueError(f"emb={info.data['mode']} reads no rows of a table; allowed: emb.inner=null")
        return value


class LPTEmbConfig(SmallerEmbConfig):
    """Integers while training, with one fixed scale; with `inner` W1's, and the product is served as integers."""

    rows_alone: ClassVar[bool] = True
    bits: Literal[8, 4]
    scale: float = Field(gt=0)
    """What an integer stands for; ALPT's at the start."""

    @model_validator(mode="after")
    def _two_in_a_byte(self) -> Self:
        if self.bits == 4 and self.dim % 2:
            raise ValueError(f"emb.dim={self.dim} with emb.bits=4: allowed: even numbers")
        return self


class ALPTEmbConfig(LPTEmbConfig):
    """With a learned scale a row."""

    scale_lr: float = Field(gt=0)
    """Learning rate of the scales."""

    @model_validator(mode="after")
    def _is_smaller(self) -> Self:
        if self.dim == 1:
            raise ValueError(f"emb.dim=1 with emb={self.mode}: a scale is as large as a row; allowed: 2 or more")
        return self

    @field_validator("inner", mode="after")
    @classmethod
    def _is_no_product(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None:
            raise ValueError(
                f"emb={info.data['mode']} learns scales of the rows that it serves; allowed: emb.inner=null"
            )
        return value


class CAFEEmbConfig(_PooledEmbConfig, _HashedEmbConfig):
    """Hot categories have a row of their own, the others a hashed one."""

    hash_share: float | None = Field(gt=0, lt=1)
    """Of what the ratio allows, for the hashed rows; null: the paper's for the ratio."""
    threshold: float | None = Field(gt=0)
    """A category is hot from this importance on, in mean gradients of its field; null: the paper's for the ratio."""
    decay: float = Field(gt=0, le=1)
    """What importance is multiplied with from time to time."""


class PEPEmbConfig(_PooledEmbConfig):
    """The numbers of a table that a search finds worth keeping."""

    thresholds: Literal["global", "dimension", "feature", "feature_dimension"]
    """What the search has a threshold for: the table, each of the d dimensions, each id, or each number of each."""
    threshold_start: float = Field(le=0)
    """s, of which the threshold is sigmoid(s)."""

    @property
    def search(self) -> EmbConfig | None:
        return None if isinstance(self, PEPSearchEmbConfig) else PEPSearchEmbConfig.model_validate(self.model_dump())


class PEPSearchEmbConfig(PEPEmbConfig):
    """The search of such a run; no user names it."""


class TTEmbConfig(_NoRows):
    """Tensor trains of three cores."""


class ROBEEmbConfig(_NoRows):
    """Pieces of one shared array."""

    piece: int | None = Field(ge=1)
    """Numbers that are read one after the other; emb.dim is a multiple; null: emb.dim."""

    @model_validator(mode="after")
    def _pieces_fill_the_vector(self) -> Self:
        if self.piece is not None and self.dim % self.piece:
            raise ValueError(f"emb.piece={self.piece}: allowed: divisors of emb.dim={self.dim}")
        return self


class DHEEmbConfig(_NoRows):
    """Hashes and a network."""

    hashes: int = Field(ge=1)
    """Of an id, each a number in [-1, 1]."""
    layers: int = Field(ge=1)
    """Hidden ones of the network."""


EMBEDDINGS: dict[str, type[EmbConfig]] = {
    "single": SingleEmbConfig,
    "mlet": MLETEmbConfig,
    "mlet_frozen": FrozenMLETEmbConfig,
    "hash": HashEmbConfig,
    "qr": QREmbConfig,
    "mixed": MixedEmbConfig,
    "tt": TTEmbConfig,
    "robe": ROBEEmbConfig,
    "dhe": DHEEmbConfig,
    "cafe": CAFEEmbConfig,
    "adaembed": AdaEmbedEmbConfig,
    "fiited": FIITEDEmbConfig,
    "pep": PEPEmbConfig,
    "lpt": LPTEmbConfig,
    "alpt": ALPTEmbConfig,
}


def mode_of(section: type[EmbConfig]) -> str:
    """The name of a mode.

    >>> mode_of(SingleEmbConfig)
    'single'
    """
    return next(name for name, known in EMBEDDINGS.items() if known is section)


def single_of(config: EmbConfig) -> SingleEmbConfig:
    """A standard embedding of the same width, with everything else alike."""
    shared = {name: value for name, value in config.model_dump().items() if name in SingleEmbConfig.model_fields}
    return SingleEmbConfig.model_validate({**shared, "mode": mode_of(SingleEmbConfig)})
