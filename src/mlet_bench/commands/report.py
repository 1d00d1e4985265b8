"""runs → comparisons → terminal, csv files, figures and a page."""

from pathlib import Path

from rich.console import Console

from mlet_bench.analysis.arms import SINGLE, Comparison, compare
from mlet_bench.analysis.collect import Collected, collect, holds_run
from mlet_bench.analysis.study import study
from mlet_bench.analysis.svd_control import add_cuts
from mlet_bench.config import ReportCommand
from mlet_bench.errors import UserError, listing, nearest
from mlet_bench.report.console.comparison_table import show_report
from mlet_bench.report.console.sweep_table import show_state
from mlet_bench.runs.sweep_folder import SWEEP, SweepFolder


def make_report(config: ReportCommand, folder: Path, console: Console) -> Path:
    """Show the report of `config.runs` and write it into `folder`; returns the page's path.

    UserError, with nothing written, where a folder is missing, where no run is finished, or where `folder` is a run.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"hydra.run.dir={folder}: is a file, not a folder")
    if holds_run(folder):
        raise UserError(f"hydra.run.dir={folder}: is the folder of a run; choose another")
    found = collect(_folders(config, console))
    if not found.runs:
        raise UserError(_nothing(config, found))
    add_cuts(found, config.runs)
    comparisons, repeated = compare(found.runs)
    _check_dim(config.dim, comparisons)
    left_out = sorted([*found.left_out, *repeated], key=lambda one: str(one.path))
    studies = [study(one, config.margin, config.dim) for one in comparisons]
    show_report(console, studies, left_out)
    from mlet_bench.report.write import write_report

    return write_report(folder, studies, left_out, config.runs)


def _folders(config: ReportCommand, console: Console) -> list[Path]:
    """The folders to read; a sweep's own folder stands for those of its jobs, and how far they are is shown."""
    folders: list[Path] = []
    for folder in config.runs:
        if not (folder / SWEEP).is_file():
            folders.append(folder)
            continue
        jobs = show_state(console, SweepFolder(folder))
        folders += [Path(job.folder) for job in jobs if job.folder is not None and Path(job.folder).is_dir()]
    return folders


def _nothing(config: ReportCommand, found: Collected) -> str:
    where = "runs=" + ",".join(str(path) for path in config.runs)
    if not found.left_out and all((path / SWEEP).is_file() for path in config.runs):
        return f"{where}: no job of the sweep has a run to report yet"
    if not found.left_out:
        return f"{where}: no runs below it; give the folder that train wrote to, for example runs=outputs"
    first = found.left_out[0]
    return f"{where}: no finished run among {len(found.left_out)}; {first.path}: {first.state}, {first.reason}"


def _check_dim(dim: int | None, comparisons: list[Comparison]) -> None:
    singles = sorted({cell.dim for one in comparisons for cell in one.cells if cell.mode == SINGLE})
    if dim is not None and dim not in singles:
        allowed = [str(one) for one in singles]
        raise UserError(
            f"dim={dim}: no single table of that width among the runs; allowed: {listing(allowed) or 'null'}."
            + nearest(str(dim), allowed)
        )
