"""What the figures draw."""

import io
import warnings
from pathlib import Path

import pytest
from matplotlib.container import ErrorbarContainer

from mlet_bench.analysis.study import Study
from mlet_bench.analysis.variants import EmbeddingVariant
from mlet_bench.report.figures import study_figures
from mlet_bench.report.frontier import frontier_figures
from mlet_bench.report.plotting import BLACK, COLOURS, FigureFile, looks, styled, titled
from mlet_bench.report.size_ratio import size_ratio_figure
from tests.analysis.runs import only_study, write_grid, write_run

OKABE_ITO = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}


def drawn(root: Path) -> tuple[Study, dict[str, FigureFile]]:
    study = only_study(root)
    with styled():
        return study, {figure.name: figure for figure in (*study_figures(study), *size_ratio_figure([study]))}


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, dict[str, FigureFile]]:
    root = tmp_path_factory.mktemp("grid")
    write_grid(root)
    return drawn(root)


def curves(figure: FigureFile) -> dict[str, tuple[list[float], list[float], list[float]]]:
    """Label → x, y and half the length of the bars."""
    (axes,) = figure.figure.axes
    shown = {}
    for curve in axes.containers:
        assert isinstance(curve, ErrorbarContainer)
        line, _, (bars,) = curve.lines
        ends = [(segment[1][1] - segment[0][1]) / 2 for segment in bars.get_segments()]
        points = [float(x) for x in line.get_xdata()], [float(y) for y in line.get_ydata()]
        shown[str(curve.get_label())] = (*points, ends)
    return shown


def test_curves_show_means_and_one_standard_deviation(grid: tuple[Study, dict[str, FigureFile]]) -> None:
    study, figures = grid
    shown = curves(figures["auc-by-d"])
    assert list(shown) == ["single", "mlet k = 8", "mlet k = 32"]
    for name, (x, y, bars) in shown.items():
        own = [result for result in study.results if result.variant.curve == name]
        assert x == pytest.approx([result.variant.dim for result in own], rel=0.1)  # set a little apart
        assert y == pytest.approx([result.auc.mean for result in own])
        assert bars == pytest.approx([result.auc.sd for result in own])
    assert list(curves(figures["auc-by-k"])) == ["d = 2", "d = 4", "d = 8"]


def test_gains_show_the_interval(grid: tuple[Study, dict[str, FigureFile]]) -> None:
    study, figures = grid
    for name, (_, y, bars) in curves(figures["gain-rarest"]).items():
        of_curve = [row for row in study.buckets if row.variant.curve == name and row.variant.dim == 8]
        own = [row.auc_gain for row in of_curve if row.auc_gain]
        assert y == pytest.approx([gain.mean for gain in own])
        assert bars == pytest.approx([gain.half for gain in own], abs=1e-12)


def test_every_figure_says_what_and_in_which_units(grid: tuple[Study, dict[str, FigureFile]]) -> None:
    _, figures = grid
    assert set(figures) == {"auc-by-d", "auc-by-k", "gain-rarest", "learning-curves", "time-ratio", "memory-ratio",
                            "size-ratio"}  # fmt: skip
    for name, figure in figures.items():
        (axes,) = figure.figure.axes
        assert axes.get_title(loc="left")
        assert axes.get_xlabel()
        assert axes.get_ylabel() or name == "size-ratio"
        assert figure.caption


def test_nothing_to_draw_is_no_figure(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    (folder / "metrics.jsonl").write_text("")
    assert drawn(tmp_path)[1] == {}


def test_curves_differ_in_more_than_colour() -> None:
    factorised = [EmbeddingVariant("mlet", 4, 2**power) for power in range(12)]
    shown = looks([EmbeddingVariant("single", 4, None), *factorised])
    assert shown["single"].color == BLACK
    assert set(COLOURS) < OKABE_ITO
    assert len({(look.marker, look.linestyle) for look in shown.values()}) == len(set(shown.values())) == 13


def test_curves_over_k_are_told_apart_by_mode_where_several_have_a_k(tmp_path: Path) -> None:
    for mode, inner in (("single", None), ("later", 4), ("later", 8), ("mlet", 4), ("mlet", 8)):
        write_run(tmp_path, mode, 4, inner)
    assert list(curves(drawn(tmp_path)[1]["auc-by-k"])) == ["later, d = 4", "mlet, d = 4"]


def test_long_names_stand_whole_in_a_title() -> None:
    name = "movielenslatest_x1_with_a_name_of_its_own · autoint_plus · tuned with 20 trials each (2)"
    lines = titled("Test AUC by embedding width", name).split("\n")
    assert " ".join(lines[1:]) == name
    assert max(map(len, lines)) <= 46


def test_quality_by_bytes_has_few_named_ticks_and_no_empty_figure(tmp_path: Path) -> None:
    for dim in (2, 4):  # the buckets of these runs have no tenths
        size = {"collapse": {"embedding_bytes_inference": 1024**dim}}
        write_run(tmp_path, "single", dim, None, 1, result=size)
        write_run(tmp_path, "robe", dim, None, 1, result=size)
    with styled():
        figures = {figure.name: figure for figure in frontier_figures(only_study(tmp_path))}
    assert list(figures) == ["bytes-auc", "bytes-logloss"]
    (plot,) = figures["bytes-auc"].figure.axes
    assert [label.get_text() for label in plot.get_xticklabels()] == [
        "1 MiB", "8 MiB", "64 MiB", "512 MiB", "4 GiB", "32 GiB", "256 GiB"
    ]  # fmt: skip


def test_many_embeddings_leave_the_axes_their_height_and_no_figure_that_nobody_can_read(tmp_path: Path) -> None:
    for dim in (2, 4):
        write_run(tmp_path, "single", dim, None, 1, result={"collapse": {"embedding_bytes_inference": 1000 * dim}})
    for number in range(30):
        size = {"collapse": {"embedding_bytes_inference": 100 + number}}
        write_run(tmp_path, f"mode{number}", 4, None, 1, result=size)
    study, figures = drawn(tmp_path)
    assert len([row for row in study.chosen if row.auc_gain]) == 30
    assert set(figures) == {"auc-by-d", "bytes-auc", "bytes-logloss"}
    assert list(curves(figures["auc-by-d"])) == ["single"]  # the others have one width
    with styled(), warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in figures.values():
            figure.figure.savefig(io.BytesIO(), format="png")
            (axes,) = figure.figure.axes
            assert axes.get_position().height * figure.figure.get_figheight() > 1.5, figure.name
