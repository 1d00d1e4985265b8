"""What the figures draw."""

from pathlib import Path

import pytest
from matplotlib.container import ErrorbarContainer

from mlet_bench.analysis.arms import Cell, compare
from mlet_bench.analysis.collect import collect
from mlet_bench.analysis.study import Study, study
from mlet_bench.report.figures import Drawn, of_study
from mlet_bench.report.ratio_figure import size_ratios
from mlet_bench.report.style import BLACK, COLOURS, looks, styled
from tests.analysis.runs import write_grid, write_run

OKABE_ITO = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}


def drawn(root: Path) -> tuple[Study, dict[str, Drawn]]:
    ((one,), _) = compare(collect([root]).runs)
    found = study(one, 0.0, None)
    with styled():
        return found, {figure.name: figure for figure in (*of_study(found), *size_ratios([found]))}


def curves(figure: Drawn) -> dict[str, tuple[list[float], list[float], list[float]]]:
    """Label → x, y and half the length of the bars."""
    (axes,) = figure.figure.axes
    found = {}
    for one in axes.containers:
        assert isinstance(one, ErrorbarContainer)
        line, _, (bars,) = one.lines
        ends = [(segment[1][1] - segment[0][1]) / 2 for segment in bars.get_segments()]
        found[str(one.get_label())] = ([float(x) for x in line.get_xdata()], [float(y) for y in line.get_ydata()], ends)
    return found


def test_curves_show_means_and_one_standard_deviation(tmp_path: Path) -> None:
    write_grid(tmp_path)
    found, figures = drawn(tmp_path)
    shown = curves(figures["auc-by-d"])
    assert list(shown) == ["single", "mlet k = 8", "mlet k = 32"]
    for name, (x, y, bars) in shown.items():
        own = [one for one in found.qualities if one.arm.cell.curve == name]
        assert x == pytest.approx([one.arm.cell.dim for one in own], rel=0.1)  # set a little apart
        assert y == pytest.approx([one.auc.mean for one in own])
        assert bars == pytest.approx([one.auc.sd for one in own])
    assert list(curves(figures["auc-by-k"])) == ["d = 2", "d = 4", "d = 8"]


def test_gains_show_the_interval(tmp_path: Path) -> None:
    write_grid(tmp_path)
    found, figures = drawn(tmp_path)
    for name, (_, y, bars) in curves(figures["gain-rarest"]).items():
        own = [one.auc_gain for one in found.buckets if one.cell.curve == name and one.cell.dim == 8 and one.auc_gain]
        assert y == pytest.approx([one.mean for one in own])
        assert bars == pytest.approx([one.half for one in own], abs=1e-12)


def test_every_figure_says_what_and_in_which_units(tmp_path: Path) -> None:
    write_grid(tmp_path)
    _, figures = drawn(tmp_path)
    assert set(figures) == {"auc-by-d", "auc-by-k", "gain-rarest", "learning-curves", "time-ratio", "memory-ratio",
                            "size-ratio"}  # fmt: skip
    for name, one in figures.items():
        (axes,) = one.figure.axes
        assert axes.get_title(loc="left")
        assert axes.get_xlabel()
        assert axes.get_ylabel() or name == "size-ratio"
        assert one.caption


def test_nothing_to_draw_is_no_figure(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    (folder / "metrics.jsonl").write_text("")
    assert drawn(tmp_path)[1] == {}


def test_curves_differ_in_more_than_colour() -> None:
    cells = [Cell("single", 4, None), *(Cell("mlet", 4, 2**power) for power in range(12))]
    shown = looks(cells)
    assert shown["single"].color == BLACK
    assert set(COLOURS) < OKABE_ITO
    assert len({(look.marker, look.linestyle) for look in shown.values()}) == len(set(shown.values())) == 13
