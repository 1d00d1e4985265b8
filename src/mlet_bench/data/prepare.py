"""Raw rows → a prepared Parquet folder, whole or not at all.

Two passes of bounded memory: the first reads the raw rows once, gives every category a provisional id, counts
it, and spools the rows with those ids; the second turns provisional ids into final ones and writes the parts.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlet_bench import files
from mlet_bench.config import DatasetConfig
from mlet_bench.data.prepared import MANIFEST_VERSION, Prepared
from mlet_bench.data.raw import LABEL, SPLITS, TRUTH, RawSource, data_root
from mlet_bench.data.vocabulary import FieldVocabulary, VocabularyBuilder
from mlet_bench.errors import UserError

PART_ROWS = 1 << 20
ROW_GROUP_ROWS = 1 << 17

Summary = Callable[[Prepared, str], dict[str, Any]]
"""What the truth itself would score on a split of a generated data set."""


def fingerprint(source: RawSource, config: DatasetConfig) -> str:
    """Of the raw content and of every option that changes what is prepared."""
    return files.fingerprint({"version": MANIFEST_VERSION, "inputs": source.identity(), **_options(source, config)})


def prepare(
    source: RawSource,
    config: DatasetConfig,
    *,
    best: Summary,
    progress: Callable[[int], None] = lambda rows: None,
) -> Prepared:
    """The prepared folder of `source` under data_root(), made if it is not there; UserError for bad rows.

    `best` scores the truth on a split, where the source knows it; `progress` hears of the rows read so far.
    """
    source.check()
    name = f"{config.name}-{fingerprint(source, config)}"
    folder = data_root() / "prepared" / name
    if folder.exists():
        return Prepared.open(folder)
    files.check_disk(folder.parent, 2 * source.raw_bytes(), "preparing")  # the parts, and a spooled copy of the rows
    with _made(folder.parent), files.locked(folder.with_name(f".{name}.lock")):
        if folder.exists():  # another process was faster
            return Prepared.open(folder)
        working = folder.with_name(f".{name}.tmp")
        shutil.rmtree(working, ignore_errors=True)  # of a process that was killed: we hold its lock
        try:
            _write(source, config, working, best, progress)
            working.rename(folder)
        finally:
            shutil.rmtree(working, ignore_errors=True)
    return Prepared.open(folder)


def _options(source: RawSource, config: DatasetConfig) -> dict[str, Any]:
    thinned = config.train_share < 1
    return {
        "name": config.name,
        "reader": config.reader,
        "min_count": config.min_count,
        "train_share": config.train_share,
        "thinning_seed": config.seed if thinned else None,
        "numeric": "ln(x+1), negative and missing as 0",
        **source.options(),
    }


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """The folder, and its parents; those that were missing are removed again if the block leaves them empty."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for path in missing:
            try:
                path.rmdir()
            except OSError:
                break
        raise


def _write(
    source: RawSource, config: DatasetConfig, folder: Path, best: Summary, progress: Callable[[int], None]
) -> None:
    spool = folder / "spool"
    spool.mkdir(parents=True)
    builders = {field: VocabularyBuilder() for field in source.categorical}
    found = _first_pass(source, config, builders, spool, progress)
    vocabularies = {field: builder.finish(config.min_count) for field, builder in builders.items()}
    for split in SPLITS:
        _second_pass(source, config, vocabularies, spool / f"{split}.arrow", folder / split)
    (folder / "vocab").mkdir()
    for field, vocabulary in vocabularies.items():
        pq.write_table(vocabulary.table(field), folder / "vocab" / f"{field}.parquet", compression="zstd")
    shutil.rmtree(spool)
    written = {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "md5": files.md5(path)}
        for path in sorted(folder.rglob("*.parquet"))
    }
    manifest: dict[str, Any] = {
        "version": MANIFEST_VERSION,
        "name": config.name,
        "fingerprint": fingerprint(source, config),
        "options": _options(source, config),
        "inputs": source.identity(),
        "schema": {"label": LABEL, "numeric": list(source.numeric), "categorical": list(source.categorical)},
        **found,
        "fields": [
            {
                "field": field,
                "cardinality": vocabulary.cardinality,
                "categories": vocabulary.kept,
                "merged": len(vocabulary.values) - vocabulary.kept,
            }
            for field, vocabulary in vocabularies.items()
        ],
        "best": None,
        "versions": {"pyarrow": pa.__version__, "numpy": np.__version__},
        "files": written,
    }
    if found["truth"]:
        prepared = Prepared(folder, manifest)
        manifest["best"] = {split: best(prepared, split) for split in ("valid", "test")}
    files.write_json(folder / "manifest.json", manifest)


def _first_pass(
    source: RawSource,
    config: DatasetConfig,
    builders: dict[str, VocabularyBuilder],
    spool: Path,
    progress: Callable[[int], None],
) -> dict[str, Any]:
    """Spool the rows of each split with provisional ids; returns what was found on the way."""
    thinning = np.random.default_rng(config.seed)
    rows, positives = dict.fromkeys(SPLITS, 0), dict.fromkeys(SPLITS, 0)
    missing = dict.fromkeys((*source.numeric, *source.categorical), 0)
    writers: dict[str, pa.RecordBatchFileWriter] = {}
    first_row, truth = 0, False
    try:
        for batch in source.batches():
            split_B = source.split_of(first_row, batch.num_rows)
            first_row += batch.num_rows
            if config.train_share < 1:
                dropped = thinning.random(batch.num_rows) >= config.train_share
                kept = np.flatnonzero(~(dropped & (split_B == 0)))
                batch, split_B = batch.take(pa.array(kept)), split_B[kept]
            columns = _spooled(batch, source, builders, split_B == 0, missing)
            truth = TRUTH in columns
            table = pa.table(columns)
            for index, split in enumerate(SPLITS):
                chosen = np.flatnonzero(split_B == index)
                part = table if len(chosen) == table.num_rows else table.take(pa.array(chosen))
                if split not in writers:
                    writers[split] = pa.ipc.new_file(spool / f"{split}.arrow", table.schema)
                writers[split].write_table(part)
                rows[split] += part.num_rows
                positives[split] += int(pc.sum(part.column(LABEL)).as_py() or 0)
            progress(first_row)
    finally:
        for writer in writers.values():
            writer.close()
    empty = [split for split in SPLITS if rows[split] == 0]
    if empty:
        raise UserError(f"the {empty[0]} split has no rows: more raw rows or a larger dataset.train_share are needed")
    return {"rows": rows, "positives": positives, "missing": missing, "truth": truth}


def _spooled(
    batch: pa.Table,
    source: RawSource,
    builders: dict[str, VocabularyBuilder],
    train_B: np.ndarray,
    missing: dict[str, int],
) -> dict[str, Any]:
    columns: dict[str, Any] = {LABEL: batch.column(LABEL).cast(pa.int8())}
    for name in source.numeric:
        column = batch.column(name)
        missing[name] += column.null_count
        value = pc.fill_null(column, 0).to_numpy().astype(np.float64)
        columns[name] = np.log1p(np.maximum(value, 0)).astype(np.float32)
    for name in source.categorical:
        column = batch.column(name).combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # no rows: there is nothing to combine
            column = pa.array([], pa.string())
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        columns[name] = builders[name].add(encoded, train_B)
        empty = pc.index(encoded.dictionary, "").as_py()
        if empty >= 0:
            missing[name] += int((encoded.indices.to_numpy() == empty).sum())
    if TRUTH in batch.column_names:
        columns[TRUTH] = batch.column(TRUTH)
    return columns


def _second_pass(
    source: RawSource,
    config: DatasetConfig,
    vocabularies: dict[str, FieldVocabulary],
    spooled: Path,
    folder: Path,
) -> None:
    """Write one split's parts with final ids; with a minimum count also each original category's count."""
    folder.mkdir()
    with pa.memory_map(str(spooled)) as opened:
        table = pa.ipc.open_file(opened).read_all()
        for part, start in enumerate(range(0, max(table.num_rows, 1), PART_ROWS)):
            rows = table.slice(start, PART_ROWS)
            columns: dict[str, Any] = {LABEL: rows.column(LABEL)}
            for name in source.numeric:
                columns[name] = rows.column(name)
            for name in source.categorical:
                columns[name] = vocabularies[name].final_of_provisional[rows.column(name).to_numpy()]
            if config.min_count > 1:
                for name in source.categorical:
                    counts = vocabularies[name].count_of_provisional
                    columns[f"{name}_count"] = counts[rows.column(name).to_numpy()]
            if TRUTH in rows.column_names:
                columns[TRUTH] = rows.column(TRUTH)
            pq.write_table(
                pa.table(columns),
                folder / f"part-{part:05d}.parquet",
                row_group_size=ROW_GROUP_ROWS,
                use_dictionary=[name for name in columns if name not in (LABEL, TRUTH, *source.numeric)],
                compression="zstd",
                compression_level=1,
            )
