"""What a report makes of spectra.jsonl."""

from pathlib import Path

import pytest

from mlet_bench.analysis.collect import collect
from mlet_bench.analysis.comparisons import compare
from mlet_bench.report.plotting import styled
from mlet_bench.report.spectra import every_spectrum, spectra_figures, traces, updates
from tests.analysis.runs import comparisons, only_study, write_run, write_spectra

VALUES = [[2.0, 1.0, 1.0, 1.0], [4.0, 2.0, 1.0, 0.0], [8.0, 4.0, 2.0, 1e-12]]
FIELDS = {"wide": 100, "item": 10}


def write_pair(root: Path, fields: dict[str, int] = FIELDS) -> None:
    for seed in (1, 2):
        write_spectra(write_run(root, "single", 4, None, seed), fields, VALUES, share=0.0)
        doubled = [[seed * value for value in line] for line in VALUES]
        write_spectra(write_run(root, "mlet", 4, 8, seed), fields, doubled, share=0.2 * seed)


def test_the_table_has_means_over_seeds_and_steps(tmp_path: Path) -> None:
    write_pair(tmp_path)
    study = only_study(tmp_path)
    table = updates(study)
    assert table.title.endswith("field item")
    assert table.texts() == [
        ["single", "4", "–", "2", "4.0 → 2.0", "–", "0 %", "0.550", "–", "1.0e-03"],
        ["mlet", "4", "8", "2", "4.0 → 2.0", "0.50 → 0.50", "30 %", "0.550", "–", "1.0e-03"],
    ]
    rows = [{key: value for column in every_spectrum([study]).columns for key, value in column.plain(row).items()}
            for row in every_spectrum([study]).rows]  # fmt: skip
    assert len(rows) == 2 * 2 * 3 * 2  # modes, seeds, lines, fields
    assert {row["absent_share"] for row in rows if row["mode"] == "mlet"} == {0.2, 0.4, None}


def test_without_the_item_field_it_is_the_one_with_the_most_rows(tmp_path: Path) -> None:
    write_pair(tmp_path, {"small": 3, "large": 30, "middle": 20})
    (comparison,) = comparisons(tmp_path)
    assert {trace.field for trace in traces(comparison)} == {"large"}


def test_figures_draw_three_times_and_the_effective_rank(tmp_path: Path) -> None:
    write_pair(tmp_path)
    with styled():
        values, ranks = spectra_figures(only_study(tmp_path))
        assert [plot.get_xlabel() for plot in values.figure.axes] == ["start", "middle", "end"]
        for plot, line in zip(values.figure.axes, VALUES, strict=True):
            shown = {str(curve.get_label()): list(curve.get_ydata()) for curve in plot.get_lines()}
            drawn = [value for value in line if value > 1e-6]
            assert shown == {"single": drawn, "mlet k = 8": pytest.approx([1.5 * value for value in drawn])}
        (plot,) = ranks.figure.axes
        for curve in plot.get_lines():
            assert (list(curve.get_xdata()), list(curve.get_ydata())) == ([0, 0.5, 1], [4, 3, 2])


def test_nothing_without_spectra(tmp_path: Path) -> None:
    write_run(tmp_path, "single")
    write_run(tmp_path, "mlet", 4, 8)
    study = only_study(tmp_path)
    assert updates(study).rows == every_spectrum([study]).rows == list(spectra_figures(study)) == []


def test_a_run_with_spectra_counts_in_place_of_the_same_without(tmp_path: Path) -> None:
    write_run(tmp_path, name="a")
    write_spectra(write_run(tmp_path, name="b", config={"train": {"spectra": True}}), FIELDS, VALUES)
    write_run(tmp_path, "mlet", 4, 8)
    ((comparison,), (repeated,)) = compare(collect([tmp_path]).runs)
    assert repeated.path.name == "a"
    assert [trace.group.variant.mode for trace in traces(comparison)] == ["single"]


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
        study = only_study(tmp_path)
        assert len(updates(study).texts()) == (fields != "{}")
        with styled():
            assert len(list(spectra_figures(study))) == (0 if fields == "{}" else 2)
