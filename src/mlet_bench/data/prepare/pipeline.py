"""Raw rows → a prepared Parquet folder, whole or not at all.

The rows are read once into a spool (spool.py); then every row gets its split, every category is counted and
numbered, and the parts are written (parts.py). Memory grows with the categories, not with the rows.
"""

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from mlet_bench.config import DatasetConfig
from mlet_bench.data.manifest import MANIFEST_VERSION
from mlet_bench.data.prefetch import ahead
from mlet_bench.data.prepare.job import Job
from mlet_bench.data.prepare.parts import Encoded, known, write_parts, write_vocabularies
from mlet_bench.data.prepare.spool import Assigned, Spool
from mlet_bench.data.prepare.vocabulary import FieldVocabulary, encoded_with, numbered
from mlet_bench.data.prepared import BAD_ROWS, Prepared, sealed
from mlet_bench.data.sources.bad_rows import Reading
from mlet_bench.data.sources.raw import LABEL, RawFile, RawSource, clear_leftovers, raw_file, stamp, unchanged
from mlet_bench.data.sources.text import CHUNK_BYTES
from mlet_bench.data.splits import SPLITS
from mlet_bench.errors import UserError, listing
from mlet_bench.system import files
from mlet_bench.system.limits import available_cores, raise_open_files

PACKED = {".gz": 8, ".parquet": 8}
"""How many bytes of text a byte of such a file stands for, at most as a rule."""

UNSEEN_SHARE = 0.9
"""Above this share of rows with unknown categories, something is likely to be wrong with a field."""
PIECES_AT_WORK = 4
"""Chunks of text, for each core, that memory holds at a time in one form or another."""

Summary = Callable[[Prepared, str], dict[str, Any]]
"""What the truth itself would score on a split of a generated data set."""


class Progress(Protocol):
    """Who hears how far the work is: `done` of `of` units of its stage, and the rows handled so far."""

    def __call__(self, stage: str, done: int, of: int, rows: int) -> None: ...


def prepare(source: RawSource, config: DatasetConfig, *, best: Summary, progress: Progress) -> Prepared:
    """The prepared folder of `source` under data_root(), made if it is not there; UserError for bad rows.

    `best` scores the truth on a split, where the source knows it.
    """
    raise_open_files()  # a file for each field is open while rows are read
    job = _job(source, config)
    place = job.place
    _clean_up(place)
    made = job.made_before()
    if made is not None:
        return made
    _check_room(job)
    working = place / f".{config.name}-{job.stamp}.tmp"
    with files.made(place), files.locked(working.with_suffix(".lock")):
        made = job.made_before()  # another process was faster
        if made is not None:
            return made
        shutil.rmtree(working, ignore_errors=True)
        try:
            folder = job.folder(_write(job, working, best, progress))
            try:
                working.rename(folder)
            except OSError:
                # Another process may have prepared the same content from another path meanwhile.
                if not folder.exists():
                    raise
        finally:
            shutil.rmtree(working, ignore_errors=True)
    return job.opened(folder)


def found_before(source: RawSource, config: DatasetConfig) -> Prepared | None:
    """The folder that `prepare` would give, if it is there. UserError if it is not, and could not be made: for bad
    input, or for want of disk or memory."""
    job = _job(source, config)
    made = job.made_before()
    if made is None:
        _check_room(job)
    return made


def made_earlier(source: RawSource, config: DatasetConfig) -> Prepared | None:
    """The folder that `prepare` would give, if it is there; whether it could be made is not looked at."""
    return _job(source, config).made_before()


def _job(source: RawSource, config: DatasetConfig) -> Job:
    before = {path: stamp(path) for path in source.files}  # of all that is read
    source.check()
    return Job(source, config, before)


def _check_room(job: Job) -> None:
    """UserError if the disk cannot hold the parts and a spooled copy of the rows, or memory the pieces at work.

    The memory that categories will take is not known before they are read.
    """
    text_bytes = job.source.generated_bytes
    text_bytes += sum(seen["size"] * PACKED.get(path.suffix, 1) for path, seen in job.before.items())
    files.check_disk(job.place, 3 * text_bytes // 2, "preparing")
    files.check_memory(PIECES_AT_WORK * available_cores() * min(CHUNK_BYTES, text_bytes), "preparing")


def _clean_up(place: Path) -> None:
    """Remove what killed processes left: working folders and locks that nobody holds."""
    clear_leftovers()
    for name in {left.stem for left in (*place.glob(".*.tmp"), *place.glob(".*.lock"))}:
        with suppress(UserError, OSError), files.locked(place / f"{name}.lock", busy="held"):
            shutil.rmtree(place / f"{name}.tmp", ignore_errors=True)


def _write(job: Job, folder: Path, best: Summary, progress: Progress) -> str:
    """Fill `folder`, the manifest last; returns its fingerprint."""
    work = folder / "spool"
    work.mkdir(parents=True)
    stop = threading.Event()
    reading = job.reading(folder)
    with ThreadPoolExecutor(available_cores()) as pool, ThreadPoolExecutor(1) as hashing:
        hashed = hashing.submit(lambda: [raw_file(path, stop) for path in job.source.files])
        try:
            with unchanged(job.before):
                encoded, split_words = _encode(job, work, reading, pool, progress)
                for name in (*SPLITS, "vocab"):
                    (folder / name).mkdir()
                written = dict(write_vocabularies(encoded.vocabularies, folder, pool))
                done, total = 0, sum(encoded.assigned.rows.values())
                for part, facts in write_parts(encoded, folder, pool):
                    written[part.name], done = facts, done + part.rows
                    progress("writing", done, total, done)
                inputs = hashed.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    if reading.bad:
        written[BAD_ROWS] = known(folder / BAD_ROWS)
    manifest = _manifest(job, encoded, reading, inputs, written, split_words)
    if encoded.spool.has_truth:
        prepared = Prepared(folder, manifest)
        progress("evaluating the true logits", 0, 0, 0)
        manifest["best"] = {split: best(prepared, split) for split in ("valid", "test")}
    shutil.rmtree(work)
    files.write_json(folder / "manifest.json", sealed(manifest))
    return str(manifest["fingerprint"])


def _encode(job: Job, work: Path, reading: Reading, pool: Executor, progress: Progress) -> tuple[Encoded, str]:
    """Read all rows, give each its split, and number the categories."""
    config, source = job.config, job.source
    spool = Spool(work, job.columns)
    stage = "reading" if source.files else "generating"
    with closing(reading), closing(ahead(source.tables(reading))) as tables:
        for table in tables:
            spool.add(table, pool)
            progress(stage, reading.bytes, reading.total_bytes, spool.first_rows[-1])
        reading.finish()
    split_words = source.split.begin(spool.finish(pool))
    assigned = Assigned(spool, work / "splits")
    assigned.assign(source.split, config.train_share, config.seed)
    empty = [split for split, rows in assigned.rows.items() if rows == 0]
    if empty and job.known is None:
        more = " or a larger dataset.train_share" if empty[0] == "train" and config.train_share < 1 else ""
        raise UserError(f"the {empty[0]} split has no rows: more raw rows{more}, or another way to split, are needed")

    def vocabulary(field: str) -> FieldVocabulary:
        values = spool.builders[field].values
        if job.known is not None:
            return encoded_with(job.known.vocabulary_table(field), values, job.min_count)
        return numbered(values, assigned.train_counts(field), job.min_count)

    fields = job.columns.categorical
    vocabularies = dict(zip(fields, pool.map(vocabulary, fields), strict=True))
    moments = None
    if config.numeric_as == "standard":
        found = {name: seen.finish() for name, seen in assigned.moments.items()}
        moments = found if job.known is None else job.known.manifest["moments"]
    return Encoded(spool, assigned, vocabularies, moments, job.min_count > 1), split_words


def _manifest(
    job: Job,
    encoded: Encoded,
    reading: Reading,
    inputs: list[RawFile],
    written: dict[str, dict[str, Any]],
    split_words: str,
) -> dict[str, Any]:
    columns = job.columns
    return {
        "version": MANIFEST_VERSION,
        "name": job.config.name,
        "fingerprint": job.fingerprint(inputs),
        "options": job.options,
        "inputs": [{"bytes": file.bytes, "md5": file.md5} for file in inputs],
        "warnings": [
            *job.source.warnings([file.md5 for file in inputs]),
            *_absent_classes(encoded.assigned),
            *([] if job.known is None else _unseen(encoded)),
        ],
        "schema": {
            "label": LABEL,
            "numeric": list(columns.numeric),
            "categorical": list(columns.categorical),
            **({"kept": list(columns.kept)} if columns.kept else {}),
        },
        "split": split_words,
        "rows": encoded.assigned.rows,
        "positives": encoded.assigned.positives,
        "thinned": encoded.spool.first_rows[-1] - sum(encoded.assigned.rows.values()),
        "bad_rows": reading.bad,
        "missing": encoded.spool.missing,
        "truth": encoded.spool.has_truth,
        "moments": encoded.moments,
        "fields": [_field(name, vocabulary) for name, vocabulary in encoded.vocabularies.items()],
        "vocabulary": files.fingerprint(
            {
                "values": {name: written[f"vocab/{name}.parquet"]["md5"] for name in columns.categorical},
                "numeric": [list(columns.numeric), columns.numeric_as, encoded.moments],
            }
        ),
        "best": None,
        "versions": {"pyarrow": pa.__version__, "numpy": np.__version__},
        "files": dict(sorted(written.items())),
    }


def _absent_classes(assigned: Assigned) -> list[str]:
    """A warning for every split, of those with rows, that lacks a class."""
    positives, rows = assigned.positives, assigned.rows
    of_class = {1: positives, 0: {split: rows[split] - positives[split] for split in SPLITS}}
    return [
        f"{split} has none of the {sum(found.values()):,} rows of class {label}, so no AUC; take more rows or larger "
        "dataset.shares, or train with train.monitor=logloss"
        for split in SPLITS
        for label, found in of_class.items()
        if rows[split] and not found[split]
    ]


def _field(name: str, vocabulary: FieldVocabulary) -> dict[str, Any]:
    rare = vocabulary.counts[vocabulary.kept :]
    return {
        "field": name,
        "cardinality": vocabulary.cardinality,
        "categories": vocabulary.kept,
        "merged": len(rare),
        "merged_train_rows": int(rare.sum()),
    }


def _unseen(encoded: Encoded) -> list[str]:
    """A warning for every field of whose rows nearly all hold categories that the given vocabulary does not have."""
    rows, said = encoded.spool.first_rows[-1], []
    for name, vocabulary in encoded.vocabularies.items():
        counts = encoded.spool.counts(name)
        unknown = vocabulary.id_of_number == 0
        share = int(counts[unknown].sum()) / max(rows, 1)
        if share > UNSEEN_SHARE:
            values = encoded.spool.builders[name].values
            here = values.filter(pa.array(unknown)).slice(0, 3).to_pylist()
            theirs = vocabulary.values.slice(0, 3).to_pylist()
            said.append(f"column {name}: {100 * share:.3g} % of the rows hold categories that dataset.vocab does not "
                        f"have, as {listing(map(repr, here))}; it has {listing(map(repr, theirs))}")  # fmt: skip
    return said
