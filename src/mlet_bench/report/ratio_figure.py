"""The size ratios of all comparisons in one figure."""

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes

from mlet_bench.analysis.size_ratio import SizeRatio
from mlet_bench.analysis.study import Study
from mlet_bench.report.figures import Drawn
from mlet_bench.report.style import BLACK, axes, log_ticks, look, powers_of_two, short

PAPER = (5.8, 16.0)
"""Mean and maximum over models that arXiv 2309.15881 reports."""


def size_ratios(studies: Sequence[Study]) -> Iterator[Drawn]:
    """The headline ratio of every comparison with its interval, and what the paper says."""
    found = [(one.comparison.title, one.headline) for one in studies if one.headline]
    reached = [(title, ratio) for title, ratio in found if ratio.ratio]
    if not reached:
        return
    figure, plot = axes("Size ratio at equal quality", "", "single table's d_ref over MLET's d", "", rows=len(found))
    ends = [2.0**-1, 2.0**4]
    for place, (_, ratio) in enumerate(found):
        ends += _ratio_row(plot, place, ratio)
    for value in PAPER:
        plot.axvline(value, color=look(1).color, linestyle=":", linewidth=1.4)
    plot.axvline(1, color=BLACK, linewidth=0.8)
    plot.set_yticks(range(len(found)), [short(title, 34) for title, _ in found])
    plot.set_ylim(len(found) - 0.5, -0.5)
    log_ticks(plot, powers_of_two(min(ends), max(ends)))
    caption = (
        "Disc: on the grid of d; hollow diamond: interpolated; bars: 95 % bootstrap interval over seeds. Arrow to the "
        "right: no smaller d was tried; to the left: not reached. Dotted: mean and maximum of arXiv 2309.15881."
    )
    yield Drawn("size-ratio", caption, figure)


def _ratio_row(plot: Axes, place: int, ratio: SizeRatio) -> list[float]:
    """One comparison's ratio; returns the values that the axis must hold."""
    how = look(0)
    if ratio.ratio is None or ratio.interpolated_ratio is None:
        bound = ratio.ref_dim / ratio.widest
        plot.plot([bound], [place], marker="<", color=how.color, linestyle="none")
        return [bound]
    if ratio.ci95 is not None:
        lowest = ratio.ref_dim / ratio.widest
        low, high = (end or lowest / 2 for end in ratio.ci95)
        plot.plot([low, high], [place, place], color=how.color, linewidth=1.2)
        if ratio.ci95[0] == 0:
            plot.plot([low], [place], marker="<", color=how.color, linestyle="none")
    else:
        low = high = ratio.ratio
    if ratio.interpolated_ratio != ratio.ratio:
        between = [ratio.interpolated_ratio]
        plot.plot(between, [place], marker="D", color=how.color, markerfacecolor="white", linestyle="none")
    at_least = ratio.reached is not None and ratio.reached.is_smallest_tried
    plot.plot([ratio.ratio], [place], marker=">" if at_least else "o", color=how.color, linestyle="none")
    return [low, high, ratio.ratio, ratio.interpolated_ratio]
