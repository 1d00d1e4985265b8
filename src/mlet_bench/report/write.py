"""A report on the disk: csv files, figures and the page."""

import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from mlet_bench.analysis.collect import LeftOut
from mlet_bench.analysis.study import Study
from mlet_bench.report import figures, ratio_figure, spectra_figure
from mlet_bench.report.csv_tables import write_tables
from mlet_bench.report.figures import Drawn
from mlet_bench.report.page import Picture, render
from mlet_bench.report.style import own_ids, styled
from mlet_bench.system import files

PAGE, FIGURES, TABLES = "report.html", "figures", "tables"
OURS = re.compile(r"\d\d-[a-z-]+\.(svg|png)")
"""Names of our figures: those of an earlier report are removed."""


def write_report(folder: Path, studies: Sequence[Study], left_out: Sequence[LeftOut], folders: Sequence[Path]) -> Path:
    """Write everything into `folder`, made if missing; returns the page's path. The same input gives the same bytes."""
    for name in (FIGURES, TABLES):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for path in (folder / FIGURES).iterdir():
        if OURS.fullmatch(path.name):
            path.unlink()
    write_tables(folder / TABLES, studies, left_out)
    with styled():
        overall = _draw(folder / FIGURES, 0, ratio_figure.size_ratios(studies))
        pictures = {
            position: _draw(folder / FIGURES, position + 1, [*figures.of_study(one), *spectra_figure.of_study(one)])
            for position, one in enumerate(studies)
        }
    page = render(studies, pictures, overall, left_out, folders)
    files.write_text(folder / PAGE, files.encodable(page))
    return folder / PAGE


def _draw(folder: Path, number: int, drawn: Iterable[Drawn]) -> list[Picture]:
    """Write each figure as SVG and PNG; `number` begins their names: 00 for all comparisons, then one by one."""
    pictures = []
    for one in drawn:
        name = f"{number:02d}-{one.name}"
        svg = _bytes(one.figure, "svg")
        for kind, content in (("svg", svg), ("png", _bytes(one.figure, "png"))):
            with files.whole(folder / f"{name}.{kind}") as temporary:
                temporary.write_bytes(content)
        inline = own_ids(svg[svg.index(b"<svg") :].decode(), f"f{name}")
        title = one.figure.axes[0].get_title(loc="left").replace("\n", ", ")
        pictures.append(Picture(Markup(inline), title, one.caption))
    return pictures


def _bytes(figure: Figure, kind: str) -> bytes:
    """Without the time and the versions that matplotlib would write into it."""
    held = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    figure.savefig(held, format=kind, metadata=metadata)
    return held.getvalue()
