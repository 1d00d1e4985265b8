"""The whole command: what it prints, what it writes, and what it refuses."""

import contextlib
import csv
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mlet_bench import cli
from tests.analysis.runs import bucket, write_grid, write_run, write_spectra
from tests.conftest import Ended
from tests.ends import end_of

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


def read(name: str, folder: Path = Path()) -> list[dict[str, str]]:
    with (folder / f"outputs/report/tables/{name}.csv").open(encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """A folder with runs, some of them with spectra, and their report; how the command ended."""
    folder = tmp_path_factory.mktemp("reported")
    write_grid(folder / "runs")
    for name in ("single-d8-kNone-s1", "mlet-d8-k8-s1"):
        write_spectra(folder / "runs" / name, {"item": 10}, [[2.0, 1.0], [4.0, 2.0]])
    before = contents(folder)
    with contextlib.chdir(folder):
        ended = end_of("report", "runs=runs")
    assert ended.code == cli.DONE, ended.err
    assert {name: content for name, content in contents(folder).items() if name.startswith("runs")} == before
    return folder, ended


def test_tables_figures_and_page(reported: tuple[Path, Ended]) -> None:
    folder, ended = reported
    assert ended.err == ""
    assert ended.out.splitlines()[-1] == "outputs/report/report.html"
    assert "Size ratio at equal quality" in ended.out
    assert "Spectra and updates: field item" in ended.out
    written = contents(folder / "outputs/report")
    names = ("00-size-ratio", "01-auc-by-d", "01-auc-by-k", "01-gain-rarest", "01-learning-curves", "01-time-ratio",
             "01-singular-values", "01-effective-rank")  # fmt: skip
    assert {f"figures/{name}.{kind}" for name in names for kind in ("svg", "png")} <= set(written)
    tables = {path.stem: read(path.stem, folder) for path in (folder / "outputs/report/tables").iterdir()}
    assert {name: len(rows) for name, rows in tables.items() if name not in ("buckets", "claims")} == {
        "quality": 9, "paired_delong": 18, "size_ratio": 3, "size_ratio_summary": 0, "cost": 9, "runs": 27,
        "spectra": 4,
    }  # fmt: skip
    assert {row["chosen"] for row in tables["quality"]} == {"True"}
    assert [row["d_ref"] for row in tables["size_ratio"]] == ["2", "4", "8"]
    assert {row["bucket"] for row in tables["buckets"]} == {"0", "1-9"}


def test_another_process_writes_the_same_bytes_and_imports_no_torch(reported: tuple[Path, Ended]) -> None:
    folder, _ = reported
    program = (
        "import sys; from mlet_bench import cli; code = cli.main(['report', 'runs=runs', 'hydra.run.dir=again']); "
        "assert code == 0; assert 'torch' not in sys.modules; assert 'matplotlib.pyplot' not in sys.modules"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert contents(folder / "again") == contents(folder / "outputs/report")


def test_page_is_one_file_without_script_or_network(reported: tuple[Path, Ended]) -> None:
    path = reported[0] / "outputs/report/report.html"
    page = Page(path)
    tags = {tag for tag, _ in page.tags}
    assert "svg" in tags
    assert not tags & {"script", "link", "iframe", "img", "object", "embed"}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "data"):
            assert (attributes.get(name) or "#").startswith("#")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    text = path.read_text()
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


def test_half_a_character_is_damage_that_can_be_shown(command: Command, workplace: Path) -> None:
    write_run(workplace / "runs", name="sound")
    write_run(workplace / "runs", seed=2, result={"model": "half \ud800"})
    ended = command("report", "runs=runs")
    assert ended.code == cli.DONE, ended.err
    assert sorted(row["state"] for row in read("runs")) == ["counted", "damaged"]


@pytest.mark.filterwarnings("error")
def test_odd_names_do_no_harm(command: Command, workplace: Path) -> None:
    names = ["two\nlines", "bell\x07 and \x1b[2J", "漢字 $\\frac{1}{2}$ %s {x}", "a" * 300]
    for place, name in enumerate(names):
        changes = {"dataset": {"name": name}, "model": name, "buckets": [bucket(name, "0", 0.5)]}
        for mode, inner in (("single", None), ("mlet", 8)):
            write_run(workplace / "runs" / str(place), mode, 4, inner, 1, result=changes,
                      config={"dataset": {"item_field": name}})  # fmt: skip
    ended = command("report", "runs=runs")
    assert ended.code == cli.DONE, ended.err
    assert "\x1b" not in ended.out
    assert "\x07" not in ended.out
    assert Page(Path("outputs/report/report.html")).text.count("a" * 300) > 1


def test_one_run_alone(command: Command, workplace: Path) -> None:
    write_run(workplace / "a run = [1]", "mlet", 4, 8, 1, test=None)
    ended = command("report", "runs='a run = [1]'")
    assert ended.code == cli.DONE, ended.err
    assert "no standard embedding with d = 4" in ended.out
    assert "nan" not in Path("outputs/report/report.html").read_text().lower().replace("nano", "")


def test_several_data_sets_and_folders(command: Command, workplace: Path) -> None:
    for name in ("one", "two"):
        for seed in (1, 2):
            for mode, dim, inner in (("single", 4, None), ("mlet", 4, 8), ("mlet", 2, 8)):
                write_run(workplace / name, mode, dim, inner, seed, valid=0.7 if inner else 0.6,
                          result={"dataset": {"name": name, "fingerprint": name}})  # fmt: skip
    ended = command("report", "runs=[one,two]")
    assert ended.code == cli.DONE, ended.err
    rows = read("quality")
    assert [row["dataset"] for row in rows] == ["one"] * 3 + ["two"] * 3
    assert "Size ratio over several comparisons" in ended.out
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


def test_what_an_earlier_report_wrote_is_removed_and_nothing_else(command: Command, workplace: Path) -> None:
    folder = write_run(workplace / "runs")
    write_spectra(folder, {"item": 10}, [[2.0, 1.0], [4.0, 2.0]])
    command("report", "runs=runs")
    assert Path("outputs/report/figures/01-effective-rank.png").is_file()
    assert len(read("spectra")) == 2
    (Path("outputs/report/figures") / "mine.png").touch()
    (folder / "spectra.jsonl").unlink()
    ended = command("report", "runs=runs")
    assert {path.name for path in Path("outputs/report/figures").iterdir()} == {
        "mine.png", "01-learning-curves.svg", "01-learning-curves.png"}  # fmt: skip
    assert "Spectra" not in ended.out + Path("outputs/report/report.html").read_text()
    assert not list(workplace.rglob("spectra.csv"))


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
