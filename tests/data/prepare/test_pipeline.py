"""prepare against a slow, plain reference, and what it does with bad input, damage and interruption."""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mlet_bench import data
from mlet_bench.data.prepared import Prepared, sealed
from mlet_bench.data.sources import criteo, text
from mlet_bench.errors import UserError
from mlet_bench.system import files
from tests.conftest import Cells, criteo_cells, dataset_config, prepare, write_criteo
from tests.data import reference


def assert_equals_reference(prepared: Prepared, cells: Cells, min_count: int = 1) -> None:
    """Every cell of the prepared folder against plain Python over the raw cells."""
    last = len(cells) // 7
    test = last // 2
    bounds = {"train": (0, len(cells) - last), "valid": (len(cells) - last, len(cells) - test),
              "test": (len(cells) - test, len(cells))}  # fmt: skip
    train = cells[: len(cells) - last]
    for index, field in enumerate(criteo.CATEGORICAL):
        counts = Counter(row[14 + index] for row in train)
        vocabulary = pq.read_table(prepared.folder / "vocab" / f"{field}.parquet").to_pylist()
        assert {entry["value"]: entry["train_count"] for entry in vocabulary} == counts
        kept = [entry for entry in vocabulary if entry["train_count"] >= min_count]
        reserved = 1 if min_count == 1 else 2  # 0: unseen, 1: rare
        assert [entry["id"] for entry in kept] == list(range(reserved, len(kept) + reserved))
        assert all(entry["id"] == 1 for entry in vocabulary if entry["train_count"] < min_count)
        assert [entry["train_count"] for entry in vocabulary] == sorted(counts.values(), reverse=True)
        ids = {entry["value"]: entry["id"] for entry in vocabulary}
        assert prepared.cardinalities[index] == len(kept) + reserved
        for split, (start, end) in bounds.items():
            rows = prepared.split(split)
            assert rows.ids_BF[:, index].tolist() == [ids.get(row[14 + index], 0) for row in cells[start:end]]
            assert rows.counts_BF is not None
            assert rows.counts_BF[:, index].tolist() == [counts[row[14 + index]] for row in cells[start:end]]
    for split, (start, end) in bounds.items():
        rows = prepared.split(split)
        assert rows.label_B.tolist() == [float(row[0]) for row in cells[start:end]]
        numeric = [[math.log(max(int(cell or 0), 0) + 1) for cell in row[1:14]] for row in cells[start:end]]
        np.testing.assert_allclose(rows.numeric_BN, np.array(numeric).reshape(-1, 13), rtol=1e-6)
        assert prepared.manifest["rows"][split] == end - start
        assert prepared.manifest["positives"][split] == sum(row[0] == "1" for row in cells[start:end])
    for index, name in enumerate((*criteo.NUMERIC, *criteo.CATEGORICAL)):
        assert prepared.manifest["missing"][name] == sum(row[1 + index] == "" for row in cells)


@pytest.mark.parametrize("min_count", [1, 3])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("chunk_bytes", [1 << 26, 4_000])
def test_equals_the_slow_reference(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, min_count: int, end: str, chunk_bytes: int
) -> None:
    monkeypatch.setattr(text, "CHUNK_BYTES", chunk_bytes)
    cells = criteo_cells(150)
    raw = write_criteo(workplace / "train.txt", cells, end)
    assert_equals_reference(prepare("criteo", raw, min_count=min_count), cells, min_count)


def test_same_input_and_options_give_the_same_bytes(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = write_criteo(workplace / "train.txt", criteo_cells(150))
    contents = []
    for place in ("one", "two"):
        monkeypatch.setenv("MLET_BENCH_DATA", str(workplace / place))
        folder = prepare("criteo", raw).folder
        contents.append({str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()})
    assert contents[0] == contents[1]


def test_a_changed_option_is_another_folder(workplace: Path) -> None:
    raw = write_criteo(workplace / "train.txt", criteo_cells(150))
    folders = {prepare("criteo", raw, **changes).folder for changes in ({}, {"min_count": 2}, {"train_share": 0.5})}
    assert len(folders) == 3
    raw.write_bytes(raw.read_bytes().replace(b"\t", b"\t7", 1))
    assert prepare("criteo", raw).folder not in folders


def test_thinning_keeps_a_seeded_share_of_training_rows_alone(workplace: Path) -> None:
    raw = write_criteo(workplace / "train.txt", criteo_cells(1_400))
    whole, half = prepare("criteo", raw), prepare("criteo", raw, train_share=0.5)
    assert 500 < half.rows["train"] < 700
    assert half.rows["test"] == whole.rows["test"]
    assert half.manifest["thinned"] == whole.rows["train"] - half.rows["train"]
    np.testing.assert_array_equal(half.split("test").label_B, whole.split("test").label_B)
    assert sum(half.id_counts[0]) == half.rows["train"]
    assert prepare("criteo", raw, train_share=0.5, seed=1).folder != half.folder


BAD = {
    "few cells": (lambda row: row[:-1], "line 40 has 39 columns"),
    "many cells": (lambda row: [*row, "x"], "line 40 has 41 columns"),
    "empty line": (lambda row: [""], "line 40 has 1 columns"),
    "label": (lambda row: ["2", *row[1:]], "line 40, column label: '2'"),
    "no label": (lambda row: ["", *row[1:]], "line 40, column label: ''"),
    "number": (lambda row: [row[0], "1.5", *row[2:]], "line 40, column I1: '1.5'"),
    "huge number": (lambda row: [row[0], str(2**63), *row[2:]], "line 40, column I1: '9223372036854775808'"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("sniffed", [True, False])
def test_bad_row_is_named_and_nothing_is_left(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, name: str, sniffed: bool
) -> None:
    if not sniffed:  # as if the bad row lay behind the quick look
        monkeypatch.setattr(criteo.CriteoSource, "check", lambda self: None)
    change, said = BAD[name]
    cells = criteo_cells(60)
    cells[39] = change(cells[39])
    raw = write_criteo(workplace / "train.txt", cells)
    with pytest.raises(UserError, match=r"train.txt") as caught:
        prepare("criteo", raw)
    assert said in str(caught.value)
    assert not (workplace / "data" / "prepared").exists()


def test_bytes_that_are_no_text(workplace: Path) -> None:
    raw = write_criteo(workplace / "train.txt", criteo_cells(60))
    raw.write_bytes(raw.read_bytes().replace(b"\t00000010", b"\t\xff\xfe", 1))
    with pytest.raises(UserError, match=r"no UTF-8 text"):
        prepare("criteo", raw)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "empty"), (b"0\t1\n" * 3, "columns"), (b"\x1f\x8b\x08" * 99, "line 1, column label: .* is no UTF-8 text")],
)
def test_file_that_is_no_criteo(workplace: Path, content: bytes, said: str) -> None:
    raw = workplace / "train.txt"
    raw.write_bytes(content)
    with pytest.raises(UserError, match=said):
        prepare("criteo", raw)
    assert [path.name for path in workplace.iterdir()] == ["train.txt"]


def test_interrupted_prepare_leaves_no_folder(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = write_criteo(workplace / "train.txt", criteo_cells(60))

    def stop(stage: str, done: int, of: int, rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        data.prepared_for(dataset_config("criteo", raw), best=lambda prepared, split: {}, progress=stop)
    assert not (workplace / "data" / "prepared").exists()
    assert_equals_reference(prepare("criteo", raw), criteo_cells(60))


def test_leftovers_of_a_killed_prepare_are_cleared(workplace: Path) -> None:
    raw = write_criteo(workplace / "train.txt", criteo_cells(60))
    folder = prepare("criteo", raw).folder
    folder.rename(folder.with_name(f".{folder.name}.tmp"))
    (folder.with_name(f".{folder.name}.tmp") / "manifest.json").write_text("half")
    assert_equals_reference(prepare("criteo", raw), criteo_cells(60))
    assert not list((workplace / "data" / "prepared").glob(".*.tmp"))


def test_leftovers_are_cleared_by_a_prepare_that_finds_its_folder(workplace: Path) -> None:
    raw = write_criteo(workplace / "train.txt", criteo_cells(60))
    folder = prepare("criteo", raw).folder
    before = reference.contents(workplace / "data")
    reference.write(workplace / "data" / ".raw-md5.json.4711.tmp", b"half")
    reference.write(workplace / "data" / ".raw-md5.lock", b"")
    reference.write(folder.with_name(".criteo-0123456789ab.lock"), b"")  # killed between the last rename and its end
    reference.write(folder.with_name(".my.table-0123456789ab.tmp") / "spool" / "rows.arrow", b"half")
    held, used = folder.with_name(".criteo-ba9876543210.lock"), folder.with_name(".criteo-ba9876543210.tmp")
    reference.write(used / "manifest.json", b"half")
    with files.locked(held, busy="held"):
        prepare("criteo", raw)
        assert sorted(path.name for path in folder.parent.iterdir()) == [
            used.name[:-4] + ".lock",
            used.name,
            folder.name,
        ]
    prepare("criteo", raw)
    assert reference.contents(workplace / "data") == before
    assert list(folder.parent.iterdir()) == [folder]


def test_damage_is_noticed_by_name(workplace: Path) -> None:
    raw = write_criteo(workplace / "train.txt", criteo_cells(60))
    part = prepare("criteo", raw).folder / "test" / "part-00000.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[:-1])
    with pytest.raises(UserError, match=r"part-00000.parquet: has \d+ bytes"):
        prepare("criteo", raw)
    part.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with pytest.raises(UserError, match=r"part-00000.parquet: its content is not what was prepared"):
        prepare("criteo", raw).split("test")
    part.unlink()
    with pytest.raises(UserError, match=r"part-00000.parquet: missing"):
        prepare("criteo", raw)


@pytest.mark.parametrize("name", ["../outside.parquet", "/etc/passwd", "train/../../x.parquet"])
def test_manifest_cannot_name_files_outside(workplace: Path, name: str) -> None:
    folder = prepare("criteo", write_criteo(workplace / "train.txt", criteo_cells(60))).folder
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"bytes": 1, "md5": ""}
    (folder / "manifest.json").write_text(json.dumps(sealed(manifest)))
    with pytest.raises(UserError, match="outside"):
        Prepared.open(folder)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 3}', '{"version": 1}', '{"version": 3, "checksum": NaN}', "\x00"]
)
def test_damaged_manifest(workplace: Path, text: str) -> None:
    (workplace / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest.json|prepared with"):
        Prepared.open(workplace)


def test_a_renamed_file_is_the_same_data(workplace: Path) -> None:
    raw = write_criteo(workplace / "train.txt", criteo_cells(60))
    assert prepare("criteo", raw).folder == prepare("criteo", raw.rename(workplace / "other.txt")).folder


def test_split_without_rows_is_a_mistake(workplace: Path) -> None:
    raw = write_criteo(workplace / "train.txt", criteo_cells(60))
    with pytest.raises(UserError, match="train split has no rows"):
        prepare("criteo", raw, train_share=1e-9)
    assert not (workplace / "data" / "prepared").exists()


def test_raw_hash_is_remembered_by_size_and_time(workplace: Path) -> None:
    raw = write_criteo(workplace / "train.txt", criteo_cells(60))
    first = prepare("criteo", raw)
    cache = json.loads((workplace / "data" / "raw-md5.json").read_text())
    assert cache[str(raw)]["md5"] == first.manifest["inputs"][0]["md5"]
    assert str(workplace) not in (first.folder / "manifest.json").read_text()
    (workplace / "data" / "raw-md5.json").write_text("damaged")
    assert prepare("criteo", raw).folder == first.folder


def test_real_criteo_rows(shared_data: Path) -> None:
    path = shared_data / "criteo" / "train.txt"
    cells = [line.split("\t") for line in path.read_text().splitlines()]
    assert_equals_reference(prepare("criteo", path), cells)
    assert_equals_reference(prepare("criteo", path, min_count=10), cells, 10)
