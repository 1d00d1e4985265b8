"""Size ratios at equal quality: their tables and their figure."""

from collections.abc import Iterator, Sequence
from dataclasses import fields

from matplotlib.axes import Axes

from mlet_bench.analysis import formatting
from mlet_bench.analysis.claims import LARGEST_RATIO, MEAN_RATIO
from mlet_bench.analysis.formatting import ratio_interval
from mlet_bench.analysis.size_ratio import SizeRatio, Summary
from mlet_bench.analysis.study import Study
from mlet_bench.report.plotting import BLACK, FigureFile, axes, lines, log_ticks, look, powers_of_two
from mlet_bench.report.study_tables import TASK
from mlet_bench.report.table import DIFFERENCE, INTERVAL, Column, Table


def every_ratio(studies: Sequence[Study]) -> Table:
    """The size ratio at each width of the standard embedding."""
    columns = (
        *TASK,
        Column("d_ref", "ref_dim", key="d_ref"),
        Column("", "is_headline", key="headline"),
        Column("", "margin", key="margin"),
        Column("single's validation AUC", "valid_auc", formatting.number, "single_valid_auc"),
        Column("seeds", "seeds", key="seeds", dropped=2),
        Column("", lambda ratio: ratio.reached is not None, key="reached"),
        Column("reached by", lambda ratio: ratio.mlet.variant.label if ratio.mlet else "not reached"),
        Column("", "mlet.variant.dim", key="d"),
        Column("", "mlet.variant.mode", key="mode"),
        Column("", "mlet.variant.inner", key="k"),
        Column("", "widest", key="widest_d_tried"),
        Column("", "reached.is_smallest_tried", key="no_smaller_d_tried"),
        Column("ratio", _bounded),
        Column("", "ratio", key="ratio"),
        Column("95 % interval", "ci95", ratio_interval, "ratio_ci95", INTERVAL, dropped=5),
        Column("interpolated d", "reached.interpolated", "{:.1f}".format, "interpolated_d"),
        Column("interpolated", "interpolated_ratio", formatting.ratio, "interpolated_ratio", dropped=3),
        Column("its interval", "interpolated_ci95", ratio_interval, "interpolated_ci95", INTERVAL),
        Column("parameters", "parameters", formatting.ratio, "parameters_ratio", dropped=1),
        Column("test gain in AUC", "test", formatting.diff_ci, "test_auc_gain", DIFFERENCE, dropped=4),
    )
    rows = [ratio for study in studies for ratio in study.ratios]
    return Table("Size ratio at every d_ref", columns, rows, "As above, for every width of the standard embedding.")


def headlines(studies: Sequence[Study]) -> Table:
    """The size ratio of every comparison at the d_ref asked for, or the largest."""
    table = every_ratio(studies).without("single's validation AUC", "interpolated d", "its interval")
    rows = [ratio for ratio in table.rows if ratio.is_headline]
    columns = [Column("data set · model", "group.task.title", words=True), *table.columns]
    margin = rows[0].margin if rows else 0.0
    note = (
        "d_ref, a width of the standard embedding (single), over the smallest d with which MLET reaches its mean "
        f"validation AUC (margin {margin:g}): the ratio of their bytes after training. Interval: bootstrap over seeds. "
        "≥: no smaller d was tried. Interpolated: on the line between widths, over log d. Test gain: AUC of that MLET "
        "configuration minus that of the standard embedding at d_ref. Parameters: ratio of the whole models, after "
        "collapse."
    )
    return Table("Size ratio at equal quality", columns, rows, note)


def _bounded(ratio: SizeRatio) -> str:
    if ratio.reached is None or ratio.ratio is None:
        return f"< {formatting.ratio(ratio.ref_dim / ratio.widest)}"
    return "≥ " * ratio.reached.is_smallest_tried + formatting.ratio(ratio.ratio)


def summaries(studies: Sequence[Study]) -> Table:
    """Mean and maximum over the models of each data set, where there are several sets, and over all; none of one
    comparison alone."""
    sets = list(dict.fromkeys(study.comparison.task.dataset for study in studies))
    over = {name: [study for study in studies if study.comparison.task.dataset == name] for name in sets}
    over = {**(over if len(sets) > 1 else {}), "all": list(studies)}
    ratios = {name: [study.headline for study in group if study.headline] for name, group in over.items()}
    columns = [Column("over", "over", words=True)]
    columns += [Column("", field.name, key=field.name) for field in fields(Summary)]
    columns += [
        Column("reached", lambda summary: f"{summary.reached} of {summary.comparisons}"),
        Column("mean", "mean", formatting.ratio),
        Column("maximum", "maximum", formatting.ratio),
        Column("interpolated mean", "interpolated_mean", formatting.ratio),
        Column("interpolated maximum", "interpolated_maximum", formatting.ratio),
        Column("bound", lambda summary: "≥" if summary.is_bound else ""),
    ]
    rows = [Summary.of(name, group) for name, group in ratios.items() if len(group) > 1]
    note = "Over the ratios that were reached. ≥: some were reached at the smallest d tried, so they may be larger."
    return Table("Size ratio over several comparisons", columns, rows, note)


def size_ratio_figure(studies: Sequence[Study]) -> Iterator[FigureFile]:
    """The headline ratio of every comparison with its interval, and the paper's ratios."""
    ratios = [(lines(study.title, 34), study.headline) for study in studies if study.headline]
    if not any(ratio.ratio for _, ratio in ratios):
        return
    height = sum(len(title) for title, _ in ratios)
    figure, plot = axes("Size ratio at equal quality", "", "d_ref over d of MLET", "", rows=height)
    ends = [2.0**-1, 2.0**4]
    for place, (_, ratio) in enumerate(ratios):
        ends += _draw_ratio(plot, place, ratio)
    for value in (MEAN_RATIO, LARGEST_RATIO):
        plot.axvline(value, color=look(1).color, linestyle=":", linewidth=1.4)
    plot.axvline(1, color=BLACK, linewidth=0.8)
    plot.set_yticks(range(len(ratios)), ["\n".join(title) for title, _ in ratios])
    plot.set_ylim(len(ratios) - 0.5, -0.5)
    log_ticks(plot, powers_of_two(min(ends), max(ends)))
    caption = (
        "Disc: on the grid of d; hollow diamond: interpolated; bars: 95 % bootstrap interval over seeds. Arrow to the "
        "right: no smaller d was tried; to the left: not reached. Dotted: mean and maximum of arXiv 2309.15881."
    )
    yield FigureFile("size-ratio", caption, figure)


def _draw_ratio(plot: Axes, place: int, ratio: SizeRatio) -> list[float]:
    """One comparison's ratio; returns the values that the axis must hold."""
    color, lowest = look(0).color, ratio.ref_dim / ratio.widest
    if ratio.ratio is None or ratio.interpolated_ratio is None or ratio.reached is None:
        plot.plot([lowest], [place], marker="<", color=color, linestyle="none")
        return [lowest]
    low = high = ratio.ratio
    if ratio.ci95 is not None:
        low, high = (end or lowest / 2 for end in ratio.ci95)
        plot.plot([low, high], [place, place], color=color, linewidth=1.2)
        if ratio.ci95[0] == 0:
            plot.plot([low], [place], marker="<", color=color, linestyle="none")
    if ratio.interpolated_ratio != ratio.ratio:
        plot.plot(
            [ratio.interpolated_ratio], [place], marker="D", color=color, markerfacecolor="white", linestyle="none"
        )
    marker = ">" if ratio.reached.is_smallest_tried else "o"
    plot.plot([ratio.ratio], [place], marker=marker, color=color, linestyle="none")
    return [low, high, ratio.ratio, ratio.interpolated_ratio]
