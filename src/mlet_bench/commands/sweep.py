"""A sweep: every combination of values as an ordinary run."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from mlet_bench import data
from mlet_bench.commands import train as recipe
from mlet_bench.config import TrainCommand, convert_command
from mlet_bench.config.compose import Composed, Composer, plain
from mlet_bench.errors import RunFailedError, UserError
from mlet_bench.report.console.progress import ProgressConsole, make_console
from mlet_bench.runs import limits
from mlet_bench.runs.limits import Needs
from mlet_bench.runs.run_folder import RunFolder
from mlet_bench.runs.sweep_folder import SweepFolder


def sweep(composer: Composer, overrides: Sequence[str], jobs: Sequence[Composed]) -> list[dict[str, Any]]:
    """Run the jobs that the overrides stand for; what each came to.

    UserError, before anything is created, if none of them can run, or if the disk cannot hold what they will leave.
    Where the data are not prepared yet, each job looks for itself when its turn comes.
    """
    mistakes, known = [], {}
    for one in jobs:
        try:
            found = _needs(one)
        except UserError as error:
            mistakes.append((one, error))
            continue
        if found is not None:
            known[found[1].path] = found
    if len(mistakes) == len(jobs):  # as with a single command
        raise mistakes[0][1]
    limits.check_runs(list(known.values()), "the sweep")
    live = ProgressConsole(make_console())
    for one, mistake in mistakes:
        live.say(f"a job will fail: {' '.join(one.overrides)}: {mistake}")

    @contextmanager
    def held(folder: Path) -> Iterator[None]:
        with SweepFolder(folder).opened([one.overrides for one in jobs]):
            ProgressConsole(make_console()).say(
                f"{len(jobs)} jobs; mlet-bench report runs={folder} shows how far they are"
            )
            yield

    return composer.sweep(overrides, job, held)


def _needs(one: Composed) -> tuple[Needs, RunFolder] | None:
    """What a job will take, and its folder; None where its data are not prepared yet. UserError if it cannot run."""
    config = convert_command(TrainCommand, one.values)
    device = recipe.check(config)
    prepared = data.made_before(config.dataset)
    if prepared is None:
        return None
    limits.check_rows(prepared)
    folder = recipe.run_folder(one.run_dir, prepared, recipe.run_fingerprint(config, prepared))
    needs = limits.needs_of(config, prepared)
    if config.rerun or not folder.finished:
        limits.check_run(needs, folder, device)
    return needs, folder


def job(task: DictConfig) -> dict[str, Any]:
    """One job, as Hydra's launchers call it: what failed is recorded and the others go on."""
    settings = HydraConfig.get()
    outcome: dict[str, Any] = {
        "job": list(settings.overrides.task),
        "folder": None,
        "result": None,
        "error": None,
    }
    number = settings.job.num + 1
    with SweepFolder(Path(str(settings.sweep.dir))).job(number) as at_work:
        live = ProgressConsole(make_console(), f"{at_work.headline} · ")
        live.say(f"{at_work.headline} · {' '.join(outcome['job'])}")
        try:
            config = convert_command(TrainCommand, plain(task))
            folder, outcome["result"] = recipe.run(config, str(settings.run.dir), live, at_work.is_in)
            outcome["folder"] = str(folder)
        except (UserError, RunFailedError) as error:
            outcome["error"] = str(error)
        except Exception as error:  # a fault of ours in one job must not stop the others
            outcome["error"] = f"{type(error).__name__}: {error}"
        at_work.error = outcome["error"]
    if outcome["error"]:
        live.say(f"job {number} failed: {outcome['error']}")
    return outcome
