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
from mlet_bench.runs.planned import PlannedRun, check_disk, check_rows, settings_of
from mlet_bench.runs.progress import Progress
from mlet_bench.runs.sweep_folder import SweepFolder, common_overrides, own_overrides
from mlet_bench.system import files

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
    first_of: dict[str, Composed] = {}
    repeats: list[tuple[Composed, Composed]] = []
    numbers: dict[int, int] = {}
    """By a job's number in Hydra's sweep, its number among those that run."""
    for number, composed in enumerate(jobs, 1):
        try:
            with composed.origin.named():
                config = convert_command(TrainCommand, composed.values)
                run = _planned(config, composed.run_dir)
        except UserError as error:
            mistakes.append((composed, error))
        else:
            first = first_of.setdefault(_identity(config, composed.run_dir), composed)
            if first is not composed:
                repeats.append((composed, first))
                continue
            if run is not None:
                planned[run.folder.path] = run
        numbers[number] = len(numbers) + 1
    if len(mistakes) == len(jobs):  # as with a single command
        raise mistakes[0][1]
    check_disk(list(planned.values()), "the sweep")
    progress = make_progress("")
    for composed, mistake in mistakes:
        progress.say(f"a job will fail: {' '.join(composed.overrides)}: {mistake}")

    common = common_overrides([composed.overrides for composed in jobs])
    for repeat, first in repeats:
        own, same = (own_overrides(composed.overrides, common) for composed in (repeat, first))
        progress.say(f"left out, the same run as {same}: {own}")
    running = [composed.overrides for number, composed in enumerate(jobs, 1) if number in numbers]

    @contextmanager
    def held(folder: Path) -> Iterator[None]:
        with SweepFolder(folder).opened(running):
            progress.say(f"{len(running)} jobs; mlet-bench report runs={folder} shows their progress")
            yield

    outcomes = composer.sweep(overrides, partial(job, make_progress, numbers), held)
    return [outcome for outcome in outcomes if outcome is not None]


def _identity(config: TrainCommand, run_dir: str) -> str:
    """What tells one run of a sweep from another before their data are prepared."""
    dataset = config.dataset.model_dump(mode="json")
    return files.fingerprint({**settings_of(config), "dataset": dataset, "run_dir": run_dir})


def _planned(config: TrainCommand, run_dir: str) -> PlannedRun | None:
    """A job that fits the machine; None where its data are not prepared yet. UserError if it cannot run."""
    if config.plan:
        raise UserError("plan=true: plans one configuration a call; leave out -m")
    device = recipe.check(config)
    prepared = data.made_before(config.dataset)
    if prepared is None:
        return None
    check_rows(prepared, config.train.monitor)
    planned = PlannedRun(config, prepared, run_dir)
    planned.check(device)
    return planned


def job(make_progress: MakeProgress, numbers: dict[int, int], task: DictConfig) -> dict[str, Any] | None:
    """One job, as Hydra's launchers call it: a failed job is recorded and the others continue. None of one that repeats
    another, which `numbers` lacks."""
    settings = HydraConfig.get()
    overrides = list(settings.overrides.task)
    number = numbers.get(settings.job.num + 1)
    if number is None:
        return None
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
