"""runs → findings → terminal, csv files, figures and a page."""

from pathlib import Path

from rich.console import Console

from mlet_bench.analysis.collect import holds_run
from mlet_bench.analysis.findings import findings
from mlet_bench.config import ReportCommand
from mlet_bench.errors import UserError
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
    found = findings(_folders(config, console), config.margin, config.dim, config.runs)
    from mlet_bench.report.console.report_tables import show_report  # Matplotlib takes a while to import
    from mlet_bench.report.write import write_report

    show_report(console, found)
    return write_report(folder, found, config.runs)


def _folders(config: ReportCommand, console: Console) -> list[Path]:
    """The folders to read; a sweep's own folder stands for those of its jobs, and how far they are is shown."""
    folders: list[Path] = []
    for folder in config.runs:
        if not (folder / SWEEP).is_file():
            folders.append(folder)
            continue
        jobs = show_state(console, SweepFolder(folder))
        folders += [Path(job.folder) for job in jobs if job.folder is not None and Path(job.folder).is_dir()]
    if not folders:
        raise UserError(f"runs={','.join(map(str, config.runs))}: no job of the sweep has a run to report yet")
    return folders
