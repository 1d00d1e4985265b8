"""The config of a comparison: its configurations, what is searched for each of them, and the budget."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

from mlet_bench.config.base import Section, as_tuple
from mlet_bench.config.command import RunSections
from mlet_bench.config.emb import MLETEmbConfig
from mlet_bench.config.emb_base import EmbConfig


def _searched(value: Any, info: ValidationInfo) -> Any:
    """A range as a tuple; ValueError says in words what a union of types cannot."""
    if not isinstance(value, list | tuple):
        return value
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in value)
    if len(value) != 2 or not numbers or not 0 < value[0] < value[1] < float("inf"):
        raise ValueError(f"search.{info.field_name}={list(value)}: a range is [low, high] with 0 < low < high")
    return tuple(float(end) for end in value)


Searched = Annotated[tuple[float, float] | Annotated[float, Field(gt=0)] | None, BeforeValidator(_searched)]
"""A range that is searched on a logarithmic scale, or one value for all trials, or null: what the config has."""
Counts = Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(as_tuple)]


class ArmOverrides(Section):
    overrides: str
    """As they were given."""
    emb: SerializeAsAny[EmbConfig]
    """The whole section that they make."""


class ArmsConfig(Section):
    overrides: Annotated[tuple[ArmOverrides, ...], BeforeValidator(as_tuple)]
    dims: Annotated[Counts, Field(min_length=1)] | None
    single: bool
    inner_per_dim: Annotated[tuple[Annotated[float, Field(gt=0)], ...], BeforeValidator(as_tuple)]
    inner: Counts | None
    frozen_per_dim: Annotated[tuple[Annotated[float, Field(gt=0)], ...], BeforeValidator(as_tuple)]

    @model_validator(mode="after")
    def _some(self) -> "ArmsConfig":
        grid = self.dims, self.inner_per_dim, self.inner, self.frozen_per_dim
        if self.overrides and any(grid):
            raise ValueError("arms: give either a list of overrides or arms.dims, arms.inner and so on, not both")
        if not (self.single or self.inner_per_dim or self.frozen_per_dim or self.inner is None or self.inner):
            raise ValueError("arms: none to compare; give arms.single=true, arms.inner_per_dim or arms.inner")
        return self


class SearchConfig(Section):
    lr: Searched
    emb_lr: Searched
    emb_lr_as: Literal["multiple", "absolute"]
    emb_l2: Searched
    emb_l2_zero: float = Field(ge=0, lt=1)
    """Share of the axis of `emb_l2` that stands for no L2 at all."""
    own_first: bool
    startup: int = Field(ge=1)

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """What is searched, and between which ends."""
        given = {"lr": self.lr, "emb_lr": self.emb_lr, "emb_l2": self.emb_l2}
        return {name: value for name, value in given.items() if isinstance(value, tuple)}


class TuneCommand(RunSections):
    arms: ArmsConfig
    search: SearchConfig
    trials: int = Field(ge=1)
    seed: int = Field(ge=0, lt=2**63)
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**63)], ...], BeforeValidator(as_tuple)]

    @field_validator("seeds")
    @classmethod
    def _different(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or len(set(value)) < len(value):
            raise ValueError(f"seeds={list(value)}: needs one or more different seeds, for example [1,2,3]")
        return value

    @model_validator(mode="after")
    def _sound(self) -> "TuneCommand":
        # emb=single would have lost the keys that only the factors have
        if not self.arms.overrides and type(self.emb) is not MLETEmbConfig:
            raise ValueError(f"emb.mode={self.emb.mode}: the modes of a comparison are given by arms=[emb=MODE,…]")
        if self.trials > 1 and not self.search.ranges:
            raise ValueError("search: nothing is searched; give search.lr=[low,high], or trials=1")
        return self
