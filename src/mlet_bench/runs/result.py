"""What a run writes and what is read back of it, typed, in the order of the files' keys.

What has a default here is missing in files of earlier versions, or where it means nothing.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


class Scores(_Part):
    auc: Share | None
    auc_ci95: Annotated[list[Share], Field(min_length=2, max_length=2)] | None = None
    """DeLong's, of the rows alone."""
    pr_auc: Share | None = None
    """Average precision."""
    pr_auc_ci95: Annotated[list[Share], Field(min_length=2, max_length=2)] | None = None
    auc_reason: str = "-"
    """Why there is none."""
    logloss: float | None
    normalized_entropy: float | None = None
    calibration: float | None = None
    rows: Count
    positives: Count
    gauc: Share | None = None
    gauc_rows: Count | None = None
    gauc_groups: Count | None = None
    gauc_one_class_groups: Count | None = None
    gauc_unknown_rows: Count | None = None
    best_auc: Share | None = None
    best_logloss: float | None = None
    """What the truth itself scores, where the data were generated."""
    gauc_field: str | None = None


class _Rows(_Part):
    """Which rows a bucket holds."""

    field: str
    bucket: str
    min_count: Count | None = None
    """None: a tenth of the rows by popularity."""
    max_count: Count | None = None

    @property
    def lowest(self) -> int:
        """The count that the bucket begins with; tenths stand in their own order."""
        return self.min_count or 0


class Bucket(Scores, _Rows):
    pass


class Metrics(_Part):
    valid: Scores
    test: Scores


class Dataset(_Part):
    name: Annotated[str, Field(min_length=1)]
    rows: dict[str, Count]
    fields: Count | None = None
    numeric: Count | None = None
    categories: Count | None = None
    fingerprint: str | None = None
    vocabulary: str | None = None


class Emb(_Part):
    """Keys of other names are those that a mode alone has."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str | bool | int | float | None] = Field(init=False)

    mode: Annotated[str, Field(min_length=1)]
    dim: Annotated[int, Field(ge=1)]
    inner: Annotated[int, Field(ge=1)] | None
    ratio: Annotated[float, Field(gt=0)] | None = None
    """Numbers served over those of a standard embedding of the same d, where a mode makes tables smaller."""
    bits: int | None = None
    """Of the numbers of a table that was quantised after training; no run has it, an evaluation has."""

    @property
    def own(self) -> str:
        """The keys that the mode alone has, as they are given."""
        return " ".join(f"{name}={value}" for name, value in sorted((self.model_extra or {}).items()))


class Collapse(_Part):
    max_abs_logit_diff: float | None
    embedding_bytes_training: Count
    embedding_bytes_inference: Count
    parameters_training: Count
    parameters_inference: Count
    ratio: float | None = None
    """Bytes served over those of the standard embedding of the same d."""
    ratio_small: float | None = None
    """The same of the fields that the mode makes small alone, without those that stay whole."""


class Inference(_Part):
    """Milliseconds that a batch takes in the trained, the collapsed and a fresh single-layer model."""

    batch_size: Count
    trained_ms: Annotated[float, Field(ge=0)] | None = None
    collapsed_ms: Annotated[float, Field(ge=0)]
    single_ms: Annotated[float, Field(ge=0)]


class Train(_Part):
    steps: Count
    epochs: Annotated[float, Field(ge=0)] | None = None
    best_step: Count | None
    samples_per_s: Annotated[float, Field(gt=0)] | None
    seconds: Annotated[float, Field(ge=0)] | None
    search_steps: Count | None = None
    """Of a training that came first, in modes that have one; not among `steps`."""
    search_seconds: Annotated[float, Field(ge=0)] | None = None
    """Its part of `seconds`."""
    planned_memory_bytes: Count | None = None
    peak_memory_bytes: Count | None


class Result(_Part):
    version: Literal[1]
    dataset: Dataset
    model: Annotated[str, Field(min_length=1)]
    emb: Emb
    seed: Count
    hardware: dict[str, Any]
    software: dict[str, Any]
    metrics: Metrics
    buckets: list[Bucket]
    collapse: Collapse
    inference: Inference | None = None
    train: Train

    @property
    def learned_nothing(self) -> str:
        """A sentence where validation AUC cannot be told from guessing; empty otherwise."""
        valid = self.metrics.valid
        if valid.auc is None or valid.auc_ci95 is None or not valid.auc_ci95[0] <= 0.5 <= valid.auc_ci95[1]:
            return ""
        low, high = valid.auc_ci95
        return (
            f"nothing learned: validation AUC {valid.auc:.4f}, its 95 % interval {low:.4f} to {high:.4f} contains 0.5"
        )

    def as_json(self) -> dict[str, Any]:
        """As it stands in result.json: what is not given is left out."""
        return self.model_dump(exclude_unset=True)


class Evaluated(_Part):
    fingerprint: str


class EvaluatedOn(_Part):
    fingerprint: str


class Compressed(_Part):
    """evaluation.json: a run's model evaluated again, its tables first truncated or quantised where that is given."""

    version: Literal[1]
    run: Evaluated
    dataset: EvaluatedOn
    split: str
    rank: Annotated[int, Field(ge=1)] | None = None
    bits: Annotated[int, Field(ge=2, le=8)] | None = None
    embedding_bytes: Count | None = None
    metrics: Scores
    buckets: list[Bucket]

    @property
    def compression(self) -> str:
        """What was done to the tables, in words."""
        rank = "" if self.rank is None else f"truncated to rank {self.rank}"
        bits = "" if self.bits is None else f"quantised to {self.bits} bits"
        return " and ".join(part for part in (rank, bits) if part)


class Evaluation(_Part):
    """A line of metrics.jsonl."""

    epoch: Annotated[float, Field(ge=0)]
    valid_auc: Share | None


class Movement(_Part):
    """What one training step did to a field's table."""

    held_rows: Count
    absent_rows: Count
    held_rms: float | None
    absent_rms: float | None
    absent_share: Share | None
    cosine: float | None
    error: float | None
    first_order_error: float | None


class FieldSpectrum(_Part):
    rows: Count
    singular_values: dict[str, list[float]] | None
    effective_rank: float | None
    imbalance: float | None
    movement: Movement | None


class SpectraLine(_Part):
    """A line of spectra.jsonl."""

    step: Count
    epoch: Annotated[float, Field(ge=0)]
    lr: float
    fields: dict[str, FieldSpectrum]
