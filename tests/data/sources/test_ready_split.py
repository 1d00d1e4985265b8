"""Which split the names of files and folders say, and that no row of one comes into another."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from mlet_bench.data.prepared import Prepared
from mlet_bench.errors import UserError
from tests.conftest import prepare

ROWS = {"train": 600, "valid": 200, "test": 200}


def write(path: Path, day: str, rows: int) -> Path:
    """Rows whose column `day` says where they belong; by the file's ending csv or Parquet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pa.table({"label": [i % 2 for i in range(rows)], "day": [day] * rows})
    if path.suffix == ".parquet":
        pq.write_table(frame, path)
    elif path.suffix == ".gz":
        with pa.CompressedOutputStream(path, "gzip") as packed:
            csv.write_csv(frame, packed)
    else:
        csv.write_csv(frame, path)
    return path


def days(prepared: Prepared) -> dict[str, dict[str, int]]:
    """By split: how many of its rows say that they belong to which. Ids go by training count, unseen ones are 0."""
    names = {0: "unseen", **dict(enumerate(prepared.vocabulary_table("day").column("value").to_pylist(), 1))}
    counts = {split: Counter(prepared.split(split).ids_BF[:, 0].tolist()) for split in ROWS}
    return {split: {names[number]: rows for number, rows in found.items()} for split, found in counts.items()}


@pytest.mark.parametrize(
    "names",
    [
        ["train.csv", "val.csv", "test.csv"],
        ["Train.csv", "VALID.csv", "Test.csv"],
        ["train_x.csv", "validation_x.csv", "test_x.csv"],
        ["ml-1m.train.csv", "ml-1m.dev.csv", "ml-1m.test.csv"],
        ["trainset.csv.gz", "evalSet.csv.gz", "testing.csv.gz"],
        ["train.parquet", "eval.parquet", "test.parquet"],
        ["train/part-0.parquet", "val/part-0.parquet", "test/part-0.parquet"],
        ["train.parquet/a/part-0.parquet", "val.parquet/a/part-0.parquet", "test.parquet/a/part-0.parquet"],
    ],
    ids=lambda names: names[1],
)
@pytest.mark.parametrize("as_glob", [False, True], ids=["folder", "glob"])
def test_rows_stay_in_the_split_that_their_file_is_named_for(workplace: Path, names: list[str], as_glob: bool) -> None:
    for name, (day, rows) in zip(names, ROWS.items(), strict=True):
        write(workplace / "raw" / name, day, rows)
    (workplace / "raw" / "_SUCCESS").touch()
    prepared = prepare("table", workplace / "raw" / "*" if as_glob else workplace / "raw")
    assert prepared.rows == ROWS
    assert days(prepared) == {"train": {"train": 600}, "valid": {"unseen": 200}, "test": {"unseen": 200}}


def test_several_files_of_a_split(workplace: Path) -> None:
    sizes = {"train_1.csv": 400, "train_2.csv": 200, "val.csv": 200, "test_1.csv": 150, "test_2.csv": 50}
    for name, rows in sizes.items():
        write(workplace / "raw" / name, name, rows)
    prepared = prepare("table", workplace / "raw")
    assert prepared.rows == ROWS
    assert days(prepared)["train"] == {"train_1.csv": 400, "train_2.csv": 200}


def test_same_files_under_names_that_say_other_splits_are_another_folder(workplace: Path) -> None:
    names = (
        ["train_1.csv", "val_2.csv", "val_3.csv", "test_4.csv"],
        ["train_1.csv", "train_2.csv", "val_3.csv", "test_4.csv"],
    )
    folders = []
    for number, files in enumerate(names):
        for file in files:
            write(workplace / str(number) / file, file.split("_")[1], 100)
        folders.append(prepare("table", workplace / str(number)))
    assert [folder.rows["train"] for folder in folders] == [100, 200]


@pytest.mark.parametrize(("there", "lacking"), [("test", "valid"), ("valid", "test")])
def test_split_without_a_file_is_cut_from_the_training_rows_and_said(workplace: Path, there: str, lacking: str) -> None:
    write(workplace / "raw" / "train.csv", "train", 900)
    write(workplace / "raw" / f"{there}.csv", there, 200)
    prepared = prepare("table", workplace / "raw")
    assert prepared.rows == {"train": 800, there: 200, lacking: 100}  # 8 : 1, as without files
    assert prepared.manifest["positives"] == {"train": 400, there: 100, lacking: 50}
    assert days(prepared) == {"train": {"train": 800}, lacking: {"train": 100}, there: {"unseen": 200}}
    said = f"as given by files, which lack {lacking}: it is 11.1 % of the training rows, stratified by label, seed 0"
    assert prepared.manifest["split"] == said
    assert prepare("table", workplace / "raw", seed=1).folder != prepared.folder


def test_files_that_say_no_split_are_one_table_and_that_is_said(workplace: Path) -> None:
    for name in ("a.csv", "latest.csv"):
        write(workplace / "raw" / name, name, 100)
    prepared = prepare("table", workplace / "raw")
    assert prepared.rows == {"train": 160, "valid": 20, "test": 20}
    assert prepared.notes[0].startswith("read as one table: ")
    assert "a.csv" in prepared.notes[0]
    assert "latest.csv" in prepared.notes[0]


def test_all_files_are_one_table_where_the_user_says_how_to_split_it(workplace: Path) -> None:
    for name in ("train.csv", "test.csv"):
        write(workplace / "raw" / name, name, 100)
    prepared = prepare("table", workplace / "raw", split="random")
    assert prepared.rows == {"train": 160, "valid": 20, "test": 20}
    assert prepared.notes[0].startswith("read as one table: ")


def test_other_files_beside_ready_split_ones_are_left_out_and_that_is_said(workplace: Path) -> None:
    for name, rows in ROWS.items():
        write(workplace / "raw" / f"{name}.csv", name, rows)
    write(workplace / "raw" / "sample_submission.csv", "other", 50)
    (workplace / "raw" / "feature_map.json").write_text("{}")
    prepared = prepare("table", workplace / "raw")
    assert prepared.rows == ROWS
    left = "left out, because their names give no split: feature_map.json, sample_submission.csv"
    assert prepared.notes[0] == left


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["train.csv", "b.csv"], "say train: train.csv; nothing: b.csv. Training files and at least one of"),
        (["val.csv", "test.csv"], "say valid: val.csv; test: test.csv. Training files"),
        (["train.csv", "train_test.csv"], "train_test.csv says by its name that it is train and test; rename it"),
        (["a.csv", "a.csv.gz"], "a.csv: is also there packed"),
        (["train.csv", "test.parquet"], "are of different kinds"),
    ],
    ids=lambda names: "+".join(names) if isinstance(names, list) else "",
)
def test_names_that_leave_it_open(workplace: Path, names: list[str], said: str) -> None:
    for name in names:
        write(workplace / "raw" / name, name, 20)
    with pytest.raises(UserError) as caught:
        prepare("table", workplace / "raw")
    assert said in str(caught.value)
    assert not (workplace / "data").exists()


def test_files_asked_for_where_no_name_says_a_split(workplace: Path) -> None:
    for name in ("a.csv", "b.csv"):
        write(workplace / "raw" / name, name, 20)
    with pytest.raises(UserError, match=r"split=files: .* with train, valid and test files"):
        prepare("table", workplace / "raw", split="files")


def test_test_rows_without_labels(workplace: Path) -> None:
    write(workplace / "raw" / "train.csv", "train", 100)
    (workplace / "raw" / "test.csv").write_text("id,day\n1,a\n")
    with pytest.raises(UserError, match=r"test.csv: has no column label; .* dataset.raw=.*train.csv splits"):
        prepare("table", workplace / "raw")


def test_one_file_in_a_folder_is_split_whatever_its_name(workplace: Path) -> None:
    write(workplace / "raw" / "test.csv", "any", 100)
    prepared: Any = prepare("table", workplace / "raw")
    assert prepared.rows == {"train": 80, "valid": 10, "test": 10}
