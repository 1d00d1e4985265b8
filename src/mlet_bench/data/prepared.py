"""A prepared data set as a folder: Parquet parts of three splits, the vocabulary, and a manifest.

B rows, F sparse fields, N numeric columns.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from mlet_bench.config.validation import describe_error
from mlet_bench.data.manifest import MANIFEST_VERSION, Manifest
from mlet_bench.data.rows import Split
from mlet_bench.data.sources.raw import KEPT, LABEL, TRUTH
from mlet_bench.errors import UserError, listing
from mlet_bench.system import files
from mlet_bench.system.processes import ALONE, Processes

MOST_ROWS_A_BYTE = 64
"""Of a part: Parquet's packed deltas take 5 bytes for 128 ids at least."""
BAD_ROWS = "bad_rows.jsonl"
"""The rows that were set aside, in a prepared folder."""


def sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with a checksum of all else in it."""
    rest = {name: value for name, value in manifest.items() if name != "checksum"}
    return {**rest, "checksum": files.fingerprint(rest)}


@dataclass(frozen=True)
class Prepared:
    """An opened prepared folder. A part is compared with its md5 when it is first read."""

    folder: Path
    manifest: dict[str, Any]
    notes: tuple[str, ...] = ()
    """What the user should know of it."""
    _checked: set[str] = field(default_factory=set, compare=False)

    @classmethod
    def open(cls, folder: Path) -> "Prepared":
        """Check the manifest and the sizes of all files; UserError names the file that is wrong."""
        if not (folder / "manifest.json").is_file():
            raise UserError(f"{folder}: not a prepared data set, it has no manifest.json")
        path = folder / "manifest.json"
        try:
            manifest = files.read_json(path)
        except UserError as error:
            raise UserError(f"{error}; remove the folder and prepare it again") from None
        prepared = cls(folder, manifest)
        again = "remove the folder and prepare it again"
        if not isinstance(manifest, dict) or "version" not in manifest:
            raise UserError(f"{path}: damaged; {again}")
        if manifest["version"] != MANIFEST_VERSION:
            raise UserError(
                f"{folder}: prepared with format {manifest['version']}, this version reads {MANIFEST_VERSION}; {again}"
            )
        try:
            if sealed(manifest) != manifest:
                raise UserError(f"{path}: its content is not what was prepared (checksum differs); {again}")
            Manifest.model_validate(manifest)
        except ValidationError as error:
            raise UserError(f"{path}: damaged, {describe_error(error, Manifest, '')}; {again}") from None
        except (ValueError, RecursionError):  # no JSON that we would write
            raise UserError(f"{path}: damaged; {again}") from None
        for name, known in manifest["files"].items():
            prepared._check_size(name, known["bytes"])
        for name, rows in prepared.rows.items():
            size = sum(manifest["files"][part]["bytes"] for part in prepared.parts(name))
            if rows > MOST_ROWS_A_BYTE * size:  # they would be given memory before the parts are read
                raise UserError(f"{folder / name}: cannot hold {rows:,} rows, as the manifest says; {again}")
        return replace(prepared, notes=tuple(manifest["warnings"]))

    @property
    def name(self) -> str:
        return str(self.manifest["name"])

    @property
    def fingerprint(self) -> str:
        return str(self.manifest["fingerprint"])

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.manifest["schema"]["categorical"])

    @property
    def numeric(self) -> tuple[str, ...]:
        return tuple(self.manifest["schema"]["numeric"])

    @property
    def kept(self) -> tuple[str, ...]:
        """Raw columns that the rows carry as they were."""
        return tuple(self.manifest["schema"].get("kept", ()))

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Ids of each field, the reserved one included."""
        return tuple(int(entry["cardinality"]) for entry in self.manifest["fields"])

    @property
    def rows(self) -> dict[str, int]:
        return {name: int(count) for name, count in self.manifest["rows"].items()}

    @property
    def vocabulary(self) -> str:
        """Equal in two folders whose ids and numbers mean the same."""
        return str(self.manifest["vocabulary"])

    @property
    def min_count(self) -> int:
        return int(self.manifest["options"]["min_count"])

    @property
    def reserved(self) -> int:
        """Ids of each field, the lowest ones, that stand for no single category: never seen, and merged."""
        return 1 + (self.min_count > 1)

    def vocabulary_table(self, name: str) -> pa.Table:
        """Columns value, id and train_count of a field, the most frequent category first."""
        return self._read(f"vocab/{name}.parquet", ["value", "id", "train_count"])

    @cached_property
    def id_counts(self) -> tuple[np.ndarray, ...]:
        """For each field, by id: how often it occurs in the training split (int64)."""
        counts = []
        for name, cardinality in zip(self.fields, self.cardinalities, strict=True):
            table = self._read(f"vocab/{name}.parquet", ["id", "train_count"])
            ids = table.column("id").to_numpy()
            if len(ids) and not 0 <= ids.min() <= ids.max() < cardinality:
                raise UserError(f"{self.folder / 'vocab' / name}.parquet: an id is out of range")
            total = np.zeros(cardinality, np.int64)
            np.add.at(total, ids, table.column("train_count").to_numpy())
            counts.append(total)
        return tuple(counts)

    def parts(self, name: str) -> list[str]:
        """The Parquet parts of train, valid or test, in order."""
        if name not in self.rows:
            raise UserError(f"split={name}: no such split; allowed: {listing(self.rows)}")
        return sorted(part for part in self.manifest["files"] if part.startswith(f"{name}/"))

    def pieces(self, name: str, *, counts: bool = False, processes: Processes = ALONE) -> Iterator[Split]:
        """A split part by part, in the order of its rows, with its categories' training counts if asked.

        Of each part the share of this process alone, of whose row groups nothing else is read.
        """
        rows = 0
        for part in self.parts(name):
            if processes.size == 1:
                piece = self.read(part, counts=counts)
                part_rows = len(piece)
            else:
                groups = self.groups(part)
                part_rows = sum(group[2] for group in groups)
                piece = self.span(groups, processes.share(part_rows), counts=counts)
            rows += part_rows
            if rows <= self.rows[name]:
                yield piece
        if rows != self.rows[name]:
            raise UserError(f"{self.folder / name}: holds {rows} rows, the manifest says {self.rows[name]}")

    def split(self, name: str, *, counts: bool = True) -> Split:
        """All rows of a split in memory."""
        whole, done = self.empty(self.rows[name], counts=counts), 0
        for piece in self.pieces(name, counts=counts):
            whole.fill(done, piece)
            done += len(piece)
        return whole

    def groups(self, part: str) -> list[tuple[str, int, int]]:
        """The part's name, index and rows of each of its row groups."""
        metadata = pq.read_metadata(self.folder / part)
        return [(part, index, metadata.row_group(index).num_rows) for index in range(metadata.num_row_groups)]

    def span(self, groups: Sequence[tuple[str, int, int]], wanted: range, *, counts: bool = False) -> Split:
        """Some of the rows of these groups, as they are numbered one group after the other; no other group is read."""
        rows, first = self.empty(len(wanted), counts=counts), 0
        for part, index, count in groups:
            begin, end = max(wanted.start, first), min(wanted.stop, first + count)
            if begin < end:
                piece = self.read(part, [index], counts=counts)
                rows.fill(begin - wanted.start, piece.rows(begin - first, end - first))
            first += count
        return rows

    def read(self, part: str, groups: Sequence[int] | None = None, *, counts: bool = False) -> Split:
        """A part, or some of its row groups."""
        self._check_md5(part)
        merged = counts and self.min_count > 1  # ids merge the rare categories: their counts stand beside them
        truth = [TRUTH] if self.manifest["truth"] else []
        names = [LABEL, *self.numeric, *self.fields, *truth, *(self._count_columns if merged else ())]
        try:
            opened = pq.ParquetFile(self.folder / part, memory_map=True)
            chosen = range(opened.num_row_groups) if groups is None else groups
            table = opened.read_row_groups(list(chosen), names)
            if table.column_names != names or any(column.null_count for column in table.columns):
                raise pa.ArrowInvalid("its columns are not those of the manifest")
        except (pa.ArrowException, OSError, KeyError) as error:
            raise UserError(f"{self.folder / part}: cannot be read ({str(error).splitlines()[0]})") from None
        rows = self.empty(table.num_rows, counts=counts)
        rows.label_B[:] = table.column(LABEL).to_numpy()
        for index, name in enumerate(self.numeric):
            rows.numeric_BN[:, index] = table.column(name).to_numpy()
        for index, (name, cardinality) in enumerate(zip(self.fields, self.cardinalities, strict=True)):
            id_B = table.column(name).to_numpy()
            if len(id_B) and not 0 <= id_B.min() <= id_B.max() < cardinality:
                raise UserError(f"{self.folder / part}: an id of field {name} is out of range")
            rows.ids_BF[:, index] = id_B
            if rows.counts_BF is not None:
                column = f"{name}_count"
                rows.counts_BF[:, index] = table.column(column).to_numpy() if merged else self.id_counts[index][id_B]
        if rows.true_logit_B is not None:
            rows.true_logit_B[:] = table.column(TRUTH).to_numpy()
        return rows

    def empty(self, rows: int, *, counts: bool = False) -> Split:
        """Room for so many rows."""
        return Split(
            ids_BF=np.empty((rows, len(self.fields)), np.int32),
            numeric_BN=np.empty((rows, len(self.numeric)), np.float32),
            label_B=np.empty(rows, np.float32),
            counts_BF=np.empty((rows, len(self.fields)), np.int64) if counts else None,
            true_logit_B=np.empty(rows, np.float64) if self.manifest["truth"] else None,
        )

    def kept_columns(self, name: str, columns: Sequence[str]) -> dict[str, pa.ChunkedArray]:
        """Some of the kept raw columns of a split, in the order of its rows."""
        tables = [self._read(part, [KEPT + column for column in columns]) for part in self.parts(name)]
        whole = pa.concat_tables(tables)
        return {column: whole.column(KEPT + column) for column in columns}

    @property
    def _count_columns(self) -> tuple[str, ...]:
        return tuple(f"{name}_count" for name in self.fields)

    def check(self, name: str, processes: Processes = ALONE) -> None:
        """Compare the md5 of a split's parts, each in one of the processes; UserError names the first that differs."""
        for part in self.parts(name)[processes.rank :: processes.size]:
            self._check_md5(part)
        processes.wait()
        self._checked.update(self.parts(name))

    def verify(self) -> None:
        """Compare the md5 of every file; UserError names the first that differs."""
        for name in self.manifest["files"]:
            self._check_md5(name)

    def _read(self, name: str, columns: list[str] | None = None) -> pa.Table:
        self._check_md5(name)
        try:
            return pq.read_table(self.folder / name, columns=columns, partitioning=None)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise UserError(f"{self.folder / name}: cannot be read ({str(error).splitlines()[0]})") from None

    def _check_size(self, name: str, size: int) -> None:
        parts = PurePosixPath(name).parts
        if name != BAD_ROWS and (len(parts) != 2 or ".." in parts or parts[0].startswith("/")):
            raise UserError(f"{self.folder / 'manifest.json'}: names a file outside its folder: {name}")
        path = self.folder / name
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise UserError(f"{path}: leads outside the prepared folder; remove the folder and prepare it again")
        if not path.is_file():
            raise UserError(f"{path}: missing from the prepared data set; remove the folder and prepare it again")
        if path.stat().st_size != size:
            raise UserError(f"{path}: has {path.stat().st_size} bytes, the manifest says {size}; prepare it again")

    def _check_md5(self, name: str) -> None:
        if name in self._checked:
            return
        known = self.manifest["files"].get(name)
        if known is None:
            raise UserError(f"{self.folder / name}: not in the manifest")
        if files.md5(self.folder / name) != known["md5"]:
            raise UserError(
                f"{self.folder / name}: its content is not what was prepared (md5 differs); remove the folder and "
                "prepare it again"
            )
        self._checked.add(name)
