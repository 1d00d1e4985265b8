"""Text tables as people have them: delimiters, extensions, headers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mlet_bench import cli
from tests.conftest import Ended

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
