"""A report's tables in the terminal."""

from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlet_bench.analysis.claims import claims
from mlet_bench.analysis.collect import LeftOut
from mlet_bench.analysis.study import Study
from mlet_bench.errors import printable
from mlet_bench.evaluation.buckets import RAREST
from mlet_bench.report import ratio_views, spectra_views, views
from mlet_bench.report.views import View

GAP = 2


def show_report(console: Console, studies: Sequence[Study], left_out: Sequence[LeftOut]) -> None:
    """Each comparison's quality, gains, cost and warnings, the size ratios, the runs that do not count, the claims."""
    for one in studies:
        console.print()
        _say(console, one.comparison.title, "bold")
        _show(console, views.quality(one))
        dim = widest_shared(one)
        for field in dict.fromkeys(name for name in (RAREST, one.comparison.item_field) if name):
            _show(console, views.gains(one, field, dim))
        _show(console, views.cost(one))
        _show(console, spectra_views.updates(one))
        for warning in one.warnings:
            _say(console, f"note: {warning}", "yellow")
    console.print()
    _show(console, ratio_views.size(studies))
    _show(console, views.left_out(left_out))
    _show(console, views.claims(claims(studies)))


def widest_shared(study: Study) -> int | None:
    """The largest d that both a single table and another embedding have."""
    dims = [one.arm.cell.dim for one in study.qualities if one.auc_gain is not None]
    return max(dims, default=None)


def _show(console: Console, view: View | None) -> None:
    if view is None:
        return
    shown, hidden = _fitting(view, console.width)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for position in shown:
        words = position < view.words
        table.add_column(
            Text(printable(view.columns[position])),
            justify="left" if words else "right",
            overflow="fold",
            no_wrap=not words,
            vertical="top" if view.words >= len(view.columns) else "bottom",
        )
    for row in view.rows:
        table.add_row(*(Text(printable(row[position])) for position in shown))
    _say(console, view.title, "underline")
    if view.note:
        _say(console, view.note, "dim")
    console.print(table)
    if hidden:
        _say(console, f"no room here for: {', '.join(hidden)} (all on the page and in the csv files)", "dim")
    console.print()


def _fitting(view: View, width: int) -> tuple[list[int], list[str]]:
    """Positions of the columns that fit, and the names of those left away."""
    shown, hidden = list(range(len(view.columns))), []
    for name in (name for name in view.optional if name in view.columns):
        if sum(_width(view, position) + GAP for position in shown) - GAP <= width:
            break
        shown.remove(view.columns.index(name))
        hidden.append(name)
    return shown, hidden


def _width(view: View, position: int) -> int:
    return max(cell_len(text) for text in (view.columns[position], *(row[position] for row in view.rows)))


def _say(console: Console, text: str, style: str) -> None:
    console.print(Text(printable(text), style=style), soft_wrap=not console.is_terminal)
