"""Rows that a model is asked about become the ids and numbers that they had when they were prepared."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from mlet_bench.config import DatasetConfig
from mlet_bench.data import Prepared
from mlet_bench.data.asked import RowEncoder, asked_source, blocks
from mlet_bench.data.prepared import Split
from mlet_bench.data.sources.bad_rows import Reading
from mlet_bench.data.sources.raw import KEPT
from mlet_bench.errors import UserError
from tests.conftest import criteo_cells, dataset_config, prepare, write_criteo
from tests.data.formats import FORMATS


def asked(
    prepared: Prepared, config: DatasetConfig, raw: Path, keep: Sequence[str] = (), rows: int = 50
) -> tuple[Split, dict[str, list[Any]], dict[str, int]]:
    """All rows of `raw` encoded, `rows` at a time, the columns that go along, and how many cells were unseen."""
    source = asked_source(prepared, config, raw, keep)
    source.check()
    encoder, kept = RowEncoder(prepared, source), {name: [] for name in keep}
    pieces = []
    for block in blocks(source.tables(Reading(1, None, 0.0)), rows):
        pieces.append(encoder.encode(block))
        assert all(len(piece) == rows for piece in pieces[:-1])
        for name in keep:
            kept[name] += block.column(KEPT + name).to_pylist()
    ids_BF, numeric_BN = (
        np.concatenate([getattr(piece, name) for piece in pieces]) for name in ("ids_BF", "numeric_BN")
    )
    return replace(pieces[0], ids_BF=ids_BF, numeric_BN=numeric_BN), kept, encoder.unseen


def prepared_rows(prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
    pieces = [prepared.split(name) for name in ("train", "valid", "test") if prepared.rows[name]]
    return np.concatenate([piece.ids_BF for piece in pieces]), np.concatenate([piece.numeric_BN for piece in pieces])


def assert_same_rows(found: Split, prepared: Prepared, *, ordered: bool) -> None:
    ids_BF, numeric_BN = prepared_rows(prepared)
    if ordered:
        np.testing.assert_array_equal(found.ids_BF, ids_BF)
        np.testing.assert_array_equal(found.numeric_BN, numeric_BN)
        return
    theirs, ours = (np.hstack(rows) for rows in ((ids_BF, numeric_BN), (found.ids_BF, found.numeric_BN)))
    np.testing.assert_array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])


@pytest.mark.parametrize("numeric_as", ["log1p", "bucket", "standard", "as_is"])
def test_criteo_rows_with_labels_and_as_in_the_test_file_without(workplace: Path, numeric_as: str) -> None:
    cells = criteo_cells(420)
    raw = write_criteo(workplace / "train.txt", cells)
    prepared = prepare("criteo", raw, numeric_as=numeric_as, min_count=2)
    config = dataset_config("criteo", raw, numeric_as=numeric_as, min_count=2)
    found, kept, _ = asked(prepared, config, raw, ["label", "C2", "I3"])
    assert_same_rows(found, prepared, ordered=True)
    assert kept["label"] == [row[0] for row in cells]
    assert kept["C2"] == [row[15] for row in cells]
    assert kept["I3"] == [int(row[3]) if row[3] else None for row in cells]
    without = write_criteo(workplace / "test.txt", [row[1:] for row in cells])
    again, _, _ = asked(prepared, config, without, rows=400)
    assert_same_rows(again, prepared, ordered=True)
    with pytest.raises(UserError, match=r"predict\.keep=label: .*test\.txt has no such column"):
        asked(prepared, config, without, ["label"])


def test_categories_that_were_never_seen_get_the_reserved_id(workplace: Path) -> None:
    raw = write_criteo(workplace / "train.txt", criteo_cells(420))
    prepared = prepare("criteo", raw)
    cells = criteo_cells(3)
    cells[1][14] = "never seen"
    found, _, unseen = asked(prepared, dataset_config("criteo"), write_criteo(workplace / "later.txt", cells))
    assert found.ids_BF[1, 0] == 0
    assert found.ids_BF[0, 0] > 0
    assert unseen["C1"] == 1
    assert np.isnan(found.label_B).all()


@pytest.mark.parametrize("name", ["avazu", "avazu_x4", "criteo_x1", "movielens1m"])
def test_every_reader_without_the_column_of_labels(workplace: Path, name: str) -> None:
    form = FORMATS[name]
    split = {"split": "random"} if name == "avazu" else {}
    prepared = prepare(name, form.write(workplace, form.content(form.lines(300))), **split)
    label = {"movielens1m": "rating", "criteo_x1": "label"}.get(name, "click")
    place = form.columns.index(label)
    rows = [[cell for at, cell in enumerate(row) if at != place] for row in form.rows(300)]
    if form.others and name != "movielens1m":
        rows += [[cell for at, cell in enumerate(row) if at != place] for row in form.rows(20) * 2]
    bare = replace(form, columns=[column for column in form.columns if column != label], rows=lambda _: rows)
    other = workplace / "other"
    other.mkdir()
    raw = bare.write(other, bare.content(bare.lines(0)))
    config = dataset_config(name, **split)
    keep = bare.columns[-1:]
    found, kept, _ = asked(prepared, config, raw if name in ("avazu", "movielens1m") else raw / form.file, keep)
    assert_same_rows(found, prepared, ordered=False)
    assert kept[keep[0]] == [row[-1] for row in rows]


TABLE = "yes,7.0,1.5,2024-01-01,r1\nno,NA,,2024-01-02,r2\nyes,x,3.0,2024-01-03,r3\n" * 20


def test_a_table_without_labels_as_text_and_as_parquet(workplace: Path) -> None:
    (workplace / "rows.csv").write_text(f"bought,shop,price,day,ref\n{TABLE}")
    columns = {"label": "bought", "numeric": ["price"], "categorical": ["shop", "day"]}
    values: dict[str, Any] = {"raw": workplace / "rows.csv", "split": "order", **columns}
    prepared, config = prepare("table", **values), dataset_config("table", **values)
    read = pyarrow.csv.read_csv(workplace / "rows.csv").drop_columns(["bought"])
    shuffled = read.select(["ref", "day", "price", "shop"])
    pyarrow.csv.write_csv(shuffled, workplace / "later.csv")
    times = shuffled.column("day").cast(pa.timestamp("us"))
    pq.write_table(shuffled.set_column(1, "day", times), workplace / "later.parquet")
    for name in ("later.csv", "later.parquet"):
        found, kept, _ = asked(prepared, config, workplace / name, ["ref", "shop"])
        assert_same_rows(found, prepared, ordered=True)
        assert kept["ref"] == ["r1", "r2", "r3"] * 20
    # the config of a run that was given the prepared folder says nothing of the table
    found, _, _ = asked(prepared, dataset_config("synthetic"), workplace / "later.csv")
    assert_same_rows(found, prepared, ordered=True)


@pytest.mark.parametrize("columns", [["y", "a", "x"], ["a", "x", "y"]])
def test_a_table_without_a_header_and_without_labels(workplace: Path, columns: list[str]) -> None:
    rng = np.random.default_rng(0)
    cells = [{"y": str(rng.integers(2)), "a": f"a{rng.integers(9)}", "x": f"{rng.random():.3f}"} for _ in range(90)]
    text = "\n".join(",".join(row[name] for name in columns) for row in cells)
    (workplace / "rows.csv").write_text(text)
    values = {"raw": workplace / "rows.csv", "label": "y", "columns": columns, "split": "order"}
    prepared, config = prepare("table", **values), dataset_config("table", **values)
    without = [name for name in columns if name != "y"]
    bare = "\n".join(",".join(row[name] for name in without) for row in cells)
    for name, content in (("bare", bare), ("full", text), ("named", f"{','.join(without)}\n{bare}")):
        (workplace / f"{name}.csv").write_text(content)
        found, _, _ = asked(prepared, config, workplace / f"{name}.csv")
        assert_same_rows(found, prepared, ordered=True)


def test_rows_like_generated_ones_are_a_table(workplace: Path) -> None:
    prepared = prepare("synthetic", rows=600)
    rows, columns = prepared.split("valid"), {}
    for index, name in enumerate(prepared.fields):
        known = prepared.vocabulary_table(name)
        values = dict(zip(known.column("id").to_pylist(), known.column("value").to_pylist(), strict=True))
        columns[name] = [values.get(code, "unheard") for code in rows.ids_BF[:, index].tolist()]
    columns |= {name: np.expm1(rows.numeric_BN[:, index]) for index, name in enumerate(prepared.numeric)}
    pq.write_table(pa.table(columns), workplace / "rows.parquet")
    found, _, unseen = asked(prepared, dataset_config("synthetic", rows=600), workplace / "rows.parquet")
    np.testing.assert_array_equal(found.ids_BF, rows.ids_BF)
    np.testing.assert_allclose(found.numeric_BN, rows.numeric_BN, rtol=1e-5)
    assert list(unseen.values()) == (rows.ids_BF == 0).sum(0).tolist()


def test_what_is_refused(workplace: Path) -> None:
    raw = write_criteo(workplace / "train.txt", criteo_cells(420))
    prepared, config = prepare("criteo", raw), dataset_config("criteo")
    write_criteo(workplace / "short.txt", [row[:20] for row in criteo_cells(5)])
    with pytest.raises(UserError, match=r"line 1 has 20 columns, 40 are needed"):
        asked(prepared, config, workplace / "short.txt")
    with pytest.raises(UserError, match=r"predict\.keep=c1: .* has no such column; .* Did you mean C1\?"):
        asked(prepared, config, raw, ["c1"])
    (workplace / "avazu.csv").write_text("id,hour\n1,14102100\n")
    other = FORMATS["avazu"]
    avazu = prepare("avazu", other.write(workplace, other.content(other.lines(200)), "a.csv"), split="random")
    with pytest.raises(UserError, match=r"avazu\.csv: has no column C1; it has id, hour"):
        asked(avazu, dataset_config("avazu"), workplace / "avazu.csv")
