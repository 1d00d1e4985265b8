"""Text tables as people have them: delimiters, extensions, headers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mlet_bench import cli
from tests.conftest import Ended
from tests.counts import every

Command = Callable[..., Ended]


def write_ratings(path: Path, delimiter: str, header: str) -> None:
    rows = [delimiter.join([str(k % 7), str(k % 11), str(1 + k * 7 % 5)]) for k in range(60)]
    path.write_text("\n".join([header.replace(",", delimiter), *rows]) + "\n")


@pytest.mark.parametrize(
    ("name", "delimiter", "header", "words"),
    [
        ("sample.txt", ",", "user,item,rating", []),
        ("ml.inter", "\t", "user:token,item:token,rating:float", []),
        ("ratings.data", ";", "user,item,rating", []),
        ("RATINGS.CSV", "|", "user,item,rating", []),
        ("ratings", " ", "user,item,rating", []),
        ("ratings.csv", "\t", "user,item,rating", ["dataset.delimiter=\\t"]),
    ],
)
def test_a_delimiter_is_found_and_types_in_a_header_are_no_part_of_names(
    command: Command, workplace: Path, name: str, delimiter: str, header: str, words: list[str]
) -> None:
    write_ratings(workplace / name, delimiter, header)
    given = ["dataset=table", f"dataset.raw={name}", "dataset.label=rating", "dataset.positive=>=4", *words]
    ended = command("prepare", *given)
    assert ended.code == cli.DONE, ended
    (manifest,) = Path("data/prepared").glob("*/manifest.json")
    held = json.loads(manifest.read_text())
    assert [field["field"] for field in held["fields"]] == ["user", "item"]
    assert sum(held["rows"].values()) == 60
    found = {"\t": "tab", ";": "semicolon", "|": "bar", " ": "space", ",": "comma"}[delimiter]
    assert (f"columns end with a {found}" in ended.out + ended.err) == (not words)


def test_a_list_that_the_shell_has_cut_is_told_from_other_mistakes(command: Command) -> None:
    ended = command("prepare", "dataset=table", "dataset.raw=a.csv", "dataset.categorical=[user,", "item]")
    assert ended.code == cli.MISTAKE
    assert "the list ends at a space; write dataset.categorical=[a,b] without spaces" in ended.err


def test_more_columns_than_files_may_be_open(command: Command, workplace: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    columns = [f"c{number}" for number in range(150)]
    rows = [",".join([str(k % 2), *(str((k + place) % 3) for place in range(150))]) for k in range(40)]
    (workplace / "wide.csv").write_text("\n".join([",".join(["label", *columns]), *rows]) + "\n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        ended = command("prepare", "dataset=table", "dataset.raw=wide.csv")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert ended.code == cli.DONE, ended
    (manifest,) = Path("data/prepared").glob("*/manifest.json")
    assert len(json.loads(manifest.read_text())["fields"]) == 150


@pytest.mark.parametrize(
    ("name", "content", "words", "said"),
    [
        ("a.csv", "label,user,item", ["dataset.delimiter=\\t"],
         "Line 1 does not look divided by a tab but by a comma: leave dataset.delimiter out, or give "
         "'dataset.delimiter=\",\"'."),
        ("a.csv", "label,user name,item", ['dataset.delimiter=" "'], "divided by a space but by a comma"),
        ("a.csv", "label;a,b;c", ["dataset.label=label"], "by a comma but by a semicolon: 'dataset.delimiter=\";\"'."),
        ("a.csv", "label^user^item", [], "Line 1 is not divided by a comma: dataset.delimiter names the character"),
    ],
)  # fmt: skip
def test_a_wrong_delimiter_is_named(
    command: Command, workplace: Path, name: str, content: str, words: list[str], said: str
) -> None:
    (workplace / name).write_text(f"{content}\n")
    ended = command("prepare", "dataset=table", f"dataset.raw={name}", *words)
    assert (ended.code, ended.out) == (cli.MISTAKE, "")
    assert said in ended.err


@pytest.mark.parametrize("raw", every(2, ["rows/a.csv", "rows", "rows/*.csv"]))
def test_a_raw_file_that_is_gone_after_it_was_prepared(command: Command, workplace: Path, raw: str) -> None:
    (workplace / "rows").mkdir()
    write_ratings(workplace / "rows" / "a.csv", ",", "user,item,label")
    given = ["prepare", "dataset=table", f"dataset.raw={raw}", "dataset.positive=>=4"]
    assert command(*given).code == cli.DONE
    (folder,) = Path("data/prepared").glob("table-*")
    (workplace / "rows" / "a.csv").unlink()
    (workplace / "rows").rmdir()
    ended = command(*given)
    assert ended.code == cli.MISTAKE
    assert f"It was prepared before: dataset.prepared={folder} needs no raw file." in ended.err
    assert command("prepare", "dataset=table", f"dataset.prepared={folder}").code == cli.DONE
    assert "prepared before" not in command("prepare", "dataset=table", "dataset.raw=other.csv").err
    assert "prepared before" not in command(*given, "dataset.name=shop").err
