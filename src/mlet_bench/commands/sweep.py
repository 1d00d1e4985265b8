"""A sweep: every combination of values as an ordinary run."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from mlet_bench import data
from mlet_bench.commands import train as recipe
from mlet_bench.config import TrainCommand, convert_command
from mlet_bench.config.compose import Composed, Composer, plain
from mlet_bench.errors import RunFailedError, UserError
from mlet_bench.runs.planned import PlannedRun, check_disk, check_rows
from mlet_bench.runs.progress import Progress
from mlet_bench.runs.sweep_folder import SweepFolder

MakeProgress = Callable[[str], Progress]
"""From the words that stand before a bar. A job makes its own: it may run in another process."""


def sweep(
    composer: Composer, overrides: Sequence[str], jobs: Sequence[Composed], make_progress: MakeProgress
) -> list[dict[str, Any]]:
    """Run the jobs that the overrides stand for; what each came to.

    UserError, before anything is created, if none of them can run, or if the disk cannot hold what they will leave.
    Where the data are not prepared yet, each job looks for itself when its turn comes.
    """
    mistakes, planned = [], {}
    for composed in jobs:
        try:
            run = _planned(composed)
        except UserError as error:
            mistakes.append((composed, error))
            continue
        if run is not None:
            planned[run.folder.path] = run
    if len(mistakes) == len(jobs):  # as with a single command
        raise mistakes[0][1]
    check_disk(list(planned.values()), "the sweep")
    progress = make_progress("")
    for composed, mistake in mistakes:
        progress.say(f"a job will fail: {' '.join(composed.overrides)}: {mistake}")

    @contextmanager
    def held(folder: Path) -> Iterator[None]:
        with SweepFolder(folder).opened([composed.overrides for composed in jobs]):
            progress.say(f"{len(jobs)} jobs; mlet-bench report runs={folder} shows how far they are")
            yield

    return composer.sweep(overrides, partial(job, make_progress), held)


def _planned(composed: Composed) -> PlannedRun | None:
    """A job that fits the machine; None where its data are not prepared yet. UserError if it cannot run."""
    config = convert_command(TrainCommand, composed.values)
    device = recipe.check(config)
    prepared = data.made_before(config.dataset)
    if prepared is None:
        return None
    check_rows(prepared, config.train.monitor)
    planned = PlannedRun(config, prepared, composed.run_dir)
    planned.check(device)
    return planned


def job(make_progress: MakeProgress, task: DictConfig) -> dict[str, Any]:
    """One job, as Hydra's launchers call it: what failed is recorded and the others go on."""
    settings = HydraConfig.get()
    overrides = list(settings.overrides.task)
    number = settings.job.num + 1
    folder = result = None
    with SweepFolder(Path(str(settings.sweep.dir))).job(number) as running:
        progress = make_progress(f"{running.headline} · ")
        progress.say(f"{running.headline} · {' '.join(overrides)}")
        try:
            config = convert_command(TrainCommand, plain(task))
            folder, result = recipe.run(config, str(settings.run.dir), progress, running.set_folder)
        except (UserError, RunFailedError) as error:
            running.error = str(error)
        except Exception as error:  # a fault of ours in one job must not stop the others
            running.error = f"{type(error).__name__}: {error}"
    if running.error:
        progress.say(f"job {number} failed: {running.error}")
    return {
        "job": overrides,
        "folder": None if folder is None else str(folder),
        "result": None if result is None else result.as_json(),
        "error": running.error,
    }
