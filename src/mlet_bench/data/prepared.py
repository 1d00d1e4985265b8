"""A prepared data set as a folder: Parquet parts of three splits, the vocabulary, and a manifest.

B rows, F sparse fields, N numeric columns.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlet_bench import files
from mlet_bench.data.raw import LABEL, TRUTH
from mlet_bench.errors import UserError, listing

MANIFEST_VERSION = 1


@dataclass(frozen=True)
class Split:
    """One split in memory, in the order of its rows."""

    ids_BF: np.ndarray
    """int32; within its field, 0 is the reserved id."""
    numeric_BN: np.ndarray
    """float32"""
    label_B: np.ndarray
    """float32, 0 or 1"""
    counts_BF: np.ndarray | None
    """int64; how often the row's original category occurs in the training split; None if not asked for."""
    true_logit_B: np.ndarray | None
    """float64; only of generated data."""

    def __len__(self) -> int:
        return len(self.label_B)

    def head(self, rows: int) -> "Split":
        """The first rows, without counts and truth."""
        return Split(self.ids_BF[:rows], self.numeric_BN[:rows], self.label_B[:rows], None, None)


@dataclass(frozen=True)
class Prepared:
    """An opened prepared folder. A part is compared with its md5 when it is first read."""

    folder: Path
    manifest: dict[str, Any]
    _checked: set[str] = field(default_factory=set, compare=False)

    @classmethod
    def open(cls, folder: Path) -> "Prepared":
        """Check the manifest and the sizes of all files; UserError names the file that is wrong."""
        if not (folder / "manifest.json").is_file():
            raise UserError(f"{folder}: not a prepared data set, it has no manifest.json")
        manifest = files.read_json(folder / "manifest.json")
        prepared = cls(folder, manifest)
        try:
            if manifest["version"] != MANIFEST_VERSION:
                raise UserError(
                    f"{folder}: prepared with format {manifest['version']}, this version reads {MANIFEST_VERSION}; "
                    "remove the folder and prepare it again"
                )
            for name, known in manifest["files"].items():
                prepared._check_size(name, int(known["bytes"]))
            needed = (
                prepared.fields,
                prepared.numeric,
                prepared.cardinalities,
                prepared.rows,
                manifest["options"],
            )
            if not all(isinstance(part, tuple | dict) for part in needed):
                raise TypeError
            str(manifest["fingerprint"]), str(manifest["name"]), manifest["best"], manifest["positives"]
        except (KeyError, TypeError, ValueError, AttributeError):
            raise UserError(f"{folder / 'manifest.json'}: damaged; remove the folder and prepare it again") from None
        return prepared

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
    def cardinalities(self) -> tuple[int, ...]:
        """Ids of each field, the reserved one included."""
        return tuple(int(entry["cardinality"]) for entry in self.manifest["fields"])

    @property
    def rows(self) -> dict[str, int]:
        return {name: int(count) for name, count in self.manifest["rows"].items()}

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

    def split(self, name: str, *, counts: bool = True) -> Split:
        """All rows of train, valid or test in memory, with their categories' training counts if asked."""
        if name not in self.rows:
            raise UserError(f"split={name}: no such split; allowed: {listing(self.rows)}")
        parts = sorted(part for part in self.manifest["files"] if part.startswith(f"{name}/"))
        table = pa.concat_tables([self._read(part) for part in parts])
        if table.num_rows != self.rows[name]:
            raise UserError(f"{self.folder / name}: holds {table.num_rows} rows, the manifest says {self.rows[name]}")
        ids_BF = _matrix(table, self.fields, np.int32)
        if len(ids_BF) and not ((ids_BF >= 0) & (ids_BF < np.array(self.cardinalities))).all():
            raise UserError(f"{self.folder / name}: an id is out of range")
        return Split(
            ids_BF=ids_BF,
            numeric_BN=_matrix(table, self.numeric, np.float32),
            label_B=table.column(LABEL).to_numpy().astype(np.float32),
            counts_BF=self._counts(table, ids_BF) if counts else None,
            true_logit_B=table.column(TRUTH).to_numpy() if TRUTH in table.column_names else None,
        )

    def _counts(self, table: pa.Table, ids_BF: np.ndarray) -> np.ndarray:
        if self.manifest["options"]["min_count"] > 1:  # ids merge the rare categories: counts were kept beside them
            return _matrix(table, [f"{field}_count" for field in self.fields], np.int64)
        counts_BF = np.empty(ids_BF.shape, np.int64)
        for index, counts in enumerate(self.id_counts):
            counts_BF[:, index] = counts[ids_BF[:, index]]
        return counts_BF

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
        if len(parts) != 2 or ".." in parts or parts[0].startswith("/"):
            raise UserError(f"{self.folder / 'manifest.json'}: names a file outside its folder: {name}")
        path = self.folder / name
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
            raise UserError(f"{self.folder / name}: its content is not what was prepared (md5 differs)")
        self._checked.add(name)


def _matrix(table: pa.Table, names: tuple[str, ...] | list[str], dtype: Any) -> np.ndarray:
    matrix = np.empty((table.num_rows, len(names)), dtype)
    for index, name in enumerate(names):
        matrix[:, index] = table.column(name).to_numpy()
    return matrix
