"""What all figures share: colours that colour-blind readers can tell apart, with a marker and a line style each.

Colours: Okabe & Ito (2008), without yellow, which is too pale for lines on white.
"""

import math
import re
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mlet_bench.analysis.variants import EmbeddingVariant

BLACK = "#000000"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "sD^vPXo<>"
LINES = ("-", "--", "-.", ":")
LEGEND_LINES, LEGEND_LINE = 3, 0.2  # as many as HEIGHT has room for; inches of another one
WIDTH, HEIGHT = 5.0, 3.7  # inches: two stand side by side on a desktop, and 10 points stay readable on a phone
TITLE_LETTERS = 46
"""In a line of a title."""
MOST_CURVES = 12
"""In a figure where every curve has points at the same places."""
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


@dataclass(frozen=True)
class FigureFile:
    name: str
    caption: str
    figure: Figure

    @property
    def title(self) -> str:
        return self.figure.axes[0].get_title(loc="left").replace("\n", ", ")


class Look(NamedTuple):
    color: str
    marker: str
    linestyle: str


def looks(variants: Iterable[EmbeddingVariant]) -> dict[str, Look]:
    """Of each curve where d is an axis or fixed, standard embeddings first; the same ones look alike in all figures."""
    ordered = sorted(set(variants), key=lambda variant: variant.order)
    ordered.sort(key=lambda variant: (not variant.is_baseline, variant.mode, variant.inner or 0))
    others = dict.fromkeys(variant.curve for variant in ordered if not variant.is_baseline)
    baselines = {variant.curve: Look(BLACK, "o", "-") for variant in ordered if variant.is_baseline}
    return baselines | {curve: look(place) for place, curve in enumerate(others)}


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
    plot = figure.add_subplot()
    plot.set_title(titled(title, subtitle))
    plot.set_xlabel(x)
    plot.set_ylabel(y)
    return figure, plot


def along_epochs(
    title: str, subtitle: str, y: str, points: Mapping[EmbeddingVariant, Iterable[tuple[float, float]]]
) -> tuple[Figure, Axes]:
    """A curve for each variant through its (epoch, value) points, with the mean where an epoch has several."""
    figure, plot = axes(title, subtitle, "epochs", y)
    shown = looks(points)
    for variant, own in points.items():
        values: dict[float, list[float]] = {}
        for epoch, value in own:
            values.setdefault(round(epoch, 6), []).append(value)
        means = {epoch: fmean(values[epoch]) for epoch in sorted(values)}
        plot.plot(list(means), list(means.values()), label=variant.curve, **shown[variant.curve]._asdict())
    legend(figure, plot)
    return figure, plot


def titled(title: str, subtitle: str) -> str:
    """Both in lines that a figure has room for."""
    return "\n".join([*textwrap.wrap(title, TITLE_LETTERS), *lines(subtitle, TITLE_LETTERS)])


def lines(name: str, letters: int) -> list[str]:
    """A name in lines of so many letters; only one that fills four of them is truncated."""
    return textwrap.wrap(short(name, 4 * letters), letters)


def legend(figure: Figure, plot: Axes) -> None:
    """Below the axes, where it covers nothing; a long one makes the figure higher and leaves the axes as they are."""
    handles, labels = plot.get_legend_handles_labels()
    if labels:
        columns = 5 if max(map(len, labels)) <= 6 else 3 if max(map(len, labels)) <= 18 else 2
        more = math.ceil(len(labels) / columns) - LEGEND_LINES
        if more > 0:
            figure.set_figheight(figure.get_figheight() + LEGEND_LINE * more)
        figure.legend(handles, [short(label) for label in labels], loc="outside lower center", ncols=columns)


def log_ticks(plot: Axes, values: Sequence[Any], name: Callable[[Any], str] = "{:g}".format) -> None:
    """A logarithmic x axis that names these values."""
    plot.set_xscale("log", base=2)
    plot.xaxis.set_ticks(values, [name(value) for value in values])
    plot.xaxis.set_ticks([], minor=True)


def log_bytes(plot: Axes, sizes: Sequence[float]) -> None:
    """A logarithmic x axis of bytes: at most seven powers of two with their units."""
    powers = [power for power in range(64) if min(sizes) / 1.5 <= 2**power <= max(sizes) * 1.5]
    log_ticks(plot, [2**power for power in powers[:: math.ceil(len(powers) / 7)]], binary)


def log_values(plot: Axes) -> None:
    """A logarithmic y axis over what is drawn, with plain numbers: the default ones need the $ of formulas."""
    plot.set_yscale("log")
    low, high = plot.get_ylim()
    plot.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 100 * low else (1.0, 2.0, 5.0)))
    plot.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    plot.yaxis.set_minor_formatter(NullFormatter())


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


def binary(size: int) -> str:
    """
    >>> binary(512), binary(2**21), binary(2**34)
    ('512 B', '2 MiB', '16 GiB')
    """
    unit = min((size.bit_length() - 1) // 10, 4)
    return f"{size / 1024**unit:g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[unit]}"


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
