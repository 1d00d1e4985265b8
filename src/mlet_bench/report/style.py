"""How figures look: colours that colour-blind readers can tell apart, with a marker and a line style each.

Colours: Okabe & Ito (2008), without yellow, which is too pale for lines on white.
"""

import math
import re
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mlet_bench.analysis.arms import SINGLE, Cell

BLACK = "#000000"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "sD^vPXo<>"
LINES = ("-", "--", "-.", ":")
WIDTH, HEIGHT = 5.0, 3.7  # inches: two stand side by side on a desktop, and 10 points stay readable on a phone
TITLE_LETTERS = 46
"""In a line of a title."""
SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that figures are the same everywhere
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.5,
    "errorbar.capsize": 3,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "svg.fonttype": "path",
    "svg.hashsalt": "mlet-bench",
    "savefig.dpi": 200,
}


class Look(NamedTuple):
    color: str
    marker: str
    linestyle: str


SINGLE_LOOK = Look(BLACK, "o", "-")


def looks(cells: Iterable[Cell]) -> dict[str, Look]:
    """Of each curve where d is an axis or fixed, single tables first; the same ones look alike in all figures."""
    ordered = sorted(set(cells), key=lambda cell: (cell.mode != SINGLE, cell.mode, cell.inner or 0))
    names = list(dict.fromkeys(cell.curve for cell in ordered))
    others = [name for name in names if name != SINGLE]
    return {name: SINGLE_LOOK if name == SINGLE else look(others.index(name)) for name in names}


def look(position: int) -> Look:
    """Of the curve at a position: the first six differ in colour, the first 36 in something."""
    return Look(COLOURS[position % len(COLOURS)], MARKERS[position % len(MARKERS)], LINES[position % len(LINES)])


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib's own defaults with SETTINGS, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a name in another script: the page has it
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)  # type: ignore[arg-type, unused-ignore]  # newer stubs list every key
        yield


def axes(title: str, subtitle: str, x: str, y: str, rows: int | None = None) -> tuple[Figure, Axes]:
    """A figure with one pair of axes, titled by what was measured and on what; as high as `rows` lines need."""
    figure = Figure(figsize=(WIDTH, HEIGHT if rows is None else 1.3 + 0.32 * rows), layout="constrained")
    one = figure.add_subplot()
    one.set_title(titled(title, subtitle))
    one.set_xlabel(x)
    one.set_ylabel(y)
    return figure, one


def titled(title: str, subtitle: str) -> str:
    """Both in lines that a figure has room for."""
    return "\n".join([*textwrap.wrap(title, TITLE_LETTERS), *textwrap.wrap(short(subtitle), TITLE_LETTERS)])


def legend(figure: Figure, of: Axes) -> None:
    """Below the axes, where it covers nothing."""
    handles, labels = of.get_legend_handles_labels()
    if labels:
        columns = 5 if max(map(len, labels)) <= 6 else 3
        figure.legend(handles, [short(label) for label in labels], loc="outside lower center", ncols=columns)


def log_ticks(of: Axes, values: Sequence[float]) -> None:
    """A logarithmic x axis that names these values."""
    of.set_xscale("log", base=2)
    of.xaxis.set_ticks(values, [f"{value:g}" for value in values])
    of.xaxis.set_ticks([], minor=True)


def log_values(of: Axes) -> None:
    """A logarithmic y axis over what is drawn, with plain numbers: the default ones need the $ of formulas."""
    of.set_yscale("log")
    low, high = of.get_ylim()
    of.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 100 * low else (1.0, 2.0, 5.0)))
    of.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    of.yaxis.set_minor_formatter(NullFormatter())


def powers_of_two(low: float, high: float) -> list[float]:
    """
    >>> powers_of_two(0.7, 16.0)
    [0.5, 1.0, 2.0, 4.0, 8.0, 16.0]
    """
    return [2.0**power for power in range(math.floor(math.log2(low)), math.ceil(math.log2(high)) + 1)]


def compact(number: int) -> str:
    """
    >>> compact(9_467), compact(58_102), compact(4_587_167)
    ('9,467', '58k', '4.6M')
    """
    return f"{number:,}" if number < 10_000 else f"{number / 1e3:.0f}k" if number < 1e6 else f"{number / 1e6:.1f}M"


def compact_bucket(name: str) -> str:
    """
    >>> compact_bucket("0"), compact_bucket("10-99"), compact_bucket("1000-9999"), compact_bucket("100000+")
    ('never', '10-99', '1k-10k', '100k+')
    """
    if name == "0":
        return "never"
    return re.sub(r"\d{4,}", lambda found: f"{int(found[0]) / 1000:.0f}k", name)


def own_ids(svg: str, name: str) -> str:
    """An SVG without metadata whose ids begin with `name`, so that several can stand in one page.

    >>> own_ids('<g id="a"/><use xlink:href="#a" clip-path="url(#a)"/>', "f1")
    '<g id="f1-a"/><use xlink:href="#f1-a" clip-path="url(#f1-a)"/>'
    """
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    return re.sub(r'(url\(|href=")#', rf"\1#{name}-", svg)


def short(text: str, most: int = 60) -> str:
    """A name from data may be long; the page has it in full.

    >>> short("a" * 70)[-3:], len(short("a" * 70))
    ('aa…', 60)
    """
    text = "".join(letter if letter.isprintable() else "�" for letter in text)
    return text if len(text) <= most else text[: most - 1] + "…"
