"""The recipe of a run: prepare → build, after a search where the mode has one → train → collapse → evaluate → save."""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mlet_bench import data, models
from mlet_bench.commands.prepare import prepared_data
from mlet_bench.config import EmbConfig, EvalConfig, ModelSection, TrainCommand, flat
from mlet_bench.config.emb import single_of
from mlet_bench.data import Prepared, Split
from mlet_bench.data.batches import training_rows, validation_rows
from mlet_bench.embedding.collapse import collapse
from mlet_bench.errors import RunFailedError, UserError
from mlet_bench.evaluation.metrics import Groups, Scored, logloss
from mlet_bench.evaluation.predictions import milliseconds, predict
from mlet_bench.evaluation.split import evaluate_split
from mlet_bench.models import CTRModel
from mlet_bench.models.seeded import build_model
from mlet_bench.runs import loggers
from mlet_bench.runs.loggers import MetricLoggers
from mlet_bench.runs.planned import PlannedRun, check_rows
from mlet_bench.runs.progress import Progress
from mlet_bench.runs.result import Bucket, Collapse, Dataset, Emb, Inference, Metrics, Result, Scores, Train
from mlet_bench.runs.run_folder import LOG, MODEL, PREDICTIONS, SPECTRA, RunFolder
from mlet_bench.runs.run_log import logged
from mlet_bench.system import hardware
from mlet_bench.training.checkpoint import save_weights
from mlet_bench.training.optimizers import dense_rows
from mlet_bench.training.spectra import Spectra
from mlet_bench.training.trainer import Trainer, TrainSummary, Validation

COLLAPSE_TOLERANCE = 1e-5
"""Largest difference of logits after collapse, per unit of max(1, largest |logit|)."""


def run(
    config: TrainCommand, run_dir: str, progress: Progress, begun: Callable[[Path], None] = lambda folder: None
) -> tuple[Path, Result]:
    """Train, collapse, evaluate and save one run, or show the finished one; returns its folder and result.

    `{dataset}` and `{fingerprint}` in `run_dir` are replaced; `begun` is called with the folder that they make.
    UserError for what the user can mend, before anything of the run is created; RunFailedError when the run itself goes
    wrong; Interrupted after a signal, with a checkpoint saved.
    """
    device = check(config)
    if "{fingerprint}" not in run_dir:
        RunFolder(Path(run_dir)).check_usable()
    prepared = prepared_data(config.dataset, progress)
    for note in prepared.notes:
        progress.say(f"note: {note}")
    check_rows(prepared, config.train.monitor)
    planned = PlannedRun(config, prepared, run_dir)
    planned.check(device)
    folder, values = planned.folder, config.model_dump(mode="json")
    with folder.opened(planned.fingerprint, values, rerun=config.rerun):
        begun(folder.path)
        if folder.finished:
            result = folder.result()
            progress.say(f"finished before: {folder.path} (rerun=true starts anew)")
            _warn(result, progress)
            return folder.path, result
        described = {"fingerprint": planned.fingerprint, **dict(flat(values))}
        with (
            logged(folder.path / LOG),
            loggers.opened(config.logger, folder.path, described, progress.say) as metric_loggers,
        ):
            progress.say(f"run folder: {folder.path}")
            result, tolerable = _stages(planned, device, progress, metric_loggers)
            _warn(result, progress)
            if tolerable:
                metric_loggers.finished(result.metrics.test.model_dump(exclude_unset=True))
        folder.save(result)
        if not tolerable:
            raise RunFailedError(
                f"{folder.path}: collapse changed a logit by {result.collapse.max_abs_logit_diff:.3g}, more than "
                "allowed; results are saved, the run counts as failed"
            )
        folder.finish()
    return folder.path, result


def _warn(result: Result, progress: Progress) -> None:
    if result.learned_nothing:
        progress.say(f"warning: {result.learned_nothing}")


def check(config: TrainCommand) -> torch.device:
    """All that can be checked before anything is created."""
    models.settings_of(config.model)
    if config.emb.rows_alone and dense_rows(config.train, config.emb):
        raise UserError(f"train.update=exact: emb={config.emb.mode} moves the rows of a batch alone; allowed: lazy, or "
                        "train.optimizer=sgd or adagrad without emb.l2_rows=table")  # fmt: skip
    loggers.check(config.logger)
    device = hardware.device_for(**config.hardware.model_dump())
    data.check(config.dataset)
    return device


def _stages(
    planned: PlannedRun, device: torch.device, progress: Progress, metric_loggers: MetricLoggers
) -> tuple[Result, bool]:
    """The result of a run, and whether collapse kept its promise."""
    config, prepared, folder = planned.config, planned.prepared, planned.folder.path
    prepared.check("test")  # a damaged file is better known of before training than after
    hardware.reset_peak_memory(device)

    model, search = _fresh(planned, device, progress)
    spectra = (
        Spectra(model, prepared.fields, config.train.optimizer, folder / SPECTRA) if config.train.spectra else None
    )
    summary = _train(planned, model, config.emb, folder, progress, record=metric_loggers.evaluated, spectra=spectra)

    with progress.evaluating() as advanced:
        advanced("collapse", 0, 0)
        collapsed = collapse(model.eval())
        advance = partial(advanced, "evaluate the trained model on test")
        trained_R = predict(model, prepared.pieces("test"), config.eval.batch_size, advance, prepared.rows["test"])
        group, save = config.dataset.group, folder / PREDICTIONS
        test_R, test, buckets = evaluate_split(collapsed, prepared, "test", config.eval, save, group, advanced)
        _, valid, _ = evaluate_split(collapsed, prepared, "valid", config.eval, None, group, advanced)
        difference = float(np.abs(trained_R - test_R).max())
        save_weights(folder / MODEL, collapsed.state_dict())
        single = _built(config.model, single_of(config.emb), prepared, config.seed).to(device).eval()
        advanced("time inference", 0, 0)
        inference = _inference_times(model, collapsed, single, prepared, config.eval.batch_size)
    result = Result(
        version=1,
        dataset=_dataset(prepared),
        model=config.model.name,
        emb=Emb.model_validate(config.emb.described),
        seed=config.seed,
        hardware=hardware.describe_hardware(**config.hardware.model_dump()),
        software=dict(hardware.describe_software()),
        metrics=Metrics(valid=Scores.model_validate(valid), test=Scores.model_validate(test)),
        buckets=[Bucket.model_validate(bucket) for bucket in buckets],
        collapse=_sizes(model, collapsed, difference, search),
        inference=inference,
        train=Train(
            **_figures(summary, search),
            planned_memory_bytes=planned.memory.bytes,
            peak_memory_bytes=hardware.peak_memory_bytes(device),
        ),
    )
    return result, difference <= COLLAPSE_TOLERANCE * max(1.0, float(np.abs(trained_R).max()))


@dataclass(frozen=True)
class Search:
    """What a training took whose findings the run's own training began with."""

    summary: TrainSummary
    embedding_bytes: int
    parameters: int


def _fresh(planned: PlannedRun, device: torch.device, progress: Progress) -> tuple[CTRModel, Search | None]:
    """The model to train; where its mode has a search, after that, with what it found."""
    config, prepared = planned.config, planned.prepared
    if config.emb.search is None:
        return _built(config.model, config.emb, prepared, config.seed).to(device), None
    folder = planned.folder.search
    folder.mkdir(parents=True, exist_ok=True)
    progress.say(f"emb={config.emb.mode}: the search")
    searched = _built(config.model, config.emb.search, prepared, config.seed).to(device)
    summary = _train(planned, searched, config.emb.search, folder, progress)
    progress.say(f"emb={config.emb.mode}: trained anew with what the search found")
    model = _built(config.model, config.emb, prepared, config.seed).to(device)
    model.embedding.take_over(searched.embedding)
    return model, Search(summary, searched.embedding.bytes, _parameters(searched))


def _train(
    planned: PlannedRun, model: CTRModel, emb: EmbConfig, folder: Path, progress: Progress, **more: Any
) -> TrainSummary:
    """From its start or its last checkpoint in `folder`; the model ends in its best state."""
    config, prepared = planned.config, planned.prepared
    with progress.training() as watcher:
        return Trainer(
            model,
            training_rows(prepared, config.train, config.seed, next(model.parameters()).device),
            config.train,
            emb,
            seed=config.seed,
            evaluate=_validation(model, validation_rows(prepared, config.train), config.eval),
            folder=folder,
            watcher=watcher,
            columns=prepared.numeric,
            precision=config.hardware.precision,
            **more,
        ).run()


def _built(model: ModelSection, emb: EmbConfig, prepared: Prepared, seed: int) -> CTRModel:
    seen_V = torch.from_numpy(np.concatenate(prepared.id_counts) > 0)
    return build_model(model, emb, prepared.cardinalities, len(prepared.numeric), seed, seen_V)


def _validation(model: CTRModel, rows: Iterable[Split], config: EvalConfig) -> Callable[[], Validation]:
    """What gives auc (None where all labels are equal) and logloss on validation, NaN where a logit is not finite."""
    label_R = np.concatenate([piece.label_B for piece in rows])
    has_auc = 0 < label_R.sum() < len(label_R)

    def validate() -> Validation:
        logit_R = predict(model, rows, config.batch_size)
        if not np.isfinite(logit_R).all():
            return {"auc": math.nan, "logloss": math.nan}
        scored, _ = Scored.of(label_R, logit_R)
        auc = Groups.of(scored).auc if has_auc else None
        return {"auc": auc, "logloss": logloss(scored.label_B, scored.logit_B)}

    return validate


def _dataset(prepared: Prepared) -> Dataset:
    return Dataset(
        name=prepared.name,
        rows=prepared.rows,
        fields=len(prepared.fields),
        numeric=len(prepared.numeric),
        categories=sum(entry["categories"] for entry in prepared.manifest["fields"]),
        fingerprint=prepared.fingerprint,
        vocabulary=prepared.vocabulary,
    )


def _sizes(model: CTRModel, collapsed: CTRModel, difference: float, search: Search | None) -> Collapse:
    return Collapse(
        max_abs_logit_diff=difference,
        embedding_bytes_training=max(model.embedding.bytes, 0 if search is None else search.embedding_bytes),
        embedding_bytes_inference=collapsed.embedding.bytes,
        parameters_training=max(_parameters(model), 0 if search is None else search.parameters),
        parameters_inference=_parameters(collapsed),
    )


def _figures(summary: TrainSummary, search: Search | None) -> dict[str, Any]:
    """A search's seconds count among the run's."""
    if search is None:
        return asdict(summary)
    took = search.summary
    return asdict(summary) | {
        "seconds": summary.seconds + took.seconds,
        "search_steps": took.steps,
        "search_seconds": took.seconds,
    }


def _inference_times(
    model: CTRModel, collapsed: CTRModel, single: CTRModel, prepared: Prepared, batch_size: int
) -> Inference:
    few = next(prepared.pieces("test")).head(batch_size)
    trained_ms, collapsed_ms, single_ms = milliseconds([model, collapsed, single], few, len(few))
    return Inference(batch_size=len(few), trained_ms=trained_ms, collapsed_ms=collapsed_ms, single_ms=single_ms)


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
