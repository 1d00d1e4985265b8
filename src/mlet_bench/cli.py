"""command → function. Heavy modules are imported when a command needs them, so that --help answers at once."""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlet_bench import __version__
from mlet_bench.commands import help_text
from mlet_bench.commands.arguments import Arguments, parse
from mlet_bench.commands.one_config import one_config, show_config
from mlet_bench.errors import Interrupted, RunFailedError, UserError, listing, nearest, one_line
from mlet_bench.report.console.loading import loading
from mlet_bench.runs import run_log
from mlet_bench.system import launch, signals
from mlet_bench.system.streams import NO_PATH, OUT_OF_MEMORY, write_whatever

if TYPE_CHECKING:
    from mlet_bench.config import TrainCommand
    from mlet_bench.config.compose import Composer

DONE, FAILED, MISTAKE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code: 0 done, 1 failed, 2 mistake, 130 Ctrl-C, 143 SIGTERM."""
    words = list(sys.argv[1:] if argv is None else argv)
    write_whatever()
    if launch.launched().size > 1:  # where a process is gone, the others say so in a line: PyTorch would add a page
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        return launch.ended(_dispatch(words))
    except UserError as error:
        return _end(str(error), MISTAKE)
    except RunFailedError as error:
        return _end(str(error), FAILED)
    except Interrupted as stop:
        how = " without rerun=true" if "rerun=true" in words else ""
        return _end(f"{str(stop) or 'stopped'}; the same command{how} resumes it", 128 + stop.signal_number)
    except KeyboardInterrupt:  # before our handlers were in place: nothing was begun
        return _end("stopped", 130)
    except OSError as error:  # a full disk, a missing right: what was written before is whole
        where = f"{error.filename}: " if error.filename else ""
        return _end(f"{where}{error.strerror or error}", MISTAKE if error.errno in NO_PATH else FAILED)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        return _end("memory ran out, other processes may hold it; what was written before is whole", FAILED)


def _end(line: str, code: int) -> int:
    if launch.may_speak():
        print(f"mlet-bench: {one_line(line)}", file=sys.stderr, flush=True)
    return launch.ended(code)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("--help", "-h", "help"):
        print(help_text.overview())
        return DONE
    if words[0] == "--version":
        print(f"mlet-bench {__version__}")
        return DONE
    command, rest = words[0], words[1:]
    if command not in COMMANDS:
        raise UserError(f"{command}: no such command; allowed: {listing(COMMANDS)}.{nearest(command, COMMANDS)}")
    asked = next((word for word in rest if word in ("--help", "-h")), None)
    if asked is not None:
        following = rest[rest.index(asked) + 1 :]
        print(help_text.of(command, following[0] if following and "=" not in following[0] else None))
        return DONE
    launch.check(command, rest)
    signals.install()
    run_log.command.set(one_line(shlex.join(["mlet-bench", *words])))
    return COMMANDS[command](parse(rest))


def _train(arguments: Arguments) -> int:
    with loading():
        from mlet_bench.config.compose import Composer
    composer = Composer("config", arguments.config_dir)
    if arguments.multirun and arguments.show_config:
        raise UserError("--cfg job: shows one config; leave out -m")
    if arguments.multirun:
        return _sweep(composer, arguments)
    told = launch.word()
    if "ended" in told:  # what the first process of a launch has said of it is enough
        return int(told["ended"])
    composed = composer.one(arguments.overrides)
    if arguments.show_config:
        show_config(composed)
        return DONE
    from mlet_bench.config import TrainCommand, convert_command

    with composed.origin.named():
        config = convert_command(TrainCommand, composed.values)
    if config.plan:
        return _plan(config)
    with loading():
        from mlet_bench.commands import train as recipe
    from mlet_bench.report.console.progress import ProgressConsole, make_console
    from mlet_bench.report.console.run_table import show_result

    console = make_console()
    if told:
        console.quiet = True
        recipe.follow(config, told, ProgressConsole(console))
        return DONE
    with composed.origin.named():
        folder, result = recipe.run(config, composed.run_dir, ProgressConsole(console))
    show_result(console, result.as_json(), folder, config.dataset.item_field)
    return DONE


def _plan(config: "TrainCommand") -> int:
    with loading():
        from mlet_bench.commands.plan import plan
    from mlet_bench.report.console.plan_table import show_plan
    from mlet_bench.report.console.progress import make_console

    show_plan(make_console(), plan(config))
    return DONE


def _sweep(composer: "Composer", arguments: Arguments) -> int:
    jobs = composer.jobs(arguments.overrides)
    with loading():
        from mlet_bench.commands import sweep as sweep_command
    from mlet_bench.report.console.progress import make_console, make_progress
    from mlet_bench.report.console.sweep_table import show_sweep

    outcomes = sweep_command.sweep(composer, arguments.overrides, jobs, make_progress)
    show_sweep(make_console(), outcomes)
    return DONE if all(outcome["error"] is None for outcome in outcomes) else FAILED


def _prepare(arguments: Arguments) -> int:
    composed = one_config("prepare", arguments)
    if composed is None:
        return DONE
    from mlet_bench.config import PrepareCommand, convert_command

    config = convert_command(PrepareCommand, composed.values)
    with loading():
        from mlet_bench.commands.prepare import prepare
    from mlet_bench.report.console.progress import ProgressConsole, make_console
    from mlet_bench.report.console.run_table import show_prepared

    console = make_console()
    folder = Path(composed.run_dir) if composed.run_dir_given else None
    show_prepared(console, prepare(config, folder, ProgressConsole(console)))
    return DONE


def _evaluate(arguments: Arguments) -> int:
    composed = one_config("evaluate", arguments)
    if composed is None:
        return DONE
    from mlet_bench.config import EvaluateCommand, convert_command

    config = convert_command(EvaluateCommand, composed.values)
    with loading():
        from mlet_bench.commands.evaluate import evaluate_run
    from mlet_bench.report.console.progress import ProgressConsole, make_console
    from mlet_bench.report.console.run_table import show_evaluation

    console = make_console()
    folder, found = evaluate_run(config, composed.run_dir, ProgressConsole(console))
    show_evaluation(console, found, folder)
    return DONE


def _predict(arguments: Arguments) -> int:
    composed = one_config("predict", arguments)
    if composed is None:
        return DONE
    from mlet_bench.config import convert_command
    from mlet_bench.config.predict import PredictCommand

    config = convert_command(PredictCommand, composed.values)
    with loading():
        from mlet_bench.commands.predict import predict_rows
    from mlet_bench.report.console.predict_lines import show_predictions
    from mlet_bench.report.console.progress import ProgressConsole, make_console

    console = make_console()
    folder, found = predict_rows(config, composed.run_dir, ProgressConsole(console))
    show_predictions(console, found, folder)
    return DONE


def _export(arguments: Arguments) -> int:
    composed = one_config("export", arguments)
    if composed is None:
        return DONE
    from mlet_bench.config import ExportCommand, convert_command

    config = convert_command(ExportCommand, composed.values)
    with loading():
        from mlet_bench.commands.export import export_run
    from mlet_bench.report.console.export_table import show_export
    from mlet_bench.report.console.progress import ProgressConsole, make_console

    console = make_console()
    folder, found = export_run(config, composed.run_dir, ProgressConsole(console))
    show_export(console, found, folder)
    return DONE


def _tune(arguments: Arguments) -> int:
    with loading():
        from mlet_bench.config.arms import compose_tune

    composed = one_config("tune", arguments, compose_tune)
    if composed is None:
        return DONE
    from mlet_bench.config import TuneCommand, convert_command

    with composed.origin.named():
        config = convert_command(TuneCommand, composed.values)
    with loading():
        from mlet_bench.commands import tune as tune_command
    from mlet_bench.report.console.progress import ProgressConsole, make_console
    from mlet_bench.report.console.tune_table import show_tuning
    from mlet_bench.runs.tune_folder import succeeded

    console = make_console()
    with composed.origin.named():
        folder, found = tune_command.tune(config, composed.run_dir, ProgressConsole(console))
    show_tuning(console, found, folder)
    return DONE if succeeded(found) else FAILED


def _bench(arguments: Arguments) -> int:
    composed = one_config("bench", arguments)
    if composed is None:
        return DONE
    from mlet_bench.config import BenchCommand, convert_command

    config = convert_command(BenchCommand, composed.values)
    with loading():
        from mlet_bench.commands import bench
    from mlet_bench.report.console.bench_table import show_bench
    from mlet_bench.report.console.progress import ProgressConsole, make_console

    console = make_console()
    folder, found = bench.bench(config, composed.run_dir, ProgressConsole(console).say)
    show_bench(console, found, folder)
    return DONE


def _report(arguments: Arguments) -> int:
    composed = one_config("report", arguments)
    if composed is None:
        return DONE
    from mlet_bench.config import ReportCommand, convert_command

    config = convert_command(ReportCommand, composed.values)
    with loading():
        from mlet_bench.commands.report import make_report
    from mlet_bench.report.console.progress import make_console

    console = make_console()
    page = make_report(config, Path(composed.run_dir), console)
    console.print(str(page), markup=False, emoji=False, soft_wrap=True)
    return DONE


def _runs(arguments: Arguments) -> int:
    with loading():
        from mlet_bench.analysis.run_list import run_list
    from mlet_bench.report.console.progress import make_console
    from mlet_bench.report.console.runs_table import show_runs

    folders = [word for word in arguments.overrides if "=" not in word]
    if len(folders) > 1 or arguments.multirun or arguments.show_config:
        raise UserError("runs: takes one folder, and key=value of the runs to show")
    folder = Path(folders[0] if folders else "outputs")
    show_runs(make_console(), run_list(folder, [word for word in arguments.overrides if "=" in word]), folder)
    return DONE


COMMANDS: dict[str, Callable[[Arguments], int]] = {
    "train": _train,
    "prepare": _prepare,
    "evaluate": _evaluate,
    "predict": _predict,
    "export": _export,
    "tune": _tune,
    "report": _report,
    "runs": _runs,
    "bench": _bench,
}
