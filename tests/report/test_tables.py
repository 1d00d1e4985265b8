"""The tables of a report, and how a terminal shows them."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from mlet_bench.analysis.findings import Findings, findings
from mlet_bench.analysis.run_list import ListedRun
from mlet_bench.report import size_ratio, study_tables
from mlet_bench.report.console.report_tables import show_report
from mlet_bench.report.console.runs_table import show_runs
from mlet_bench.report.console.sweep_table import show_sweep
from mlet_bench.report.console.tables import say_whole, show_table
from mlet_bench.report.table import Column, Table, csv_text
from tests.analysis.runs import bucket, only_study, studies, write_grid, write_run


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    root = tmp_path_factory.mktemp("grid")
    write_grid(root)
    return findings([root], 0.0, None, [root])


def shown(table: Table) -> list[str]:
    return [column.heading for column in table.shown]


def test_gain_by_bucket(tmp_path: Path) -> None:
    for seed in (1, 2):
        for mode, inner, never in (("single", None, 0.5), ("mlet", 16, 0.5 + 0.01 * seed)):
            buckets = [
                bucket("rarest", "0", never, 7),
                bucket("rarest", "1-9", None, 3),
                bucket("item", "10+", 0.8, 10),
            ]
            write_run(tmp_path, mode, 4, inner, seed, result={"buckets": buckets})
    study = only_study(tmp_path)
    table = study_tables.gains(study, "rarest", 4)
    assert shown(table) == ["training count", "test rows", "mlet k = 16, d = 4"]
    assert table.texts() == [["never", "7", "+0.0150 ± 0.0635"]]  # 12.7062 * 0.005; one class has no AUC
    item = study_tables.gains(study, "item")
    assert (shown(item), item.texts()) == (["embedding", "10+ (10 rows)"], [["mlet k = 16, d = 4", "0.0000 ± 0.0000"]])
    assert study_tables.gains(study, "rarest", 8).rows == study_tables.gains(study, "other").rows == []


def test_one_seed_has_no_verdict(tmp_path: Path) -> None:
    write_run(tmp_path, "single", 4, None, 1, test=0.7)
    write_run(tmp_path, "mlet", 4, 16, 1, test=0.8)
    table = study_tables.quality(only_study(tmp_path))
    row = dict(zip(shown(table), table.texts()[1], strict=True))
    assert (row["verdict"], row["p"]) == ("undecided", "–")


def test_auc_within_groups_is_a_column_where_runs_have_it(tmp_path: Path) -> None:
    for name, changes in (("with", {"metrics": {"test": {"gauc": 0.6543}}}), ("without", {})):
        for inner in (None, 8):
            write_run(tmp_path / name, "mlet" if inner else "single", inner=inner, result=changes)
        study = only_study(tmp_path / name)
        for table, key in ((study_tables.quality(study), "test_gauc_mean"), (study_tables.runs([study]), "test_gauc")):
            has = (name == "with",) * 3
            assert ("GAUC" in shown(table), "0.6543" in table.texts()[0], key in csv_text([table])) == has
        assert ("GAUC" in study_tables.quality(study).note) == (name == "with")


def test_mean_and_maximum_over_models(tmp_path: Path) -> None:
    for model, reaching in (("dlrm", 2), ("dcn", 4), ("fm", None)):
        changes = {"result": {"model": model}, "config": {"model": {"name": model}}}
        for dim in (2, 4, 8):
            valid = 0.9 if reaching is not None and dim >= reaching else 0.1
            write_run(tmp_path / model, "mlet", dim, 16, 1, valid=valid, **changes)
        write_run(tmp_path / model, "single", 8, None, 1, valid=0.5, **changes)
    every = studies(tmp_path)
    (summary,) = size_ratio.summaries(every).rows
    assert (summary.over, summary.comparisons, summary.reached, summary.mean, summary.maximum) == (
        "all",
        3,
        2,
        3.0,
        4.0,
    )
    assert summary.is_bound
    assert size_ratio.summaries(every).texts()[0][:4] == ["all", "2 of 3", "3.0×", "4.0×"]
    headlines = size_ratio.headlines(every)
    place = shown(headlines).index("ratio")
    assert [texts[place] for texts in headlines.texts()] == ["2.0×", "≥ 4.0×", "< 1.0×"]


def test_every_study_stands_in_a_csv_file_and_a_section_has_its_own(grid: Findings) -> None:
    (study,) = grid.studies
    for table in (study_tables.every_setting, study_tables.costs, study_tables.pairs, size_ratio.every_ratio):
        assert 2 * len(table([study]).rows) == len(table([study, study]).rows) > 0
    header, *lines = csv_text([study_tables.every_setting([study])]).splitlines()
    assert len(lines) == 9
    assert header.startswith("dataset,data_fingerprint,model,variant,tuning,mode,d,k,setting_lr,")


@pytest.mark.parametrize("width", [44, 60, 80, 120, 200])
def test_a_narrow_terminal_shows_less_and_says_so(grid: Findings, width: int) -> None:
    console = Console(width=width, force_terminal=True, color_system=None)
    with console.capture() as captured:
        show_report(console, grid)
    text = captured.get()
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert ("no room here for" in text) == (width < 200)


def test_the_report_says_a_note_once_however_many_comparisons_have_it(tmp_path: Path) -> None:
    for model in ("dlrm", "dcn"):
        for inner in (None, 8):
            changes = {"result": {"model": model}, "config": {"model": {"name": model}}}
            write_run(tmp_path / model, "mlet" if inner else "single", inner=inner, **changes)
    console = Console(width=4096, force_terminal=True, color_system=None)
    with console.capture() as captured:
        show_report(console, findings([tmp_path], 0.0, None, [tmp_path]))
    text = captured.get()
    assert text.count("Test AUC and logloss") == 2
    assert text.count("Mean ± standard deviation over seeds. Gain in AUC") == 1


def test_a_row_begins_on_its_first_line() -> None:
    columns = [Column("#", "0"), Column("data", "1", words=True), Column("AUC", "2")]
    console = Console(width=30, force_terminal=True, color_system=None)
    with console.capture() as captured:
        show_table(console, Table("", columns, [(7, "a_very_long_data_set_name_of_my_own", "0.7654")]))
    (line,) = [line for line in captured.get().splitlines() if "0.7654" in line]
    assert line.split()[0] == "7"
    assert line.split()[1].startswith("a_very")


def test_embeddings_that_differ_in_a_key_of_their_mode_are_told_apart(tmp_path: Path) -> None:
    for compose in ("sum", "product"):
        write_run(tmp_path, "qr", 4, None, 1, name=compose, config={"emb": {"compose": compose}},
                  result={"emb": {"compose": compose}})  # fmt: skip
    table = study_tables.quality(only_study(tmp_path))
    assert [texts[0] for texts in table.texts()] == ["qr, compose=product", "qr, compose=sum"]
    assert "own" in csv_text([table]).splitlines()[0].split(",")


def test_columns_are_dropped_in_their_order_until_the_others_fit() -> None:
    columns = [Column(name * 10, "0", dropped=dropped) for name, dropped in (("a", 0), ("b", 2), ("c", 1), ("d", 3))]
    console = Console(width=25, force_terminal=True, color_system=None)
    with console.capture() as captured:
        show_table(console, Table("title", columns, [(1,)]))
    text = captured.get()
    assert "no room here for: cccccccccc, bbbbbbbbbb" in " ".join(text.split())
    assert "dddddddddd" in text


def test_names_give_way_before_numbers() -> None:
    columns = [Column("field", "0", words=True), *(Column(name, "1", "{:,}".format) for name in ("rows", "positive"))]
    rows = [("user_identifier_hash_of_the_session", 36_672_493), ("c", 1)]
    console = Console(width=44, force_terminal=True, color_system=None)
    with console.capture() as captured:
        show_table(console, Table("", columns, rows))
    text = captured.get()
    assert text.count("36,672,493") == 2
    assert "user_identifier_hash_of_the_session" in "".join(line[:20].strip() for line in text.splitlines()[2:])
    assert "no room" not in text


def test_numbers_are_whole_or_left_out_on_any_terminal() -> None:
    columns = [Column("field", "0", words=True), *(Column(f"n{i}", "1", "{:,}".format) for i in range(4))]
    for width in range(22, 80):
        console = Console(width=width, force_terminal=True, color_system=None)
        with console.capture() as captured:
            show_table(console, Table("", columns, [("user_identifier", 36_672_493)]))
        text = captured.get()
        (numbers,) = [line for line in text.splitlines() if "36" in line]
        whole = min(4, (width - 10) // 12)
        assert re.findall(r"\d[\d,]+", numbers) == ["36,672,493"] * whole
        assert [f"n{i}" in "".join(text.split("no room")[1:]) for i in range(4)] == [i >= whole for i in range(4)]


def test_sweep_shows_what_differs_between_its_jobs(tmp_path: Path) -> None:
    jobs = [["dataset=criteo", f"emb={mode}", f"seed={seed}"] for mode in ("single", "mlet") for seed in (1, 2)]
    outcomes = [{"job": job, "folder": str(tmp_path), "error": None, "result": None} for job in jobs]
    console = Console(width=200, color_system=None)
    with console.capture() as captured:
        show_sweep(console, outcomes)
    lines = captured.get().splitlines()
    assert lines[0] == "all jobs: dataset=criteo"
    assert [" ".join(line.split()[:2]) for line in lines[3:7]] == [" ".join(job[1:]) for job in jobs]
    with console.capture() as captured:
        show_sweep(console, outcomes[:1])
    assert "dataset=criteo emb=single seed=1" in captured.get()


@pytest.mark.parametrize("width", [80, 120])
def test_what_decides_is_there_on_a_narrow_terminal(tmp_path: Path, width: int) -> None:
    long = {"model": "autoint_plus", "dataset": {"name": "movielenslatest_x1_with_a_name_of_its_own"}}
    for seed in range(1, 6):
        for mode, inner, test in (("single", None, 0.7), ("mlet_frozen", 999, 0.7), ("mlet", 1024, 0.72 + seed / 1000)):
            write_run(tmp_path, mode, 128, inner, seed, test=test, result=long)
    text = io.StringIO()
    console = Console(file=text, width=width, force_terminal=True, color_system=None)
    show_report(console, findings([tmp_path], 0.0, None, [tmp_path]))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    header = next(line for line in lines if line.startswith("embedding"))
    assert all(word in header for word in ("seeds", "AUC", "gain in AUC", "verdict"))
    assert any(re.search(r"mlet +128 +1024 +5 +0.7230 ± 0.0016 .*\+0.0230 ± 0.0020 +higher", line) for line in lines)
    assert not any("…" in line for line in lines)


@pytest.mark.parametrize("width", [80, 120])
def test_folders_of_runs_are_never_broken(width: int) -> None:
    path = Path("outputs/movielenslatest_x1/autoint_plus/mlet_frozen/seed1-0123456789ab")
    emb = {"emb.mode": "mlet_frozen", "emb.dim": 16, "emb.inner": 64}
    config = {"dataset.name": "movielenslatest_x1", "model.name": "autoint_plus", "seed": 1, **emb}
    out = io.StringIO()
    show_runs(
        Console(file=out, force_terminal=True, width=width), [ListedRun(path, "finished", 0.0, config, 0.75)], path
    )
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()
    assert any(line.endswith(str(path)) for line in lines)
    assert "0.7500" in out.getvalue()


def test_a_path_to_copy_is_one_line_on_any_terminal() -> None:
    path = "outputs/" + "/".join(["a_very_long_data_set_name_of_my_own"] * 4)
    console = Console(width=40, force_terminal=True, color_system=None)
    with console.capture() as captured:
        say_whole(console, f"run folder: {path}")
    assert captured.get() == f"run folder: {path}\n"
