"""The sections that commands share, and one schema for every command."""

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from mlet_bench.config.base import Name, Names, OptionalPath, RequiredPath, Section, SectionT, as_tuple, convert
from mlet_bench.config.dataset import DATASETS, DatasetConfig
from mlet_bench.config.emb import EMBEDDINGS
from mlet_bench.config.emb_base import EmbConfig
from mlet_bench.config.hardware import HardwareConfig
from mlet_bench.errors import UserError, listing, nearest


def monitored(monitor: str, auc: float | None, logloss: float) -> float | None:
    """The quantity on validation that chooses, `train.monitor`'s: the higher the better. None: it needs the AUC.

    >>> monitored("auc_minus_logloss", 0.75, 0.5)
    0.25
    """
    if monitor == "logloss":
        return -logloss
    return auc if auc is None or monitor == "auc" else auc - logloss


def monitored_name(monitor: str) -> str:
    """What `monitored` gives, in words.

    >>> monitored_name("logloss")
    '-logloss'
    """
    return "-logloss" if monitor == "logloss" else monitor


class TrainConfig(Section):
    batch_size: int = Field(ge=1)
    epochs: int = Field(ge=1)
    optimizer: Literal["adam", "sgd", "adagrad", "rowwise_adagrad"]
    lr: float = Field(gt=0)
    update: Literal["lazy", "exact"]
    clip_norm: float | None = Field(gt=0)
    eval_every: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, le=1)] | None
    """As Lightning's val_check_interval: a whole number of steps, or a share of an epoch with a point."""
    monitor: Literal["auc", "logloss", "auc_minus_logloss"]
    min_gain: float = Field(ge=0)
    patience: int | None = Field(ge=1)
    plateau_factor: float | None = Field(gt=0, lt=1)
    min_lr: float = Field(ge=0)
    checkpoint_minutes: float = Field(gt=0)
    shuffle_gb: float = Field(gt=0)
    spectra: bool = False
    """The one key with a default here: configs of runs that were made before there was this key can still be read."""

    @property
    def not_in_fingerprint(self) -> set[str]:
        """Keys that change nothing that a run writes; `spectra` adds a file where it is true."""
        return {"checkpoint_minutes", "shuffle_gb"} | (set() if self.spectra else {"spectra"})


PREDICTED = ("row", "label", "logit", "probability")
"""The columns of predictions.parquet."""


def _each_once(value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value))


def _beside_predictions(value: tuple[str, ...]) -> tuple[str, ...]:
    taken = [name for name in value if name in PREDICTED]
    if taken:
        raise ValueError(f"keep={taken[0]}: predictions.parquet already has a column of that name; rename the raw one")
    return _each_once(value)


Kept = Annotated[Names, AfterValidator(_beside_predictions)]
"""Raw columns that go with the predictions of their rows."""


class EvalConfig(Section):
    buckets: Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(as_tuple)]
    batch_size: int = Field(ge=1)
    keep: Kept = ()
    """A default, because configs of runs made before it do not have it."""

    @property
    def not_in_fingerprint(self) -> set[str]:
        """Keys that change nothing that a run writes: `keep` where it is empty."""
        return set() if self.keep else {"keep"}

    @field_validator("buckets")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or value[0] != 1 or any(a >= b for a, b in itertools.pairwise(value)):
            raise ValueError("eval.buckets: needs rising counts that begin with 1, for example [1,10,100]")
        return value


class ModelSection(BaseModel):
    """A model's name and its settings, which the model's own schema checks."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: Name

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


def _none_or_more(value: Any) -> Any:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else as_tuple(value)


Reference = Literal[
    "criteo_dlrm",
    "avazu_dlrm",
    "avazu_widedeep",
    "avazu_deepfm",
    "avazu_xdeepfm",
    "avazu_dcn",
    "avazu_autoint",
    "avazu_nfm",
]
"""The experiments of the MLET paper, whose printed figures a report sets beside runs that name them."""

Loggers = Annotated[
    tuple[Literal["tensorboard", "mlflow"], ...], BeforeValidator(_none_or_more), AfterValidator(_each_once)
]
"""One or several, each once; null: none."""


class RunSections(Section):
    """What a run is made of, whichever command starts it."""

    dataset: SerializeAsAny[DatasetConfig]
    model: ModelSection
    emb: SerializeAsAny[EmbConfig]
    hardware: HardwareConfig
    train: TrainConfig
    eval: EvalConfig
    logger: Loggers = ()  # a default, because configs of runs made before it do not have it
    reference: Reference | None = None


class TrainCommand(RunSections):
    seed: int = Field(ge=0, lt=2**63)
    rerun: bool
    plan: bool = False
    """A default, because configs of runs made before it do not have it."""

    @model_validator(mode="after")
    def _table_l2(self) -> "TrainCommand":
        if self.emb.l2 > 0 and self.emb.l2_rows == "table" and self.train.update != "exact":
            raise ValueError("emb.l2_rows=table moves every row in every step: it needs train.update=exact")
        return self


class PrepareCommand(Section):
    dataset: SerializeAsAny[DatasetConfig]
    verify: bool


class OtherData(Section):
    prepared: OptionalPath
    group: str | None


def _given(value: Any) -> Any:
    if value is None:
        raise ValueError("give the folder of a finished run")
    return value


FinishedRun = Annotated[RequiredPath, BeforeValidator(_given)]


class EvaluateHardware(Section):
    """Null: as the run was trained."""

    device: Literal["cpu", "cuda"] | None
    threads: int | None = Field(ge=1, le=4096)
    precision: Literal["float32", "tf32", "bfloat16"] | None
    """Of training alone: evaluation is float32."""


class EvaluateCommand(Section):
    run: FinishedRun
    split: Literal["train", "valid", "test"]
    rank: int | None = Field(ge=1)
    bits: int | None = Field(ge=2, le=8)
    keep: Kept | None
    dataset: OtherData
    hardware: EvaluateHardware


class ExportData(Section):
    prepared: OptionalPath


class ExportCommand(Section):
    run: Annotated[RequiredPath, BeforeValidator(_given)]
    format: Literal["pt2", "onnx", "safetensors"]
    bits: Literal[32, 8, 4]
    """Of tables and first-order weights."""
    network_bits: Literal[32, 8]
    """Of the weights of MLPs."""
    dataset: ExportData


class ReportCommand(Section):
    runs: Annotated[tuple[RequiredPath, ...], BeforeValidator(as_tuple)]

    margin: float = Field(ge=0, lt=1)
    dim: int | None = Field(ge=1)

    @field_validator("runs", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        if value is None or value == []:
            raise ValueError("give a folder of runs, or several: [A,B]")
        return value if isinstance(value, list) else (value,)


class BenchCommand(Section):
    model: ModelSection
    emb: SerializeAsAny[EmbConfig]
    hardware: HardwareConfig
    train: TrainConfig
    categories: Literal["filtered", "unfiltered"]
    steps: int = Field(ge=1)
    seed: int = Field(ge=0, lt=2**63)


def convert_command(schema: type[SectionT], values: Mapping[str, Any]) -> SectionT:
    """The whole config of a command; the sections of data set and embedding are typed by reader and mode first."""
    typed: dict[str, Any] = dict(values)
    for section, base, key, schemas in SECTIONS:
        field = schema.model_fields.get(section)
        if field is None or field.annotation is not base or not isinstance(typed.get(section), Mapping):
            continue
        name = str(typed[section].get(key))
        if name not in schemas:
            raise UserError(
                f"{section}.{key}={name}: no such {key}; allowed: {listing(schemas)}." + nearest(name, schemas)
            )
        given = _with_kept(typed, schemas[name]) if section == "dataset" else typed[section]
        typed[section] = convert(schemas[name], given, section)
    return convert(schema, typed)


def _with_kept(values: Mapping[str, Any], schema: type[Section]) -> dict[str, Any]:
    """The section of the data set, which keeps the columns that eval.keep wants; UserError if its reader cannot."""
    dataset, evaluation = values["dataset"], values.get("eval")
    wanted = evaluation.get("keep") if isinstance(evaluation, Mapping) else None
    if not wanted or not isinstance(wanted, list):
        return dict(dataset)
    if "keep" not in schema.model_fields:
        having = [name for name, other in DATASETS.items() if "keep" in other.model_fields]
        raise UserError(f"eval.keep={wanted[0]}: dataset={dataset.get('name')} keeps no columns of its raw rows; "
                        f"allowed with dataset={listing(having)}")  # fmt: skip
    kept = dataset.get("keep") or []
    return {**dataset, "keep": [*kept, *wanted] if isinstance(kept, list) else kept}


SECTIONS: tuple[tuple[str, type[Section], str, Mapping[str, type[Section]]], ...] = (
    ("dataset", DatasetConfig, "reader", DATASETS),
    ("emb", EmbConfig, "mode", EMBEDDINGS),
)
"""Sections whose schema hangs on a name in them: the section, what all its schemas share, the key of the name, them."""
