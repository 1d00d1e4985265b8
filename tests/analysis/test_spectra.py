"""What a report makes of spectra.jsonl."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from mlet_bench import cli
from mlet_bench.analysis.arms import compare
from mlet_bench.analysis.collect import collect
from mlet_bench.analysis.spectra import traced
from mlet_bench.analysis.study import Study, study
from mlet_bench.report import spectra_figure, spectra_views
from mlet_bench.report.style import styled
from tests.analysis.runs import write_run, write_spectra
from tests.conftest import Ended

VALUES = [[2.0, 1.0, 1.0, 1.0], [4.0, 2.0, 1.0, 0.0], [8.0, 4.0, 2.0, 1e-12]]
FIELDS = {"wide": 100, "item": 10}


def studied(root: Path) -> Study:
    ((one,), _) = compare(collect([root]).runs)
    return study(one, 0.0, None)


def write_pair(root: Path, fields: dict[str, int] = FIELDS) -> None:
    for seed in (1, 2):
        write_spectra(write_run(root, "single", 4, None, seed), fields, VALUES, share=0.0)
        doubled = [[seed * value for value in line] for line in VALUES]
        write_spectra(write_run(root, "mlet", 4, 8, seed), fields, doubled, share=0.2 * seed)


def test_the_table_has_means_over_seeds_and_steps(tmp_path: Path) -> None:
    write_pair(tmp_path)
    view = spectra_views.updates(studied(tmp_path))
    assert view is not None
    assert view.title.endswith("field item")
    assert view.rows == (
        ("single", "4", "–", "2", "4.0 → 2.0", "–", "0 %", "0.550", "–", "1.0e-03"),
        ("mlet", "4", "8", "2", "4.0 → 2.0", "0.50 → 0.50", "30 %", "0.550", "–", "1.0e-03"),
    )


def test_without_the_item_field_it_is_the_one_with_the_most_rows(tmp_path: Path) -> None:
    write_pair(tmp_path, {"small": 3, "large": 30, "middle": 20})
    assert {one.field for one in traced(studied(tmp_path).comparison)} == {"large"}


def test_figures_draw_three_times_and_the_effective_rank(tmp_path: Path) -> None:
    write_pair(tmp_path)
    with styled():
        values, ranks = spectra_figure.of_study(studied(tmp_path))
        assert [plot.get_xlabel() for plot in values.figure.axes] == ["start", "middle", "end"]
        for plot, line in zip(values.figure.axes, VALUES, strict=True):
            shown = {str(one.get_label()): list(one.get_ydata()) for one in plot.get_lines()}
            drawn = [value for value in line if value > 1e-6]
            assert shown == {"single": drawn, "mlet k = 8": pytest.approx([1.5 * value for value in drawn])}
        (plot,) = ranks.figure.axes
        for one in plot.get_lines():
            assert (list(one.get_xdata()), list(one.get_ydata())) == ([0, 0.5, 1], [4, 3, 2])


def test_nothing_without_spectra(tmp_path: Path) -> None:
    write_run(tmp_path, "single")
    write_run(tmp_path, "mlet", 4, 8)
    found = studied(tmp_path)
    assert spectra_views.updates(found) is None
    assert list(spectra_figure.of_study(found)) == []


def test_a_run_with_spectra_counts_in_place_of_the_same_without(tmp_path: Path) -> None:
    write_run(tmp_path, name="a")
    write_spectra(write_run(tmp_path, name="b", config={"train": {"spectra": True}}), FIELDS, VALUES)
    write_run(tmp_path, "mlet", 4, 8)
    ((one,), (repeated,)) = compare(collect([tmp_path]).runs)
    assert repeated.path.name == "a"
    assert [found.cell.mode for found in traced(one)] == ["single"]


def test_damaged_spectra_leave_the_run_counted_with_a_note(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    for text in ('{"step": 0, "epo', '{"step": 0}', '{"step": 0, "epoch": 0, "lr": 1, "fields": {"a": []}}'):
        (folder / "spectra.jsonl").write_text(text)
        (run,) = collect([tmp_path]).runs
        assert (run.spectra, run.notes) == ((), ("spectra.jsonl: damaged; the run has no spectra",))


def test_unknown_numbers_and_no_fields_do_no_harm(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    unknown = '{"rows": 3, "singular_values": null, "effective_rank": null, "imbalance": null, "movement": null}'
    for fields in ("{}", f'{{"item": {unknown}}}'):
        (folder / "spectra.jsonl").write_text(f'{{"step": 0, "epoch": 0, "lr": 1, "fields": {fields}}}\n')
        found = studied(tmp_path)
        view = spectra_views.updates(found)
        assert (view is None) == (fields == "{}")
        with styled():
            assert len(list(spectra_figure.of_study(found))) == (0 if fields == "{}" else 2)


def test_page_csv_and_figures(command: Callable[..., Ended], workplace: Path) -> None:
    write_pair(workplace / "runs")
    ended = command("report", "runs=runs")
    assert ended.code == cli.DONE, ended.err
    assert "Spectra and updates: field item" in ended.out
    with Path("outputs/report/tables/spectra.csv").open(encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == 2 * 2 * 3 * 2  # modes, seeds, lines, fields
    assert {row["absent_share"] for row in rows if row["mode"] == "mlet"} == {"0.2", "0.4", ""}
    for name in ("singular-values", "effective-rank"):
        assert Path(f"outputs/report/figures/01-{name}.png").is_file()
    for path in workplace.rglob("spectra.jsonl"):
        path.unlink()
    ended = command("report", "runs=runs")
    assert "Spectra" not in ended.out
    assert "Spectra" not in Path("outputs/report/report.html").read_text()
    assert not list(workplace.rglob("spectra.csv"))
    assert not list(workplace.rglob("01-singular-values.*"))
