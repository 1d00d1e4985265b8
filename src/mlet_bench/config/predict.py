"""The schema of `predict`."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from mlet_bench.config.base import Names, OptionalPath, RequiredPath, Section
from mlet_bench.config.command import EvaluateHardware, FinishedRun

PREDICTED = ("row", "probability")
"""The columns that predict writes itself."""


def _rows_given(value: Any) -> Any:
    if value is None:
        raise ValueError("give the file of rows, a folder or a glob")
    return value


def _beside(value: tuple[str, ...]) -> tuple[str, ...]:
    taken = [name for name in value if name in PREDICTED]
    if taken:
        raise ValueError(f"predict.keep={taken[0]}: the predictions already have a column of that name")
    return tuple(dict.fromkeys(value))


class AskedData(Section):
    raw: Annotated[RequiredPath, BeforeValidator(_rows_given)]
    prepared: OptionalPath


class PredictSection(Section):
    keep: Annotated[Names, AfterValidator(_beside)]
    format: Literal["parquet", "csv"]


class PredictCommand(Section):
    run: FinishedRun
    dataset: AskedData
    predict: PredictSection
    hardware: EvaluateHardware
