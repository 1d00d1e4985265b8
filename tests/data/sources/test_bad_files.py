"""Files that are truncated, damaged, empty or of another layout."""

import gzip
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from mlet_bench import cli
from tests.conftest import Ended
from tests.data.formats import FORMATS, Format
from tests.data.sources.test_bad_rows import assert_stops

PACKED = {"criteo": "train.txt.gz", "avazu": "train.csv.gz", "criteo_x1": "train.csv.gz", "table": "table.csv.gz"}
HEADED = ["avazu", "criteo_x1", "avazu_x4", "table"]


def packed(form: Format, rows: int) -> bytes:
    """Lines that hardly shrink, so that a cut goes through them."""
    rng = random.Random(0)
    lines = [form.with_cell(row, form.columns[-1], str(rng.getrandbits(64))) for row in form.rows(rows)]
    return gzip.compress(form.content(lines), 1)


def place(form: Format, folder: Path, content: bytes) -> Path:
    """As the packed file, without packing again."""
    raw = form.write(folder, b"", PACKED[form.choice])
    (folder / PACKED[form.choice]).write_bytes(content)
    return raw


@pytest.mark.parametrize("skip", ["stop", "skip"])
@pytest.mark.parametrize("rows", [60, 9_000])
@pytest.mark.parametrize("name", PACKED)
def test_gzip_that_was_cut_off(workplace: Path, name: str, rows: int, skip: str) -> None:
    form = Format(**{**vars(FORMATS[name]), "changes": {}})
    whole = packed(form, rows)
    raw = place(form, workplace / "raw", whole[: len(whole) * 2 // 3])
    said = rf"{PACKED[name]}: the gzip file ends early: it is truncated"
    assert_stops(form, raw, said, bad_rows=skip, max_bad_share=1.0)


@pytest.mark.parametrize("rows", [60, 9_000])
@pytest.mark.parametrize("name", PACKED)
def test_gzip_that_is_damaged(command: Callable[..., Ended], workplace: Path, name: str, rows: int) -> None:
    form = Format(**{**vars(FORMATS[name]), "changes": {}})
    content = bytearray(packed(form, rows))
    if rows == 60:
        content[-8] ^= 1  # of the checksum
    else:
        middle = len(content) // 2
        content[middle : middle + 8] = bytes(8)
    raw = place(form, workplace / "raw", bytes(content))
    ended = command("prepare", f"dataset={form.choice}", f"dataset.raw={raw}")
    assert (ended.code, ended.out, ended.err.count("\n")) == (cli.MISTAKE, "", 1)
    assert f"{PACKED[name]}: the gzip file is damaged" in ended.err
    assert not Path("data/prepared").exists()


@pytest.mark.parametrize("name", PACKED)
def test_text_that_is_named_gz(workplace: Path, name: str) -> None:
    form = FORMATS[name]
    raw = place(form, workplace / "raw", form.content(form.lines(60)))
    assert_stops(form, raw, rf"{PACKED[name]}: the gzip file is damaged")


@pytest.mark.parametrize("name", FORMATS)
def test_empty_file(workplace: Path, name: str) -> None:
    form = FORMATS[name]
    assert_stops(form, form.write(workplace / "raw", b""), rf"{form.file}: the file is empty")


@pytest.mark.parametrize("name", HEADED)
def test_header_alone(workplace: Path, name: str) -> None:
    form = FORMATS[name]
    raw = form.write(workplace / "raw", form.content([]))
    assert_stops(form, raw, rf"{form.file}: (holds no row below its header|cannot be read as text)")


@pytest.mark.parametrize("name", HEADED[:3])
def test_header_of_another_layout(workplace: Path, name: str) -> None:
    form = FORMATS[name]
    for header, said in (
        (form.columns[:-1], rf"line 1 has no column {form.columns[-1]}; needed: "),
        ([*form.columns, "extra"], r"line 1 has an unknown column extra; needed: "),
        ([*form.columns[:-1], "C_21"], rf"line 1 has no column {form.columns[-1]}"),
        ([*form.columns, form.columns[-1]], r"line 1 names a column twice"),
        (["\xff"], r"line 1 is no UTF-8 text"),
    ):
        content = ",".join(header).encode("latin-1") + b"\n" + b"".join(line + b"\n" for line in form.lines(60))
        assert_stops(form, form.write(workplace / "raw", content), rf"{form.file}: {said}")


@pytest.mark.parametrize("name", FORMATS)
def test_no_file_and_no_folder(command: Callable[..., Ended], workplace: Path, name: str) -> None:
    form = FORMATS[name]
    ended = command("prepare", f"dataset={form.choice}", "dataset.raw=nowhere")
    assert (ended.code, ended.out) == (cli.MISTAKE, "")
    assert "dataset.raw=nowhere: no such file or folder" in ended.err
    (workplace / "empty").mkdir()
    ended = command("prepare", f"dataset={form.choice}", "dataset.raw=empty")
    assert (ended.code, ended.out, ended.err.count("\n")) == (cli.MISTAKE, "", 1)
    assert "dataset.raw=empty: the folder holds no" in ended.err
    assert [path.name for path in workplace.iterdir()] == ["empty"]
