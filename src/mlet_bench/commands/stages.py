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
from mlet_bench.runs.run_folder import PREDICTIONS, SPECTRA, RunFolder
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
    folder: RunFolder
    device: torch.device
    processes: Processes


@dataclass(frozen=True)
class Search:
    """What a training took whose findings the run's own training began with."""

    summary: TrainSummary
    embedding_bytes: int
    parameters: int


@dataclass(frozen=True)
class Trained:
    work: Work
    model: CTRModel
    summary: TrainSummary
    search: Search | None


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
    """The model in its best state."""
    config, prepared, folder = work.config, work.prepared, work.folder.path
    for split in prepared.rows if work.processes.size > 1 else ("test",):
        prepared.check(split, work.processes)  # a damaged file is better known of before training than after
    hardware.reset_peak_memory(work.device)

    model, search = _fresh(work, progress)
    spectra = (
        Spectra(model, prepared.fields, config.train.optimizer, folder / SPECTRA) if config.train.spectra else None
    )
    summary = _train(work, model, config.emb, folder, progress, record=record, spectra=spectra)
    return Trained(work, model, summary, search)


def evaluate_model(trained: Trained, progress: Progress) -> Evaluated:
    """The collapsed model, saved; metrics and predictions of the first process."""
    work, model, folder = trained.work, trained.model, trained.work.folder.path
    config, prepared, processes = work.config, work.prepared, work.processes
    with progress.evaluating() as advanced:
        advanced("collapse", 0, 0)
        collapsed = collapse(model.eval())
        advance, rows = partial(advanced, "evaluate the trained model on test"), prepared.rows["test"]
        pieces = prepared.pieces("test", processes=processes)
        trained_R = predict(model, pieces, config.eval.batch_size, advance, rows, processes)
        group, save = config.dataset.group, folder / PREDICTIONS
        test_R, test, buckets = evaluate_split(
            collapsed, prepared, "test", config.eval, save, group, advanced, processes
        )
        _, valid, _ = evaluate_split(collapsed, prepared, "valid", config.eval, None, group, advanced, processes)
        save_model(folder, collapsed, processes)
    difference = float(np.abs(trained_R - test_R).max(initial=0))
    return Evaluated(collapsed, valid, test, buckets, difference, float(np.abs(trained_R).max(initial=0)))


def _fresh(work: Work, progress: Progress) -> tuple[CTRModel, Search | None]:
    """The model to train; where its mode has a search, after that, with what it found."""
    config, prepared = work.config, work.prepared
    if config.emb.search is None:
        return _model(work).to(work.device), None
    folder = work.folder.search
    folder.mkdir(parents=True, exist_ok=True)
    progress.say(f"emb={config.emb.mode}: the search")
    searched = fresh_model(config.model, config.emb.search, prepared, config.seed).to(work.device)
    summary = _train(work, searched, config.emb.search, folder, progress)
    progress.say(f"emb={config.emb.mode}: trained again with the result of the search")
    model = fresh_model(config.model, config.emb, prepared, config.seed).to(work.device)
    model.embedding.take_over(searched.embedding)
    return model, Search(summary, searched.embedding.bytes, parameters(searched))


def _train(work: Work, model: CTRModel, emb: EmbConfig, folder: Path, progress: Progress, **more: Any) -> TrainSummary:
    """From its start or its last checkpoint in `folder`; the model ends in its best state."""
    config, prepared, processes = work.config, work.prepared, work.processes
    with progress.training() as watcher:
        return Trainer(
            model,
            training_rows(prepared, config.train, config.seed, work.device, processes),
            config.train,
            emb,
            seed=config.seed,
            evaluate=_validation(model, validation_rows(prepared, config.train, processes), config.eval, processes),
            folder=folder,
            watcher=watcher,
            columns=prepared.numeric,
            precision=config.hardware.precision,
            processes=processes,
            **more,
        ).run()


def parameters(model: CTRModel) -> int:
    return sum(p.numel() for p in model.parameters()) + model.embedding.numbers_in_shards


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
        logit_R = predict(model, rows, config.batch_size, processes=processes)
        return processes.told(measure(logit_R) if processes.first else Validation(auc=None, logloss=0.0))

    def measure(logit_R: np.ndarray) -> Validation:
        if not np.isfinite(logit_R).all():
            return {"auc": math.nan, "logloss": math.nan}
        scored, _ = Scored.of(label_R, logit_R)
        auc = Groups.of(scored).auc if has_auc else None
        return {"auc": auc, "logloss": logloss(scored.label_B, scored.logit_B)}

    return validate
