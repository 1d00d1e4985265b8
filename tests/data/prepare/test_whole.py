"""A prepared folder is what its manifest says, and depends on nothing but the rows and the options."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlet_bench import cli
from mlet_bench.data.prepared import Prepared, sealed
from mlet_bench.errors import UserError
from tests.conftest import Ended, criteo_cells, prepare, write_criteo
from tests.data import reference
from tests.data.formats import FORMATS


@pytest.fixture
def folder(workplace: Path) -> Path:
    return prepare("criteo", write_criteo(workplace / "train.txt", criteo_cells(200)), min_count=2).folder


def use(folder: Path) -> None:
    """As a run does: every file's content is needed."""
    prepared = Prepared.open(folder)
    assert prepared.id_counts
    for split in reference.SPLITS:
        prepared.split(split)


def edited(folder: Path, change: Callable[[dict[str, Any]], object], *, seal: bool = True) -> None:
    """With `seal` by one who knows how the checksum is made."""
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(sealed(manifest) if seal else manifest))


@pytest.mark.parametrize("name", ["train/part-00000.parquet", "test/part-00000.parquet", "vocab/C7.parquet"])
@pytest.mark.parametrize("how", ["cut", "one bit", "longer", "gone", "other rows", "a folder"])
def test_damaged_file_is_named_before_use(folder: Path, name: str, how: str) -> None:
    path = folder / name
    content = path.read_bytes()
    if how == "other rows":  # sound Parquet, of as many bytes where that can be had
        table = pq.read_table(path, partitioning=None)
        pq.write_table(table.slice(1), path)
    elif how == "gone":
        path.unlink()
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    else:
        middle = len(content) // 2
        path.write_bytes(
            {
                "cut": content[:-1],
                "longer": content + b"\0",
                "one bit": content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :],
            }[how]
        )
    with pytest.raises(UserError, match=name):
        use(folder)


def test_every_file_is_verified(folder: Path) -> None:
    for name in json.loads((folder / "manifest.json").read_text())["files"]:
        path, content = folder / name, (folder / name).read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(UserError, match=name):
            Prepared.open(folder).verify()
        path.write_bytes(content)
    Prepared.open(folder).verify()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["files"].update({"../raw.txt": {"bytes": 1, "md5": ""}}), r"manifest.json: names a file outside"),
        (lambda m: m["files"].update({"/etc/passwd": {"bytes": 1, "md5": ""}}), r"manifest.json: names a file outside"),
        (lambda m: m["files"].update({"train/..": {"bytes": 1, "md5": ""}}), r"manifest.json: names a file outside"),
        (lambda m: m["files"].update({"a/b/c": {"bytes": 1, "md5": ""}}), r"manifest.json: names a file outside"),
        (lambda m: m["files"].update({"train/x": {"bytes": 1, "md5": ""}}), r"train/x: missing"),
        (lambda m: m["files"].pop("vocab/C7.parquet"), r"vocab/C7.parquet: not in the manifest"),
        (lambda m: m["files"].pop("test/part-00000.parquet"), r"test: cannot hold 14 rows, as the manifest says"),
        (lambda m: m["files"]["vocab/C7.parquet"].update(md5="0" * 32), r"vocab/C7.parquet: its content is not"),
        (lambda m: m["files"]["vocab/C7.parquet"].update(bytes=1), r"vocab/C7.parquet: has \d+ bytes"),
        (lambda m: m["files"]["vocab/C7.parquet"].update(bytes="many"), r"manifest.json: damaged"),
        (lambda m: m["rows"].update(test=13), r"test: holds 14 rows, the manifest says 13"),
        (lambda m: m["fields"][3].update(cardinality=2), r"C4.* is out of range"),
        (lambda m: m["schema"]["numeric"].append("I14"), r"part-00000.parquet: cannot be read"),
        (lambda m: m["schema"].pop("numeric"), r"manifest.json: damaged"),
        (lambda m: m.pop("moments"), r"manifest.json: damaged"),
        (lambda m: m["options"].update(min_count="two"), r"manifest.json: damaged"),
        (lambda m: m.update(version=1), r"prepared with format 1, this version reads \d"),
        (lambda m: m.update(files=[]), r"manifest.json: damaged"),
        (lambda m: m.update(fields=None), r"manifest.json: damaged"),
        (lambda m: m.pop("thinned"), r"manifest.json: damaged"),
    ],
)  # fmt: skip
def test_edited_manifest_is_noticed(folder: Path, change: Callable[[dict[str, Any]], object], said: str) -> None:
    edited(folder, change)
    with pytest.raises(UserError, match=said):
        use(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["positives"].update(valid=1),
        lambda m: m["missing"].update(C1=9),
        lambda m: m.update(moments={}),
        lambda m: m.update(warnings=["another"]),
        lambda m: m["options"].update(split="random"),
        lambda m: m.update(more=1),
        lambda m: m.update(checksum="0" * 12),
    ],
)
def test_any_edit_of_the_manifest_is_noticed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    edited(folder, change, seal=False)
    with pytest.raises(UserError, match=r"manifest.json: its content is not what was prepared \(checksum differs\)"):
        Prepared.open(folder)


@pytest.mark.parametrize("size", [1, 5_000])
def test_cut_manifest_is_noticed(command: Callable[..., Ended], folder: Path, size: int) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:size])
    ended = command("prepare", "dataset=criteo", "dataset.raw=train.txt", "dataset.min_count=2")
    assert (ended.code, ended.out, ended.err.count("\n")) == (cli.MISTAKE, "", 1)
    assert "manifest.json: damaged" in ended.err


def test_folder_of_other_hands_is_no_data_set(command: Callable[..., Ended], workplace: Path) -> None:
    (workplace / "mine").mkdir()
    pq.write_table(pa.table({"label": [1]}), workplace / "mine" / "a.parquet")
    ended = command("train", "dataset=criteo", "dataset.prepared=mine")
    assert ended.code == cli.MISTAKE
    assert "mine: not a prepared data set" in ended.err


@pytest.mark.parametrize("name", FORMATS)
def test_same_bytes_on_any_number_of_threads_and_under_any_path(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    form, found = FORMATS[name], []
    with reference.sizes(chunk_bytes=3_000, part_rows=50, merge_at=20):
        for threads, where in ((1, "one"), (2, "two/deeper"), (7, "three")):
            monkeypatch.setattr(os, "cpu_count", lambda threads=threads: threads)
            raw = form.write(workplace / where, form.content(form.lines(300)))
            prepared = reference.prepare_in(
                workplace / where / "data", form.choice, raw, min_count=2, numeric_as="standard", **form.changes
            )
            found.append((prepared.folder.name, reference.contents(prepared.folder)))
    assert found[1:] == found[:1] * 2


OPTIONS: dict[str, list[Any]] = {
    "name": ["other"],
    "min_count": [2, 3],
    "train_share": [0.5, 0.6],
    "numeric_as": ["bucket", "standard", "as_is"],
    "bad_rows": ["skip"],
    "split": ["random", "test"],
}


def test_every_option_that_changes_rows_changes_the_folder(workplace: Path) -> None:
    raw = write_criteo(workplace / "train.txt", criteo_cells(400))
    vocab = prepare("criteo", raw).folder
    folders = [vocab]
    for name, values in OPTIONS.items():
        for value in values:
            known = {"vocab": vocab} if value == "test" else {}
            folders.append(prepare("criteo", raw, **{name: value}, **known).folder)
    folders.append(prepare("criteo", raw, split="random", seed=1).folder)
    folders.append(prepare("criteo", raw, split="random", shares=[0.6, 0.2, 0.2]).folder)
    folders.append(prepare("criteo", raw, train_share=0.5, seed=1).folder)
    assert len(set(folders)) == len(folders)
    assert prepare("criteo", raw, seed=1).folder == vocab  # nothing is drawn
    assert prepare("criteo", raw, item_field="C1", max_bad_share=0.5).folder == vocab


def test_same_folder_finished_by_another_process_meanwhile(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = write_criteo(workplace / "train.txt", criteo_cells(200))
    whole = reference.prepare_in(workplace / "other", "criteo", raw).folder
    module = sys.modules["mlet_bench.data.prepare.pipeline"]  # the package's attribute of this name is the function
    write = module._write

    def slow(job: Any, working: Path, *arguments: Any) -> str:
        fingerprint = write(job, working, *arguments)
        shutil.copytree(whole, job.folder(fingerprint))
        return fingerprint

    monkeypatch.setattr(module, "_write", slow)
    found = prepare("criteo", raw).folder
    assert reference.contents(found) == reference.contents(whole)
    assert [path.name for path in found.parent.iterdir()] == [whole.name]
