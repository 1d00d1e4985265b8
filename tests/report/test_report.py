"""The whole command: what it prints, what it writes, and what it refuses."""

import csv
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mlet_bench import cli
from tests.analysis.runs import bucket, write_grid, write_run
from tests.conftest import Ended

Command = Callable[..., Ended]


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def read(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((Path("outputs/report/tables") / f"{name}.csv").open(encoding="utf-8")))


@pytest.fixture
def grid(workplace: Path) -> Path:
    write_grid(workplace / "runs")
    return workplace / "runs"


def test_tables_figures_and_page(command: Command, grid: Path) -> None:
    before = contents(grid)
    ended = command("report", "runs=runs")
    assert ended.code == cli.DONE, ended.err
    assert ended.err == ""
    assert ended.out.splitlines()[-1] == "outputs/report/report.html"
    assert "Size ratio at equal quality" in ended.out
    assert contents(grid) == before  # read-only on the runs
    written = contents(Path("outputs/report"))
    names = ("00-size-ratio", "01-auc-by-d", "01-auc-by-k", "01-gain-rarest", "01-learning-curves", "01-time-ratio")
    assert {f"figures/{name}.{kind}" for name in names for kind in ("svg", "png")} <= set(written)
    quality = read("quality")
    assert len(quality) == 9
    assert {row["chosen"] for row in quality} == {"True"}
    assert len(read("paired_delong")) == 18
    assert [row["d_ref"] for row in read("size_ratio")] == ["2", "4", "8"]
    assert len(read("runs")) == 27
    assert len(read("cost")) == 9
    assert {row["bucket"] for row in read("buckets")} == {"0", "1-9"}


def test_auc_within_groups_is_a_column_where_runs_have_it(command: Command) -> None:
    for name, changes in (("with", {"metrics": {"test": {"gauc": 0.6543}}}), ("without", {})):
        for inner in (None, 8):
            write_run(Path(name), "mlet" if inner else "single", inner=inner, result=changes)
        ended = command("report", f"runs={name}")
        assert ended.code == cli.DONE, ended.err
        assert ("GAUC" in ended.out) == ("0.6543" in ended.out) == (name == "with")
        assert ("test_gauc_mean" in read("quality")[0]) == ("test_gauc" in read("runs")[0]) == (name == "with")
        assert ("GAUC" in Page(Path("outputs/report/report.html")).text) == (name == "with")


def test_the_same_runs_give_the_same_bytes(command: Command, grid: Path) -> None:
    command("report", "runs=runs", "hydra.run.dir=one")
    command("report", "runs=runs", "hydra.run.dir=two")
    assert contents(Path("one")) == contents(Path("two"))


def test_page_is_one_file_without_script_or_network(command: Command, grid: Path) -> None:
    command("report", "runs=runs")
    page = Page(Path("outputs/report/report.html"))
    tags = {tag for tag, _ in page.tags}
    assert "svg" in tags
    assert not tags & {"script", "link", "iframe", "img", "object", "embed"}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "data"):
            assert (attributes.get(name) or "#").startswith("#")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    text = Path("outputs/report/report.html").read_text()
    assert "@media print" in text
    assert 'name="viewport"' in text
    assert not re.search(r"@import|url\((?!#)", text)


def test_names_from_data_are_escaped(command: Command, workplace: Path) -> None:
    hostile = "<script>alert(1)</script>"
    changes = {"dataset": {"name": hostile}, "model": "<b>&amp;$x^", "buckets": [bucket(hostile, "0", 0.5)]}
    for seed in (1, 2):
        for mode, inner in (("single", None), ("mlet", 8)):
            config = {"dataset": {"item_field": hostile}, "train": {"note": "[bold]<img src=x onerror=1>"}}
            write_run(workplace / "runs", mode, 4, inner, seed, result=changes, config=config)
    broken = write_run(workplace / "runs" / "<i>folder", seed=7)
    (broken / "result.json").write_text("{")
    ended = command("report", "runs=runs")
    assert ended.code == cli.DONE, ended.err
    page = Page(Path("outputs/report/report.html"))
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "b", "i", "img"}
    assert hostile in page.text
    assert "<b>&amp;$x^" in page.text
    assert "<i>folder" in page.text
    assert hostile in ended.out


ODD = ["two\nlines", "bell\x07 and \x1b[2J", "漢字 $\\frac{1}{2}$ %s {x}", "a" * 300]


def test_half_a_character_is_damage_that_can_be_shown(command: Command, workplace: Path) -> None:
    write_run(workplace / "runs", name="sound")
    write_run(workplace / "runs", seed=2, result={"model": "half \ud800"})
    ended = command("report", "runs=runs")
    assert ended.code == cli.DONE, ended.err
    assert sorted(row["state"] for row in read("runs")) == ["counted", "damaged"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ODD)
def test_odd_names_do_no_harm(command: Command, workplace: Path, name: str) -> None:
    changes = {"dataset": {"name": name}, "model": name, "buckets": [bucket(name, "0", 0.5)]}
    for mode, inner in (("single", None), ("mlet", 8)):
        write_run(workplace / "runs", mode, 4, inner, 1, result=changes,
                  config={"dataset": {"item_field": name}})  # fmt: skip
    ended = command("report", "runs=runs")
    assert ended.code == cli.DONE, ended.err
    assert "\x1b" not in ended.out
    assert "\x07" not in ended.out
    assert Page(Path("outputs/report/report.html")).text


def test_one_run_alone(command: Command, workplace: Path) -> None:
    write_run(workplace / "a run = [1]", "mlet", 4, 8, 1, test=None)
    ended = command("report", "runs='a run = [1]'")
    assert ended.code == cli.DONE, ended.err
    assert "no single table of d = 4" in ended.out
    assert "nan" not in Path("outputs/report/report.html").read_text().lower().replace("nano", "")


def test_several_data_sets_and_folders(command: Command, workplace: Path) -> None:
    for name in ("one", "two"):
        for seed in (1, 2):
            for mode, inner in (("single", None), ("mlet", 8)):
                write_run(workplace / name, mode, 4, inner, seed, valid=0.7 if inner else 0.6,
                          result={"dataset": {"name": name, "fingerprint": name}})  # fmt: skip
    ended = command("report", "runs=[one,two]")
    assert ended.code == cli.DONE, ended.err
    rows = read("quality")
    assert [row["dataset"] for row in rows] == ["one", "one", "two", "two"]
    assert "all: mean (of 2)" in ended.out
    assert (Path("outputs/report/figures") / "02-gain-rarest.png").is_file()


def test_runs_that_do_not_count_are_shown_with_the_reason(command: Command, workplace: Path) -> None:
    write_run(workplace / "runs", seed=1, name="good")
    write_run(workplace / "runs", seed=1, name="good again")
    (write_run(workplace / "runs", name="bad") / "result.json").write_text("{")
    (write_run(workplace / "runs", name="going", done=False) / "result.json").unlink()
    ended = command("report", "runs=runs")
    assert ended.code == cli.DONE, ended.err
    states = {Path(row["path"]).name: (row["state"], row["reason"]) for row in read("runs")}
    assert {name: state for name, (state, _) in states.items()} == {
        "good": "counted", "good again": "repeated", "bad": "damaged", "going": "unfinished"}  # fmt: skip
    page = Page(Path("outputs/report/report.html"))
    for name in ("good again", "bad", "going"):
        assert states[name][1] in page.text
        assert states[name][1] in ended.out


def test_figures_of_an_earlier_report_are_removed_and_nothing_else(command: Command, grid: Path) -> None:
    command("report", "runs=runs")
    (Path("outputs/report/figures") / "mine.png").touch()
    shutil.rmtree(grid)
    write_run(grid)
    command("report", "runs=runs")
    assert {path.name for path in Path("outputs/report/figures").iterdir()} == {
        "mine.png", "01-learning-curves.svg", "01-learning-curves.png"}  # fmt: skip


def test_a_narrow_terminal_shows_less_and_says_so(grid: Path) -> None:
    from rich.console import Console

    from mlet_bench.analysis.arms import compare
    from mlet_bench.analysis.collect import collect
    from mlet_bench.analysis.study import study
    from mlet_bench.report.console.comparison_table import show_report

    comparisons, _ = compare(collect([grid]).runs)
    studies = [study(one, 0.0, None) for one in comparisons]
    for width in (60, 80, 120, 200):
        console = Console(width=width, force_terminal=True, color_system=None, record=True, quiet=False)
        with console.capture() as captured:
            show_report(console, studies, [])
        lines = captured.get().splitlines()
        assert max(map(len, lines)) <= width
        assert "…" not in captured.get()
        assert ("no room here for" in captured.get()) == (width < 200)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], ["runs", "folder of runs"]),
        (["runs=[]"], ["runs", "folder of runs"]),
        (["runs="], ["runs", "empty"]),
        (["runs=runz"], ["runs=runz", "no such folder", "Did you mean runs?"]),
        (["runs=empty"], ["runs=empty", "no runs below it"]),
        (["runs=unfinished"], ["runs=unfinished", "no finished run among 1", "no DONE"]),
        (["runs=runs", "dim=5"], ["dim=5", "allowed: 4"]),
        (["runs=runs", "margin=-1"], ["margin=-1", ">= 0"]),
        (["run=runs"], ["run", "Did you mean runs?"]),
        (["runs=runs", "hydra.run.dir=runs/single-d4-kNone-s1"], ["hydra.run.dir", "the folder of a run"]),
        (["-m", "runs=runs"], ["-m"]),
    ],
)
def test_mistakes(command: Command, workplace: Path, words: list[str], named: list[str]) -> None:
    write_run(workplace / "runs")
    (workplace / "empty").mkdir()
    (write_run(workplace / "unfinished", done=False) / "result.json").unlink()
    before = contents(workplace)
    ended = command("report", *words)
    assert ended.code == cli.MISTAKE
    assert ended.out == ""
    assert ended.err.count("\n") == 1
    for part in named:
        assert part in ended.err
    assert contents(workplace) == before
    assert not (workplace / "outputs").exists()


def test_torch_is_not_imported(grid: Path) -> None:
    program = (
        "import sys; from mlet_bench import cli; code = cli.main(['report', 'runs=runs']); "
        "assert code == 0; assert 'torch' not in sys.modules; assert 'matplotlib.pyplot' not in sys.modules"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
