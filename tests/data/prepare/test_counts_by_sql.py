"""The manifest, the vocabulary and the parts against SQL on the raw text, by another tool."""

import random
from pathlib import Path
from typing import Any

import pytest

from mlet_bench.data.prepared import Prepared
from mlet_bench.data.sources.criteo import CATEGORICAL, NUMERIC
from tests.conftest import criteo_cells, prepare, write_criteo
from tests.data import reference

duckdb = pytest.importorskip("duckdb")
ROWS = 5_000
TRAIN, VALID = ROWS - ROWS // 7, ROWS // 7 - ROWS // 14


@pytest.fixture(scope="module")
def cells() -> list[list[str]]:
    rng = random.Random(6)
    cells = criteo_cells(ROWS, seed=3)
    for row in cells:
        row[14 + rng.randrange(26)] = f"{rng.randrange(4_000):x}"  # rare ones
    return cells


@pytest.fixture(scope="module")
def raw(cells: list[list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw text, also as the table `raw` with row numbers and splits, every cell as text, empty ones as ''."""
    path = write_criteo(tmp_path_factory.mktemp("raw") / "train.txt", cells)
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in ("label", *NUMERIC, *CATEGORICAL))
    split = f"CASE WHEN place < {TRAIN} THEN 'train' WHEN place < {TRAIN + VALID} THEN 'valid' ELSE 'test' END"
    text = (
        f"read_csv('{path}', delim='\t', header=false, quote='', escape='', nullstr='NO CELL', columns={{{columns}}})"
    )
    rows = f"(SELECT *, row_number() OVER () - 1 AS place FROM {text})"
    duckdb.sql(f"CREATE OR REPLACE TABLE raw AS SELECT *, {split} AS split FROM {rows}")
    return path


def query(sql: str) -> list[tuple[Any, ...]]:
    found = duckdb.sql(sql)
    rows: list[tuple[Any, ...]] = [] if found is None else found.fetchall()
    return rows


@pytest.mark.parametrize("min_count", [1, 2, 10])
@pytest.mark.parametrize("chunk_bytes", [1 << 26, 50_000])
def test_manifest_and_vocabulary(raw: Path, min_count: int, chunk_bytes: int) -> None:
    with reference.sizes(chunk_bytes=chunk_bytes, merge_at=100, part_rows=1_000):
        prepared = prepare("criteo", raw, min_count=min_count)
    table, manifest = "raw", prepared.manifest
    rows = query(f"SELECT split, count(*), sum(label::INT) FROM {table} GROUP BY split")
    assert {split: (count, positive) for split, count, positive in rows} == {
        split: (manifest["rows"][split], manifest["positives"][split]) for split in reference.SPLITS
    }
    missing = query("SELECT " + ", ".join(f"count_if({name} = '')" for name in (*NUMERIC, *CATEGORICAL))
                    + f" FROM {table}")  # fmt: skip
    assert list(missing[0]) == [manifest["missing"][name] for name in (*NUMERIC, *CATEGORICAL)]
    for entry in manifest["fields"]:
        name = entry["field"]
        counted = f"SELECT {name} AS value, count(*) AS n FROM {table} WHERE split = 'train' GROUP BY value"
        ((kept, merged, merged_rows),) = query(
            f"SELECT count_if(n >= {min_count}), count_if(n < {min_count}), "
            f"coalesce(sum(n) FILTER (n < {min_count}), 0) FROM ({counted})"
        )
        assert (entry["categories"], entry["merged"], entry["merged_train_rows"]) == (kept, merged, merged_rows)
        stored = f"read_parquet('{prepared.folder}/vocab/{name}.parquet')"
        assert query(f"SELECT value, train_count FROM {stored} ORDER BY ALL") == query(f"{counted} ORDER BY ALL")
        assert query(f"SELECT DISTINCT field FROM {stored}") == [(name,)]
        ((lowest, highest, ids),) = query(
            f"SELECT min(id), max(id), count(DISTINCT id) FROM {stored} WHERE train_count >= {min_count}"
        )
        reserved = 1 if min_count == 1 else 2
        assert (lowest, highest, ids) == (reserved, kept + reserved - 1, kept)
        assert entry["cardinality"] == kept + reserved
        assert query(f"SELECT count(*) FROM {stored} WHERE train_count < {min_count} AND id <> 1") == [(0,)]


def parts_of(prepared: Prepared, split: str) -> str:
    return f"read_parquet('{prepared.folder}/{split}/*.parquet', file_row_number=true, filename=true)"


@pytest.mark.parametrize("min_count", [1, 4])
def test_parts_are_the_raw_rows(raw: Path, min_count: int) -> None:
    with reference.sizes(part_rows=1_000, row_group_rows=300):
        prepared = prepare("criteo", raw, min_count=min_count)
    for split in reference.SPLITS:
        query(f"CREATE OR REPLACE TABLE stored AS SELECT *, row_number() OVER (ORDER BY filename, file_row_number) - 1 "
              f"AS number FROM {parts_of(prepared, split)}")  # fmt: skip
        wanted = f"(SELECT *, row_number() OVER (ORDER BY place) - 1 AS number FROM raw WHERE split = '{split}')"
        query(f"CREATE OR REPLACE TABLE wanted AS {wanted}")
        joined = "stored AS s JOIN wanted AS w USING (number)"
        assert query(f"SELECT count(*), count_if(s.label = w.label::INT) FROM {joined}") == [
            (prepared.rows[split], prepared.rows[split])
        ]
        far = " + ".join(
            f"count_if(abs(s.{name} - ln(1 + greatest(coalesce(try_cast(w.{name} AS BIGINT), 0), 0))) > 1e-5)"
            for name in NUMERIC
        )
        assert query(f"SELECT {far} FROM {joined}") == [(0,)]
        for name in CATEGORICAL:
            known = f"read_parquet('{prepared.folder}/vocab/{name}.parquet') AS v ON v.value = w.{name}"
            wrong = f"s.{name} <> coalesce(v.id, 0)"
            if min_count > 1:
                wrong += f" OR s.{name}_count <> coalesce(v.train_count, 0)"
            assert query(f"SELECT count_if({wrong}) FROM {joined} LEFT JOIN {known}") == [(0,)]
