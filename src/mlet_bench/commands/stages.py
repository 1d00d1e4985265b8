"""The stages of a run that all its processes go through: build → train → collapse and evaluate."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlet_bench.config import EmbConfig, EvalConfig, ModelSection, TrainCommand
from mlet_bench.data import Prepared, Split
from mlet_bench.data.batches import training_rows, validation_rows
from mlet_bench.embedding import build as build_embedding
from mlet_bench.embedding.collapse import collapse
from mlet_bench.evaluation.metrics import Groups, Scored, logloss
from mlet_bench.evaluation.predictions import predict
from mlet_bench.evaluation.split import evaluate_split
from mlet_bench.models import CTRModel
from mlet_bench.models.seeded import Build, build_model
from mlet_bench.runs.model_files import save_model
from mlet_bench.runs.progress import Progress
from mlet_bench.runs.run_folder import PREDICTIONS, SPECTRA
from mlet_bench.system import hardware
from mlet_bench.system.launch import launched
from mlet_bench.system.processes import Processes
from mlet_bench.training.spectra import Spectra
from mlet_bench.training.trainer import Trainer, TrainSummary, Validation


@dataclass(frozen=True)
class Work:
    """A run that has begun."""

    config: TrainCommand
    prepared: Prepared
    folder: Path
    device: torch.device
    processes: Processes


@dataclass(frozen=True)
class Trained:
    work: Work
    model: CTRModel
    summary: TrainSummary


@dataclass(frozen=True)
class Evaluated:
    """What the first process has measured."""

    collapsed: CTRModel
    valid: dict[str, Any]
    test: dict[str, Any]
    buckets: list[dict[str, Any]]
    difference: float
    largest: float
    """Of the trained model's logits."""


def train_model(
    work: Work, progress: Progress, record: Callable[[dict[str, Any]], None] = lambda line: None
) -> Trained:
    config, prepared, device, processes = work.config, work.prepared, work.device, work.processes
    for split in prepared.rows if processes.size > 1 else ("test",):
        prepared.check(split, processes)  # a damaged file is better known of before training than after
    hardware.reset_peak_memory(device)

    model = _model(work).to(device)
    validate = _validation(model, validation_rows(prepared, config.train, processes), config.eval, processes)
    spectra = (
        Spectra(model, prepared.fields, config.train.optimizer, work.folder / SPECTRA) if config.train.spectra else None
    )
    with progress.training() as watcher:
        summary = Trainer(
            model,
            training_rows(prepared, config.train, config.seed, device, processes),
            config.train,
            config.emb,
            seed=config.seed,
            evaluate=validate,
            folder=work.folder,
            watcher=watcher,
            record=record,
            columns=prepared.numeric,
            precision=config.hardware.precision,
            spectra=spectra,
            processes=processes,
        ).run()
    return Trained(work, model, summary)


def evaluate_model(trained: Trained) -> Evaluated:
    """The collapsed model, saved; metrics and predictions of the first process."""
    work, model = trained.work, trained.model
    config, prepared, processes = work.config, work.prepared, work.processes
    collapsed = collapse(model.eval())
    pieces = prepared.pieces("test", processes=processes)
    trained_R = predict(model, pieces, config.eval.batch_size, processes)
    measure = partial(evaluate_split, collapsed, prepared, config=config.eval, group=config.dataset.group)
    test_R, test, buckets = measure("test", path=work.folder / PREDICTIONS, processes=processes)
    _, valid, _ = measure("valid", processes=processes)
    save_model(work.folder, collapsed, processes)
    difference = float(np.abs(trained_R - test_R).max(initial=0))
    return Evaluated(collapsed, valid, test, buckets, difference, float(np.abs(trained_R).max(initial=0)))


def _model(work: Work) -> CTRModel:
    """The model that is trained, its tables where the hardware holds them."""
    config = work.config
    build: Build = build_embedding
    if config.hardware.sharding is not None:
        from mlet_bench.embedding.placement import Placement
        from mlet_bench.embedding.sharded import builder

        here = launched()
        on_device = 1 if work.device.type == "cuda" else here.local_size
        placement = Placement(
            work.device,
            config.hardware.sharding,
            config.train.optimizer,
            config.emb.lr or config.train.lr,
            batch_rows=max(config.train.batch_size // here.size, 1),
            memory_bytes=hardware.free_memory_bytes(work.device) // on_device,
            local_size=here.local_size,
        )
        build = builder(placement)
    return fresh_model(config.model, config.emb, work.prepared, config.seed, build)


def fresh_model(
    model: ModelSection, emb: EmbConfig, prepared: Prepared, seed: int, build: Build = build_embedding
) -> CTRModel:
    seen_V = torch.from_numpy(np.concatenate(prepared.id_counts) > 0)
    return build_model(model, emb, prepared.cardinalities, len(prepared.numeric), seed, seen_V, build)


def _validation(
    model: CTRModel, rows: Iterable[Split], config: EvalConfig, processes: Processes
) -> Callable[[], Validation]:
    """What gives auc (None where all labels are equal) and logloss on validation, NaN where a logit is not finite.

    The first process measures, and tells the others.
    """
    label_R = np.concatenate([processes.gathered(piece.label_B) for piece in rows])
    has_auc = 0 < label_R.sum() < len(label_R)

    def validate() -> Validation:
        logit_R = predict(model, rows, config.batch_size, processes)
        return processes.told(measure(logit_R) if processes.first else Validation(auc=None, logloss=0.0))

    def measure(logit_R: np.ndarray) -> Validation:
        if not np.isfinite(logit_R).all():
            return {"auc": math.nan, "logloss": math.nan}
        scored, _ = Scored.of(label_R, logit_R)
        auc = Groups.of(scored).auc if has_auc else None
        return {"auc": auc, "logloss": logloss(scored.label_B, scored.logit_B)}

    return validate
