"""A report on the disk: csv files, figures and the page."""

import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from mlet_bench.analysis.findings import Findings
from mlet_bench.report import frontier, size_ratio, spectra, study_tables
from mlet_bench.report.figures import study_figures
from mlet_bench.report.page import Picture, render
from mlet_bench.report.paper_figures import paper_figures
from mlet_bench.report.paper_tables import paper_tables
from mlet_bench.report.plotting import FigureFile, own_ids, styled
from mlet_bench.report.table import Table, csv_text
from mlet_bench.system import files

PAGE, FIGURES, TABLES = "report.html", "figures", "tables"
OURS = re.compile(r"\d\d-[a-z0-9-]+\.(svg|png)")
"""Names of our figures: those of an earlier report are removed."""


def write_report(folder: Path, found: Findings, folders: Sequence[Path]) -> Path:
    """Write everything into `folder`, made if missing; returns the page's path. The same input gives the same bytes."""
    for name in (FIGURES, TABLES):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for path in (folder / FIGURES).iterdir():
        if OURS.fullmatch(path.name):
            path.unlink()
    for name, tables in csv_tables(found).items():
        path = folder / TABLES / f"{name}.csv"
        if name.startswith(("spectra", "paper_", "bytes")) and not any(table.rows for table in tables):
            path.unlink(missing_ok=True)  # an earlier report's
        else:
            files.write_text(path, files.encodable(csv_text(tables)))
    with styled():
        overall = _write_figures(folder / FIGURES, 0, size_ratio.size_ratio_figure(found.studies))
        paper = _write_figures(folder / FIGURES, 0, paper_figures(found.experiments))
        pictures = [
            _write_figures(folder / FIGURES, position, study_figures(study))
            for position, study in enumerate(found.studies, start=1)
        ]
    files.write_text(folder / PAGE, files.encodable(render(found, pictures, overall, paper, folders)))
    return folder / PAGE


def csv_tables(found: Findings) -> dict[str, list[Table]]:
    """The tables of each csv file; one without rows is an empty file with no header."""
    studies = found.studies
    return {
        "claims": [study_tables.claims(found.claims)],
        "quality": [study_tables.every_setting(studies)],
        "paired_delong": [study_tables.pairs(studies)],
        "buckets": [study_tables.buckets(studies)],
        "size_ratio": [size_ratio.every_ratio(studies)],
        "size_ratio_summary": [size_ratio.summaries(studies)],
        "cost": [study_tables.costs(studies)],
        "bytes": [frontier.points_table(study) for study in studies],
        "runs": [study_tables.runs(studies), study_tables.left_out(found.left_out)],
        "spectra": [spectra.every_spectrum(studies)],
        **{name: [table] for name, table in paper_tables(found.experiments).items()},
    }


def _write_figures(folder: Path, number: int, figures: Iterable[FigureFile]) -> list[Picture]:
    """Write each figure as SVG and PNG; `number` begins their names: 00 for all comparisons, then one by one."""
    pictures = []
    for figure in figures:
        name = f"{number:02d}-{figure.name}"
        svg = _bytes(figure.figure, "svg")
        for kind, content in (("svg", svg), ("png", _bytes(figure.figure, "png"))):
            with files.whole(folder / f"{name}.{kind}") as temporary:
                temporary.write_bytes(content)
        inline = own_ids(svg[svg.index(b"<svg") :].decode(), f"f{name}")
        pictures.append(Picture(Markup(inline), figure.title, figure.caption))
    return pictures


def _bytes(figure: Figure, kind: str) -> bytes:
    """Without the time and the versions that matplotlib would write into it."""
    content = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    figure.savefig(content, format=kind, metadata=metadata)
    return content.getvalue()
