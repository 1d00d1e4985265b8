"""Rows encoded with the vocabulary and the numeric moments of another prepared folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mlet_bench import cli
from mlet_bench.data.prepared import Prepared
from mlet_bench.errors import UserError
from tests.conftest import Ended, prepare
from tests.data import reference

OLD = [("1", "a", "1.5"), ("0", "a", "2.5"), ("1", "b", ""), ("0", "c", "4"), ("0", "a", "-3"), ("1", "", "7"),
       ("0", "b", "0.5"), ("0", "valid only", "100"), ("1", "test only", "200")]  # fmt: skip
TRAIN = OLD[:7]
NEW = [("0", "new", "9"), ("1", "b", ""), ("1", "", "1.5"), ("0", "c", "2"), ("0", "a", "3"), ("1", "valid only", "4")]
LETTERS = ["a", "b", "c", ""]  # the most frequent first, equal ones by first appearance


def write(path: Path, rows: list[tuple[str, str, str]], header: str = "label,kind,size") -> Path:
    return reference.write(path, "\n".join([header, *map(",".join, rows)]).encode())


def old(workplace: Path, **changes: Any) -> Prepared:
    for name, rows in (("train", TRAIN), ("valid", OLD[7:8]), ("test", OLD[8:])):
        write(workplace / "old" / f"{name}.csv", rows)
    return prepare("table", workplace / "old", **columns(), **changes)


def columns() -> dict[str, Any]:
    return {"label": "label", "numeric": ["size"], "categorical": ["kind"]}


def new(workplace: Path, vocab: Path, **changes: Any) -> Prepared:
    raw = write(workplace / "new.csv", NEW)
    return prepare("table", raw, split="test", vocab=vocab, **columns(), **changes)


@pytest.mark.parametrize("min_count", [1, 2])
def test_ids_and_counts_are_those_of_the_other(workplace: Path, min_count: int) -> None:
    known = old(workplace, min_count=min_count)
    found = new(workplace, known.folder, min_count=5)  # the other's minimum count holds
    assert found.min_count == min_count
    counts = {letter: [row[1] for row in TRAIN].count(letter) for letter in LETTERS}
    reserved = 1 if min_count == 1 else 2
    ids = {letter: reserved + place if counts[letter] >= min_count else 1 for place, letter in enumerate(LETTERS)}
    rows = found.split("test")
    assert rows.ids_BF[:, 0].tolist() == [ids.get(row[1], 0) for row in NEW]
    assert rows.counts_BF is not None
    assert rows.counts_BF[:, 0].tolist() == [counts.get(row[1], 0) for row in NEW]
    assert rows.label_B.tolist() == [float(row[0]) for row in NEW]
    assert found.rows == {"train": 0, "valid": 0, "test": len(NEW)}
    assert found.manifest["vocabulary"] == known.manifest["vocabulary"]
    assert found.cardinalities == known.cardinalities
    assert found.manifest["fields"] == known.manifest["fields"]
    tables = [pq.read_table(folder.folder / "vocab" / "kind.parquet", partitioning=None) for folder in (known, found)]
    assert tables[0].to_pylist() == tables[1].to_pylist()
    np.testing.assert_array_equal(found.id_counts[0], known.id_counts[0])


def test_moments_are_those_of_the_other(workplace: Path) -> None:
    known = old(workplace, numeric_as="standard")
    found = new(workplace, known.folder, numeric_as="standard")
    mean, std = reference.moments([reference.number(row[2]) for row in TRAIN])
    wanted = [0.0 if row[2] == "" else (float(row[2]) - mean) / std for row in NEW]
    np.testing.assert_allclose(found.split("test").numeric_BN[:, 0], wanted, rtol=1e-6)
    assert found.manifest["moments"] == known.manifest["moments"]


def test_a_file_of_train_rows_gets_the_same_cells_again(workplace: Path) -> None:
    known = old(workplace, min_count=2, numeric_as="bucket")
    write(workplace / "new.csv", TRAIN)
    raw = workplace / "new.csv"
    again = prepare("table", raw, split="test", vocab=known.folder, numeric_as="bucket", **columns()).split("test")
    train = known.split("train")
    np.testing.assert_array_equal(again.ids_BF, train.ids_BF)
    np.testing.assert_array_equal(again.counts_BF, train.counts_BF)
    assert known.fields == ("size", "kind")


def test_another_vocabulary_is_another_folder(workplace: Path) -> None:
    one, other = old(workplace), old(workplace, min_count=2)
    assert new(workplace, one.folder).folder != new(workplace, other.folder).folder
    assert one.manifest["vocabulary"] != other.manifest["vocabulary"]


def test_splits_with_known_vocabulary_may_be_any(workplace: Path) -> None:
    known = old(workplace)
    write(workplace / "new.csv", NEW * 30)
    found = prepare("table", workplace / "new.csv", split="order", vocab=known.folder, **columns())
    assert found.rows == {"train": 144, "valid": 18, "test": 18}
    assert found.manifest["vocabulary"] == known.manifest["vocabulary"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"categorical": ["kind", "size"], "numeric": []}, "its fields are kind, here they are kind, size"),
        ({"numeric": [], "drop": ["size"]}, "its numeric columns are size, here they are "),
        ({"numeric_as": "log1p"}, "its dataset.numeric_as are standard, here they are log1p"),
        ({"numeric_as": "bucket"}, "its fields are kind, here they are size, kind"),
    ],
)
def test_what_does_not_fit_is_refused(workplace: Path, changes: dict[str, Any], said: str) -> None:
    known = old(workplace)
    before = sorted(path.name for path in known.folder.parent.iterdir())
    raw = write(workplace / "new.csv", NEW)
    with pytest.raises(UserError) as caught:
        prepare("table", raw, split="test", vocab=known.folder, **{**columns(), **changes})
    assert f"dataset.vocab={known.folder}: {said}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in known.folder.parent.iterdir()) == before


def test_no_vocabulary_there(command: Callable[..., Ended], workplace: Path) -> None:
    write(workplace / "new.csv", NEW)
    for vocab in ("nowhere", "."):
        ended = command(
            "prepare", "dataset=table", "dataset.raw=new.csv", "dataset.split=test", f"dataset.vocab={vocab}"
        )
        assert (ended.code, ended.out, ended.err.count("\n")) == (cli.MISTAKE, "", 1)
    ended = command("prepare", "dataset=table", "dataset.raw=new.csv", "dataset.split=test")
    assert (ended.code, ended.out) == (cli.MISTAKE, "")
    assert "the train split has no rows" in ended.err
    assert not (workplace / "data" / "prepared").exists()


def test_damaged_vocabulary_is_noticed_before_it_is_used(workplace: Path) -> None:
    known = old(workplace)
    path = known.folder / "vocab" / "kind.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"vocab/kind.parquet: its content is not what was prepared"):
        new(workplace, known.folder)
