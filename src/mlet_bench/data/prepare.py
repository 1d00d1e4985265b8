"""Raw rows → a prepared Parquet folder, whole or not at all.

The rows are read once into a spool (spool.py); then every row gets its split, every category is counted and
numbered, and the parts are written (parts.py). Memory grows with the categories, not with the rows.
"""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from mlet_bench import files
from mlet_bench.config import DatasetConfig
from mlet_bench.data.ahead import ahead
from mlet_bench.data.bad_rows import Reading
from mlet_bench.data.parts import Encoded, known, write_parts, write_vocabularies
from mlet_bench.data.prepared import BAD_ROWS, MANIFEST_VERSION, Prepared
from mlet_bench.data.raw import LABEL, RawFile, RawSource, data_root, raw_file, remembered, stamp
from mlet_bench.data.splits import SPLITS
from mlet_bench.data.spool import Assigned, Columns, Spool
from mlet_bench.data.vocabulary import FieldVocabulary, encoded_with, numbered
from mlet_bench.errors import UserError, listing

PACKED = {".gz": 8, ".parquet": 8}
"""How many bytes of text a byte of such a file stands for, at most as a rule."""

Summary = Callable[[Prepared, str], dict[str, Any]]
"""What the truth itself would score on a split of a generated data set."""


class Progress(Protocol):
    """Who hears how far the work is: `done` of `of` units of its stage, and the rows handled so far."""

    def __call__(self, stage: str, done: int, of: int, rows: int) -> None: ...


def prepare(source: RawSource, config: DatasetConfig, *, best: Summary, progress: Progress) -> Prepared:
    """The prepared folder of `source` under data_root(), made if it is not there; UserError for bad rows.

    `best` scores the truth on a split, where the source knows it.
    """
    source.check()
    job = _Job(source, config)
    made = job.made_before()
    if made is not None:
        return made
    place = job.place
    raw_bytes = sum(path.stat().st_size * PACKED.get(path.suffix, 1) for path in source.files)
    files.check_disk(place, 3 * raw_bytes // 2, "preparing")  # the parts, and a spooled copy of the rows
    working = place / f".{config.name}-{job.stamp}.tmp"
    with _existing(place), files.locked(working.with_suffix(".lock")):
        made = job.made_before()  # another process was faster
        if made is not None:
            return made
        _clean_up(place, working)
        try:
            folder = job.folder(_write(job, working, best, progress))
            try:
                working.rename(folder)
            except OSError:
                if (
                    not folder.exists()
                ):  # the same content may lie under another path, and have been prepared from there
                    raise
        finally:
            shutil.rmtree(working, ignore_errors=True)
    return Prepared.open(folder)


class _Job:
    """A source and how it is to be prepared."""

    def __init__(self, source: RawSource, config: DatasetConfig) -> None:
        self.source, self.config = source, config
        self.columns = Columns.of(source, config.numeric_as)
        self.known = None if config.vocab is None else _vocabulary_of(config.vocab, self.columns)
        self.min_count = config.min_count if self.known is None else self.known.min_count
        if self.min_count > 1:
            self.columns.check_counts()
        self.place = data_root() / "prepared"

    @cached_property
    def options(self) -> dict[str, Any]:
        config = self.config
        return {
            "name": config.name,
            "reader": config.reader,
            "min_count": self.min_count,
            "train_share": config.train_share,
            "thinning_seed": config.seed if config.train_share < 1 else None,
            "numeric_as": config.numeric_as,
            "bad_rows": config.bad_rows,
            "vocabulary": None if self.known is None else self.known.vocabulary,
            **self.source.split.options(),
            **self.source.options(),
        }

    def fingerprint(self, inputs: list[RawFile]) -> str:
        """Of the raw content and of every option that changes what is prepared."""
        content = [{"bytes": file.bytes, "md5": file.md5} for file in inputs]
        return files.fingerprint({"version": MANIFEST_VERSION, "inputs": content, **self.options})

    @cached_property
    def stamp(self) -> str:
        """As a fingerprint, of the files' sizes and times: known before they are read."""
        seen = [[str(path.resolve()), stamp(path)] for path in self.source.files]
        return files.fingerprint({"version": MANIFEST_VERSION, "files": seen, **self.options})

    def folder(self, fingerprint: str) -> Path:
        return self.place / f"{self.config.name}-{fingerprint}"

    def made_before(self) -> Prepared | None:
        inputs = [file for path in self.source.files if (file := remembered(path)) is not None]
        if len(inputs) < len(self.source.files):
            return None
        folder = self.folder(self.fingerprint(inputs))
        return Prepared.open(folder) if folder.exists() else None

    def reading(self, folder: Path) -> Reading:
        total = sum(path.stat().st_size for path in self.source.files)
        aside = folder / BAD_ROWS if self.config.bad_rows == "skip" else None
        return Reading(total, aside, self.config.max_bad_share)


def _vocabulary_of(folder: Path, columns: Columns) -> Prepared:
    """The folder whose vocabulary is asked for; UserError if its columns are others or treated in another way."""
    known = Prepared.open(folder)
    for what, theirs, ours in (
        ("fields", known.fields, columns.categorical),
        ("numeric columns", known.numeric, columns.numeric),
        ("dataset.numeric_as", (known.manifest["options"]["numeric_as"],), (columns.numeric_as,)),
    ):
        if theirs != ours:
            raise UserError(f"dataset.vocab={folder}: its {what} are {listing(theirs)}, here they are {listing(ours)}")
    return known


@contextmanager
def _existing(folder: Path) -> Iterator[None]:
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


def _clean_up(place: Path, ours: Path) -> None:
    """Remove what killed processes left: our own working folder, and others that nobody holds."""
    for left in place.glob(".*.tmp"):
        if left == ours:
            shutil.rmtree(left, ignore_errors=True)
            continue
        try:
            with files.locked(left.with_suffix(".lock"), busy="held"):
                shutil.rmtree(left, ignore_errors=True)
        except UserError:
            pass


def _write(job: _Job, folder: Path, best: Summary, progress: Progress) -> str:
    """Fill `folder`, the manifest last; returns its fingerprint."""
    work = folder / "spool"
    work.mkdir(parents=True)
    stop = threading.Event()
    reading = job.reading(folder)
    with ThreadPoolExecutor(os.cpu_count()) as pool, ThreadPoolExecutor(1) as hashing:
        hashed = hashing.submit(lambda: [raw_file(path, stop) for path in job.source.files])
        try:
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
        manifest["best"] = {split: best(prepared, split) for split in ("valid", "test")}
    shutil.rmtree(work)
    files.write_json(folder / "manifest.json", manifest)
    return str(manifest["fingerprint"])


def _encode(job: _Job, work: Path, reading: Reading, pool: Executor, progress: Progress) -> tuple[Encoded, str]:
    """Read all rows, give each its split, and number the categories."""
    config, source = job.config, job.source
    spool = Spool(work, job.columns)
    with closing(reading), closing(ahead(source.tables(reading))) as tables:
        for table in tables:
            spool.add(table, pool)
            progress("reading", reading.bytes, reading.total_bytes, spool.first_rows[-1])
        reading.finish()
    split_words = source.split.begin(spool.finish(pool))
    assigned = Assigned(spool, work / "splits")
    assigned.assign(source.split, config.train_share, config.seed)
    empty = [split for split, rows in assigned.rows.items() if rows == 0]
    if empty and job.known is None:
        raise UserError(f"the {empty[0]} split has no rows: more raw rows or a larger dataset.train_share are needed")

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
    job: _Job,
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
        "warnings": job.source.warnings([file.md5 for file in inputs]),
        "schema": {"label": LABEL, "numeric": list(columns.numeric), "categorical": list(columns.categorical)},
        "split": split_words,
        "rows": encoded.assigned.rows,
        "positives": encoded.assigned.positives,
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


def _field(name: str, vocabulary: FieldVocabulary) -> dict[str, Any]:
    rare = vocabulary.counts[vocabulary.kept :]
    return {
        "field": name,
        "cardinality": vocabulary.cardinality,
        "categories": vocabulary.kept,
        "merged": len(rare),
        "merged_train_rows": int(rare.sum()),
    }
