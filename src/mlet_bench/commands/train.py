"""The recipe of a run: prepare → train → collapse → evaluate → save."""

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlet_bench import data, models
from mlet_bench.config import PrepareCommand, TrainCommand, TuneCommand, flat
from mlet_bench.data import Prepared
from mlet_bench.data.batches import shuffle_of, training_rows
from mlet_bench.embedding import build as build_embedding
from mlet_bench.embedding.collapse import collapse
from mlet_bench.errors import RunFailedError
from mlet_bench.evaluation.buckets import EvalRows, evaluate
from mlet_bench.evaluation.metrics import Scored, auc_with_interval, logloss
from mlet_bench.evaluation.predictions import milliseconds, predict
from mlet_bench.evaluation.split import evaluate_split
from mlet_bench.models import CTRModel
from mlet_bench.report.console.progress import ProgressConsole
from mlet_bench.runs import limits, loggers
from mlet_bench.runs.loggers import Record
from mlet_bench.runs.run_folder import LOG, MODEL, PREDICTIONS, RESULT, SPECTRA, RunFolder
from mlet_bench.runs.run_log import logged
from mlet_bench.system import files, hardware, signals
from mlet_bench.system.seeds import seeded
from mlet_bench.training.checkpoint import save_weights
from mlet_bench.training.memory import MemoryPlan
from mlet_bench.training.spectra import Spectra
from mlet_bench.training.trainer import Trainer, TrainSummary

log = logging.getLogger("mlet_bench")
RECIPE = 4
"""Part of every fingerprint; raised when the same config comes to give other results."""
COLLAPSE_TOLERANCE = 1e-5
"""Largest difference of logits after collapse, per unit of max(1, largest |logit|)."""


def run(
    config: TrainCommand, run_dir: str, live: ProgressConsole, begun: Callable[[Path], None] = lambda folder: None
) -> tuple[Path, dict[str, Any]]:
    """Train, collapse, evaluate and save one run, or show the finished one; returns its folder and result.

    `{dataset}` and `{fingerprint}` in `run_dir` are replaced; `begun` hears the folder that they make. UserError for
    what the user can mend, before anything of the run is created; RunFailedError when the run itself goes wrong;
    Interrupted after a signal, with a checkpoint saved.
    """
    device = check(config)
    if "{fingerprint}" not in run_dir:
        RunFolder(Path(run_dir)).check_usable()
    prepared = prepare(config, live)
    for note in prepared.notes:
        live.say(f"note: {note}")
    limits.check_rows(prepared)
    fingerprint = run_fingerprint(config, prepared)
    folder = run_folder(run_dir, prepared, fingerprint)
    needs = limits.needs_of(config, prepared)
    if config.rerun or not folder.finished:
        limits.check_run(needs, folder, device)
    values = config.model_dump(mode="json")
    with folder.opened(fingerprint, values, rerun=config.rerun):
        begun(folder.path)
        if folder.finished:
            result = folder.result()
            live.say(f"finished before: {folder.path} (rerun=true starts anew)")
            return folder.path, result
        told = {"fingerprint": fingerprint, **dict(flat(values))}
        with logged(folder.path / LOG), loggers.opened(config.logger, folder.path, told, live.say) as record:
            result, sound = _stages(config, prepared, needs.memory, folder.path, device, live, record)
            if sound:
                record.finished(result["metrics"]["test"])
        files.write_json(folder.path / RESULT, result)
        if not sound:
            raise RunFailedError(
                f"{folder.path}: collapse changed a logit by {result['collapse']['max_abs_logit_diff']:.3g}, more than "
                "allowed; results are saved, the run counts as failed"
            )
        folder.finish()
    return folder.path, result


def check(config: TrainCommand) -> torch.device:
    """All that can be checked before anything is created."""
    models.settings_of(config.model)
    loggers.check(config.logger)
    device = hardware.device_for(**config.hardware.model_dump())
    data.check(config.dataset)
    return device


def run_folder(run_dir: str, prepared: Prepared, fingerprint: str) -> RunFolder:
    """The folder that `run_dir` stands for."""
    return RunFolder(Path(run_dir.replace("{dataset}", prepared.name).replace("{fingerprint}", fingerprint)))


def prepare(config: TrainCommand | PrepareCommand | TuneCommand, live: ProgressConsole) -> Prepared:
    """The prepared data set of a config, made if it is missing."""
    with live.preparing() as progress:

        def heard(stage: str, done: int, of: int, rows: int) -> None:
            signals.raise_if_requested()
            progress(stage, done, of, rows)

        return data.prepared_for(config.dataset, best=best_reachable, progress=heard)


def best_reachable(prepared: Prepared, split: str) -> dict[str, Any]:
    """What the true logits of a generated data set score on a split, overall and in the default buckets."""
    edges = [10**power for power in range(6)]
    rows = EvalRows.of(prepared.pieces(split, counts=True), edges)
    assert rows.true_logit_R is not None
    whole, buckets = evaluate(rows, rows.true_logit_R, prepared.fields, edges)
    return {**whole, "buckets": buckets}


def run_fingerprint(config: TrainCommand, prepared: Prepared) -> str:
    """Of all that can change the result, and of nothing else."""
    train = config.train.model_dump(mode="json", exclude=config.train.not_in_fingerprint)
    train["shuffle"] = shuffle_of(prepared, config.train)
    model = {"name": config.model.name, **models.settings_of(config.model).model_dump(mode="json")}
    return files.fingerprint(
        {
            "recipe": RECIPE,
            "data": prepared.fingerprint,
            "model": model,
            "emb": config.emb.model_dump(mode="json"),
            "train": train,
            "eval": config.eval.model_dump(mode="json"),  # the batch size too: bits of a logit may depend on it
            "seed": config.seed,
            "hardware": {
                **config.hardware.model_dump(mode="json"),
                "threads": hardware.threads_of(config.hardware.threads),
            },
            **({} if config.dataset.group is None else {"group": config.dataset.group}),
        }
    )


def _stages(
    config: TrainCommand,
    prepared: Prepared,
    planned: MemoryPlan,
    folder: Path,
    device: torch.device,
    live: ProgressConsole,
    record: Record,
) -> tuple[dict[str, Any], bool]:
    """The result of a run, and whether collapse kept its promise."""
    prepared.check("test")  # a damaged file is better known of before training than after
    model = build_model(config, prepared).to(device)
    summary = _train(config, model, prepared, folder, live, record)
    live.stage("collapse and evaluate")
    model.eval()
    collapsed = collapse(model)
    trained_R = predict(model, prepared.pieces("test"), config.eval.batch_size)
    group = config.dataset.group
    test_R, metrics, buckets = evaluate_split(
        collapsed, prepared, "test", config.eval, folder / PREDICTIONS, group=group
    )
    difference = float(np.abs(trained_R - test_R).max())
    _, valid_metrics, _ = evaluate_split(collapsed, prepared, "valid", config.eval, group=group)
    save_weights(folder / MODEL, collapsed.state_dict())
    sizes = {"training": model, "inference": collapsed}
    result = {
        "version": 1,
        "dataset": {
            "name": prepared.name,
            "rows": prepared.rows,
            "fields": len(prepared.fields),
            "numeric": len(prepared.numeric),
            "categories": sum(entry["categories"] for entry in prepared.manifest["fields"]),
            "fingerprint": prepared.fingerprint,
            "vocabulary": prepared.vocabulary,
        },
        "model": config.model.name,
        "emb": {"mode": config.emb.mode, "dim": config.emb.dim, "inner": config.emb.inner},
        "seed": config.seed,
        "hardware": hardware.describe_hardware(**config.hardware.model_dump()),
        "software": hardware.describe_software(),
        "metrics": {"valid": valid_metrics, "test": metrics},
        "buckets": buckets,
        "collapse": {
            "max_abs_logit_diff": difference,
            **{f"embedding_bytes_{name}": _bytes(sized.embedding) for name, sized in sizes.items()},
            **{f"parameters_{name}": _parameters(sized) for name, sized in sizes.items()},
        },
        "inference": _inference(config, prepared, model, collapsed),
        "train": {
            "steps": summary.steps,
            "epochs": summary.epochs,
            "best_step": summary.best_step,
            "samples_per_s": summary.samples_per_s,
            "seconds": summary.seconds,
            "planned_memory_bytes": planned.bytes,
            "peak_memory_bytes": hardware.peak_memory_bytes(next(model.parameters()).device),
        },
    }
    return result, difference <= COLLAPSE_TOLERANCE * max(1.0, float(np.abs(trained_R).max()))


def build_model(config: TrainCommand, prepared: Prepared) -> CTRModel:
    """A fresh model; the embedding and the dense weights each draw from a stream of their own."""
    seen_V = torch.from_numpy(np.concatenate(prepared.id_counts) > 0)
    with seeded(config.seed, "embedding"):
        embedding = build_embedding(config.emb, prepared.cardinalities, seen_V)
    with seeded(config.seed, "dense"):
        return models.build(config.model, embedding, len(prepared.numeric))


def _train(
    config: TrainCommand, model: CTRModel, prepared: Prepared, folder: Path, live: ProgressConsole, record: Record
) -> TrainSummary:
    device = next(model.parameters()).device
    rows = training_rows(prepared, config.train, config.seed, device)
    valid_label_R = np.concatenate([piece.label_B for piece in prepared.pieces("valid")])

    def validate() -> dict[str, float]:
        logit_R = predict(model, prepared.pieces("valid"), config.eval.batch_size)
        if not np.isfinite(logit_R).all():
            return {"auc": math.nan, "logloss": math.nan}
        scored, _ = Scored.of(valid_label_R, logit_R)
        return {"auc": auc_with_interval(scored)[0], "logloss": logloss(scored.label_B, scored.logit_B)}

    spectra = None
    if config.train.spectra:
        spectra = Spectra(model, prepared.fields, config.train.optimizer, folder / SPECTRA)
    with live.training() as watcher:
        trainer = Trainer(
            model,
            rows,
            config.train,
            config.emb,
            seed=config.seed,
            evaluate=validate,
            folder=folder,
            watcher=watcher,
            record=record.evaluated,
            columns=prepared.numeric,
            precision=config.hardware.precision,
            spectra=spectra,
        )
        return trainer.run()


def _inference(config: TrainCommand, prepared: Prepared, model: CTRModel, collapsed: CTRModel) -> dict[str, Any]:
    """Milliseconds a batch takes in the trained, the collapsed and a fresh single-layer model, in turn."""
    single = config.emb.single()
    fresh = build_model(config.model_copy(update={"emb": single}), prepared)
    fresh = fresh.to(next(model.parameters()).device).eval()
    few = next(prepared.pieces("test")).head(config.eval.batch_size)
    trained_ms, collapsed_ms, single_ms = milliseconds([model, collapsed, fresh], few, len(few))
    return {
        "batch_size": len(few),
        "trained_ms": trained_ms,
        "collapsed_ms": collapsed_ms,
        "single_ms": single_ms,
    }


def _bytes(module: torch.nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in module.parameters())


def _parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
