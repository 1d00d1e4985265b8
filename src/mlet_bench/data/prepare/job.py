"""What is to be prepared and how: the options that decide a prepared folder's content, and so its name."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mlet_bench.config import DatasetConfig
from mlet_bench.data.manifest import MANIFEST_VERSION
from mlet_bench.data.prepare.spool import Columns
from mlet_bench.data.prepared import BAD_ROWS, Prepared
from mlet_bench.data.sources.bad_rows import Reading
from mlet_bench.data.sources.raw import RawFile, RawSource, data_root, remembered
from mlet_bench.errors import UserError, listing
from mlet_bench.system import files


class Job:
    """A source and how it is to be prepared."""

    def __init__(self, source: RawSource, config: DatasetConfig, before: dict[Path, dict[str, int]]) -> None:
        self.source, self.config = source, config
        self.before = before
        """The stamps of the source's files when the work began."""
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
            **({"keep": list(self.source.kept)} if self.source.kept else {}),
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
        seen = [[str(path.resolve()), known] for path, known in self.before.items()]
        return files.fingerprint({"version": MANIFEST_VERSION, "files": seen, **self.options})

    def folder(self, fingerprint: str) -> Path:
        return self.place / f"{self.config.name}-{fingerprint}"

    def made_before(self) -> Prepared | None:
        inputs = [file for path in self.source.files if (file := remembered(path)) is not None]
        if len(inputs) < len(self.source.files):
            return None
        folder = self.folder(self.fingerprint(inputs))
        return self.opened(folder) if folder.exists() else None

    def opened(self, folder: Path) -> Prepared:
        """A folder of ours, with this call's notes; UserError when it has more bad rows than this call allows."""
        found = Prepared.open(folder)
        bad, good = found.manifest["bad_rows"], sum(found.rows.values()) + found.manifest["thinned"]
        if bad > self.config.max_bad_share * (good + bad):
            raise UserError(
                f"{bad:,} bad rows of {good + bad:,} read, more than dataset.max_bad_share="
                f"{self.config.max_bad_share:g}; they stand in {folder / BAD_ROWS}"
            )
        return replace(found, notes=(*found.notes, *self.source.notes()))

    def reading(self, folder: Path) -> Reading:
        total = sum(seen["size"] for seen in self.before.values())
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
