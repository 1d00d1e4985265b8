"""The recipe of a run: prepare → build, after a search where the mode has one → train → collapse → evaluate → save."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from mlet_bench import data, models
from mlet_bench.commands import together
from mlet_bench.commands.prepare import prepared_data
from mlet_bench.commands.stages import Search, Trained, Work, evaluate_model, fresh_model, parameters, train_model
from mlet_bench.config import EmbConfig, TrainCommand, flat
from mlet_bench.config.emb import single_of
from mlet_bench.data import Prepared
from mlet_bench.embedding.parts import served_ratios
from mlet_bench.errors import RunFailedError, UserError
from mlet_bench.evaluation.predictions import allowed_change, milliseconds
from mlet_bench.models import CTRModel
from mlet_bench.runs import loggers
from mlet_bench.runs.loggers import MetricLoggers
from mlet_bench.runs.planned import PlannedRun, check_rows
from mlet_bench.runs.progress import Progress
from mlet_bench.runs.result import Bucket, Collapse, Dataset, Emb, Inference, Metrics, Result, Scores, Train
from mlet_bench.runs.run_folder import LOG, RunFolder
from mlet_bench.runs.run_log import logged
from mlet_bench.system import hardware
from mlet_bench.system.several import joined
from mlet_bench.training.optimizers import dense_rows
from mlet_bench.training.trainer import TrainSummary


def run(
    config: TrainCommand, run_dir: str, progress: Progress, begun: Callable[[Path], None] = lambda folder: None
) -> tuple[Path, Result]:
    """Train, collapse, evaluate and save one run, or show the finished one; returns its folder and result.

    `{dataset}` and `{fingerprint}` in `run_dir` are replaced; `begun` is called with the folder that they make.
    UserError for what the user can correct, before the run creates anything; RunFailedError when the run itself goes
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
            progress.say(f"finished before: {folder.path} (rerun=true starts again)")
            _warn(result, progress)
            return folder.path, result
        described = {"fingerprint": planned.fingerprint, **dict(flat(values))}
        with (
            logged(folder.path / LOG),
            loggers.opened(config.logger, folder.path, described, progress.say) as metric_loggers,
        ):
            progress.say(f"run folder: {folder.path}")
            told = {"folder": str(folder.path.absolute()), "prepared": str(prepared.folder.absolute())}
            with joined(device, told, group=config.hardware.sharding is not None) as processes:
                work = Work(config, prepared, folder, device, processes)
                result, tolerable = _result(work, planned.memory.bytes, progress, metric_loggers)
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


def follow(config: TrainCommand, told: dict[str, str], progress: Progress) -> None:
    """What another process than the first one does of a run, when the first has told which folders it is in."""
    device = hardware.device_for(**config.hardware.machine)
    with joined(device, told, group=True) as processes:
        prepared = Prepared.open(Path(told["prepared"]))
        work = Work(config, prepared, RunFolder(Path(told["folder"])), device, processes)
        evaluate_model(train_model(work, progress), progress)


def _warn(result: Result, progress: Progress) -> None:
    if result.learned_nothing:
        progress.say(f"warning: {result.learned_nothing}")


def check(config: TrainCommand) -> torch.device:
    """All that can be checked before anything is created."""
    models.settings_of(config.model)
    if config.emb.rows_alone and dense_rows(config.train, config.emb):
        raise UserError(f"train.update=exact: emb={config.emb.mode} moves only the rows of a batch; allowed: lazy, or "
                        "train.optimizer=sgd or adagrad without emb.l2_rows=table")  # fmt: skip
    together.check(config)
    loggers.check(config.logger)
    device = hardware.device_for(**config.hardware.machine)
    data.check(config.dataset)
    return device


def _result(work: Work, planned_bytes: int, progress: Progress, metric_loggers: MetricLoggers) -> tuple[Result, bool]:
    """The result of a run, and whether collapse kept its promise."""
    config, prepared, device = work.config, work.prepared, work.device
    trained = train_model(work, progress, metric_loggers.evaluated)
    found = evaluate_model(trained, progress)
    result = Result(
        version=1,
        dataset=_dataset(prepared),
        model=config.model.name,
        emb=Emb.model_validate(config.emb.described),
        seed=config.seed,
        hardware=hardware.describe_hardware(**config.hardware.machine) | _several(work),
        software=dict(hardware.describe_software()),
        metrics=Metrics(valid=Scores.model_validate(found.valid), test=Scores.model_validate(found.test)),
        buckets=[Bucket.model_validate(bucket) for bucket in found.buckets],
        collapse=_sizes(config.emb, trained.model, found.collapsed, found.difference, trained.search),
        **_inference_times(trained, found.collapsed),
        train=Train(
            **_figures(trained.summary, trained.search),
            planned_memory_bytes=planned_bytes,
            peak_memory_bytes=hardware.peak_memory_bytes(device),
        ),
    )
    return result, found.difference <= allowed_change(found.largest)


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


def _sizes(emb: EmbConfig, model: CTRModel, collapsed: CTRModel, difference: float, search: Search | None) -> Collapse:
    ratio, ratio_small = served_ratios(emb, collapsed.embedding)
    return Collapse(
        max_abs_logit_diff=difference,
        embedding_bytes_training=max(model.embedding.bytes, 0 if search is None else search.embedding_bytes),
        embedding_bytes_inference=collapsed.embedding.bytes,
        parameters_training=max(parameters(model), 0 if search is None else search.parameters),
        parameters_inference=parameters(collapsed),
        ratio=ratio,
        ratio_small=ratio_small,
    )


def _several(work: Work) -> dict[str, Any]:
    """What a result says of the hardware where it is more than one process."""
    sharding, size = work.config.hardware.sharding, work.processes.size
    return ({"processes": size} if size > 1 else {}) | ({"sharding": sharding} if sharding else {})


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


def _inference_times(trained: Trained, collapsed: CTRModel) -> dict[str, Inference]:
    """How long a batch takes; unknown where no process has a whole table."""
    work = trained.work
    config, prepared = work.config, work.prepared
    if collapsed.embedding.sharded is not None:
        return {}
    single = fresh_model(config.model, single_of(config.emb), prepared, config.seed).to(work.device).eval()
    few = next(prepared.pieces("test")).head(config.eval.batch_size)
    trained_ms, collapsed_ms, single_ms = milliseconds([trained.model, collapsed, single], few, len(few))
    times = Inference(batch_size=len(few), trained_ms=trained_ms, collapsed_ms=collapsed_ms, single_ms=single_ms)
    return {"inference": times}
