"""Quality by bytes served, from runs whose numbers are known."""

from pathlib import Path

import pytest

from mlet_bench.analysis.comparisons import auc_on_test, logloss_on_test
from mlet_bench.analysis.frontier import front, frontier, summaries
from mlet_bench.analysis.study import Study
from mlet_bench.report.frontier import frontier_figures, points_table
from mlet_bench.report.table import csv_text
from tests.analysis.runs import only_study, write_run

RUNS = [
    # mode, AUC, logloss, bytes, keys that the mode alone has; shrink=alike, the default, stands in no result
    ("single", 0.80, 0.50, 1000, {}),
    ("hash", 0.70, 0.60, 100, {"shrink": "alike"}),
    ("hash", 0.79, 0.55, 100, {"shrink": "cap"}),
    ("robe", 0.81, 0.56, 90, {"piece": None}),
    ("tt", 0.75, 0.51, 90, {}),
    ("lpt", 0.78, 0.49, 250, {"bits": 8, "scale": 0.01}),
]


def study_of_runs(folder: Path) -> Study:
    for mode, auc, logloss, size, own in RUNS:
        ratio = None if mode == "single" else 0.1
        told = {} if own == {"shrink": "alike"} else own
        write_run(folder, mode, 4, None, 1, test=auc, name=f"{mode}{auc}",
                  config={"emb": {"ratio": ratio, **own}},
                  result={"emb": {"ratio": ratio, **told}, "metrics": {"test": {"logloss": logloss}},
                          "collapse": {"embedding_bytes_inference": size, "ratio_small": size / 2000}})  # fmt: skip
    return only_study(folder)


def test_every_mode_of_a_sweep_is_in_it_with_the_front_of_each_figure(tmp_path: Path) -> None:
    study = study_of_runs(tmp_path)
    points = frontier(study)
    assert [point.method for point in points] == ["robe", "tt", "hash, shrink=cap", "hash", "lpt, 8 bits", "single"]
    assert [point.method for point in front(points, auc_on_test)] == ["robe"]
    assert [point.method for point in front(points, logloss_on_test, low=True)] == ["tt", "lpt, 8 bits"]
    rows = points_table(study).csv_rows()
    assert [row["share_of_small_fields"] for row in rows] == [row["bytes"] / 2000 for row in rows]
    assert csv_text([points_table(study)]).splitlines()[0].startswith("method,d,ratio,bytes,share,")
    figures = {figure.name: figure.figure.axes[0] for figure in frontier_figures(study)}
    assert list(figures) == ["bytes-auc", "bytes-logloss"]
    circles = {name: plot.lines[-1].get_xydata().tolist() for name, plot in figures.items()}
    assert circles["bytes-auc"] == [[90, 0.81]]
    assert circles["bytes-logloss"] == [[90, 0.51], [250, 0.49]]


def test_what_a_method_needs_and_reaches(tmp_path: Path) -> None:
    found = {row.method: row for row in summaries(frontier(study_of_runs(tmp_path)))}
    assert {name: row.bytes_at_full_quality for name, row in found.items()} == {
        **{"single": 1000, "hash": None, "hash, shrink=cap": None, "lpt, 8 bits": None, "robe": 90, "tt": None}
    }
    best = found["hash, shrink=cap"].at(0.1)
    assert best is not None
    assert best.spread(auc_on_test).mean == pytest.approx(0.79)
    assert found["lpt, 8 bits"].at(0.1) is None
