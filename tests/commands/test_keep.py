"""Raw columns that go through preparation into predictions.parquet, so that rows can be joined."""

import json
import re
import shlex
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from mlet_bench import cli
from mlet_bench.errors import UserError
from tests.conftest import TINY, Ended, prepare
from tests.data import reference

Command = Callable[..., Ended]
ROWS = 300


def columns() -> dict[str, list[Any]]:
    numbers = range(ROWS)
    return {
        "label": [k % 2 for k in numbers],
        "id": [f"00{k * 7919 % ROWS}" for k in numbers],
        "item": [f"i{k * k % 31}" for k in numbers],
        "price": [k / 4 for k in numbers],
        "day": [f"2024-01-{1 + k // 20:02d}T00:00:00" for k in numbers],
    }


def write(path: Path, **changes: list[Any]) -> Path:
    frame = pa.table({**columns(), **changes})
    if path.suffix == ".parquet":
        pq.write_table(frame, path, row_group_size=70)
    else:
        csv.write_csv(frame, path)
    return path


def stored(folder: Path, split: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pa.concat_tables(map(pq.read_table, sorted(folder.glob(f"{split}/*")))).to_pylist()
    return rows


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    "sizes", [{}, {"chunk_bytes": 400, "part_rows": 50, "row_group_rows": 20}], ids=["whole", "parts"]
)
def test_prepared_rows_carry_them(workplace: Path, kind: str, sizes: dict[str, int]) -> None:
    raw = write(workplace / f"rows.{kind}")
    given = {"drop": ["id"], "split": "order", "shares": [0.5, 0.25, 0.25], "numeric_as": "as_is"}
    with reference.sizes(**sizes):
        plain, found = prepare("table", raw, **given), prepare("table", raw, **given, keep=["id", "item", "price"])
    assert (found.kept, plain.kept) == (("id", "item", "price"), ())
    assert (found.vocabulary, found.fields, found.numeric) == (plain.vocabulary, plain.fields, plain.numeric)
    expected, done = columns(), 0
    for split, rows in {"train": 150, "valid": 75, "test": 75}.items():
        with_them, without = stored(found.folder, split), stored(plain.folder, split)
        assert len(with_them) == rows
        for place, (row, bare) in enumerate(zip(with_them, without, strict=True), done):
            kept = {name: row.pop(f"kept:{name}") for name in found.kept}
            assert kept == {name: expected[name][place] for name in found.kept}
            assert row == bare
        done += rows


def test_types_are_those_of_the_file(workplace: Path) -> None:
    times = [datetime(2024, 1, 1 + k % 9) for k in range(ROWS)]
    raw = write(workplace / "rows.parquet", id=list(range(ROWS)), day=times)
    found = prepare("table", raw, keep=["id", "day"], numeric=["id"], split="order")
    table = pq.read_table(found.folder / "train" / "part-00000.parquet")
    assert table.column("kept:id").to_pylist() == list(range(240))
    assert table.column("kept:day").to_pylist() == times[:240]


def test_a_folders_name_is_kept_too(workplace: Path) -> None:
    for day in (1, 2):
        (workplace / "raw" / f"dt={day}").mkdir(parents=True)
        write(workplace / "raw" / f"dt={day}" / "a.csv")
    found = prepare("table", Path("raw"), keep=["dt"], split="order")
    assert [row["kept:dt"] for row in stored(found.folder, "train")] == [*["1"] * 300, *["2"] * 180]


def test_another_type_in_a_later_file(workplace: Path) -> None:
    (workplace / "raw").mkdir()
    write(workplace / "raw" / "a.parquet", id=list(range(ROWS)))
    write(workplace / "raw" / "b.parquet")
    with pytest.raises(UserError, match=r"b.parquet: column id is kept, and is no int64 as in the first file"):
        prepare("table", workplace / "raw", keep=["id"], categorical=["item"])


def test_predictions_can_be_joined(command: Command, workplace: Path) -> None:
    write(workplace / "rows.csv")
    given = ["train", "dataset=table", "dataset.raw=rows.csv", "dataset.drop=[id]", *TINY, "train.epochs=1"]
    assert command(*given, "hydra.run.dir=plain").code == cli.DONE
    assert command(*given, "hydra.run.dir=run", "eval.keep=[id,item]").code == cli.DONE
    plain, found = (pq.read_table(Path(run) / "predictions.parquet") for run in ("plain", "run"))
    assert plain.column_names == ["row", "label", "logit", "probability"]
    assert found.drop_columns(["id", "item"]).equals(plain)
    rows = {name: dict(zip(columns()["id"], columns()[name], strict=True)) for name in ("label", "item")}
    assert len(found) == ROWS / 10
    for name in ("label", "item"):
        assert found.column(name).to_pylist() == [rows[name][key] for key in found.column("id").to_pylist()]

    write(workplace / "later.csv")
    (trained,) = (
        path for path in Path("data/prepared").glob("table-*") if "kept" not in (path / "manifest.json").read_text()
    )
    later = ["prepare", "dataset=table", "dataset.raw=later.csv", "dataset.drop=[id]", "dataset.split=test"]
    assert command(*later, f"dataset.vocab={trained}", "dataset.keep=[id]", "hydra.run.dir=later").code == cli.DONE
    folder = json.loads(Path("later/prepare.json").read_text())["folder"]
    evaluate = ["evaluate", "run=plain", f"dataset.prepared={folder}", "hydra.run.dir=evaluated"]
    assert command(*evaluate, "keep=[id]").code == cli.DONE
    evaluated = pq.read_table("evaluated/predictions.parquet")
    assert evaluated.column("id").to_pylist() == columns()["id"]
    assert command(*evaluate).code == cli.DONE
    assert pq.read_table("evaluated/predictions.parquet").column_names == plain.column_names
    ended = command("evaluate", "run=run", f"dataset.prepared={folder}", "hydra.run.dir=evaluated")
    assert ended.code == cli.MISTAKE
    assert f"keep=item: {folder} keeps id; prepare it again with dataset.keep=[item]" in ended.err


def test_the_join_of_the_documentation(command: Command, workplace: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "own-rows.md").read_text()
    (line,) = (line for line in page.splitlines() if "eval.keep=[id] hydra.run.dir=run" in line)
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    write(workplace / "clicks.csv")
    assert command(*shlex.split(line)[1:], *TINY, "train.epochs=1").code == cli.DONE
    names: dict[str, Any] = {}
    exec(compile(block, "docs/own-rows.md", "exec"), names)
    joined = names["joined"].to_pylist()
    assert len(joined) == ROWS / 10
    prices = dict(zip(columns()["id"], columns()["price"], strict=True))
    assert all(row["price"] == prices[row["id"]] and 0 < row["probability"] < 1 for row in joined)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["eval.keep=[idd]"], "dataset.keep=idd (eval.keep): rows.csv has no such column; it has label, id, "
                              "item, price, day. Did you mean id?"),
        (["eval.keep=[label]"], "keep=label: predictions.parquet already has a column of that name"),
        (["eval.keep=id"], "eval.keep=id: not allowed; allowed: a list, each text"),
        (["eval.keep=[id]", "dataset=criteo"], "eval.keep=id: dataset=criteo keeps no columns of its raw rows; allowed "
                                               "with dataset=table"),
        (["eval.keep=[id]", "dataset.prepared=DIR"], "keep=id: DIR keeps no raw columns; prepare it again with "
                                                     "dataset.keep=[id]"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept(command: Command, workplace: Path, words: list[str], said: str) -> None:
    folder = str(prepare("table", write(workplace / "rows.csv"), drop=["id"]).folder)
    words = [word.replace("DIR", folder) for word in words]
    ended = command("train", "dataset=table", "dataset.raw=rows.csv", *words)
    assert (ended.code, ended.out) == (cli.MISTAKE, "")
    assert said.replace("DIR", folder) in ended.err
    assert ended.err.count("\n") == 1
    assert not Path("outputs").exists()
