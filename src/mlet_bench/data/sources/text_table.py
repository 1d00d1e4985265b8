"""The user's own rows as delimited text: what its first lines say of the rest, and the rest."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from mlet_bench.config import TableConfig
from mlet_bench.data.sources import sample, text
from mlet_bench.data.sources.bad_rows import Reading
from mlet_bench.data.sources.lines import Known, Layout, as_latin1, cells_of, no_text
from mlet_bench.data.sources.opened import UTF8
from mlet_bench.data.sources.roles import LABELS
from mlet_bench.data.sources.wanted import Wanted
from mlet_bench.errors import UserError, listing

DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
OTHER_TEXT = (".data", ".inter", ".dat")
"""And files without an extension: the first line says what its cells end with."""


class TextTable:
    """What the files of a table hold, a file at a time; the first one says how all are read."""

    def __init__(
        self, config: TableConfig, first: Path, kind: str, missing: tuple[str, ...], *, asked: bool = False
    ) -> None:
        self._config, self._missing = config, missing
        line, usual = text.first_line(first, config.encoding), DELIMITERS.get(kind)
        self._delimiter = config.delimiter or text.sniffed_delimiter(line, usual)
        cells = self._cells(first)
        if asked and config.columns is not None and len(cells) < len(config.columns):  # rows without labels
            self._config = config = config.model_copy(
                update={"columns": tuple(name for name in config.columns if name != config.label)}
            )
        self._header = _has_header(config, first, cells)
        names = text.DELIMITER_NAMES
        self.note = ""
        """What the user should know of how the files are read."""
        if self._delimiter != (config.delimiter or usual):
            called = names.get(self._delimiter, self._delimiter)
            self.note = f"{first.name}: columns end with a {called} (dataset.delimiter)"
        self.hint = self._hint(line.decode("utf-8", "replace"))
        """What may be wrong where the columns are not those that are looked for."""

    def options(self) -> dict[str, object]:
        """What else decides which cells are whose: without a header the delimiter does."""
        config = self._config
        options: dict[str, object] = {} if config.encoding == UTF8 else {"encoding": config.encoding}
        if config.columns is not None:
            options["names"] = list(config.columns)
        return options if self._header else {**options, "header": False, "delimiter": self._delimiter}

    def columns(self, path: Path) -> tuple[str, ...]:
        """Read anew for every use, so that rows are never read by the header of a file that was replaced."""
        cells = self._cells(path)
        if self._config.columns is not None and len(self._config.columns) != len(cells):
            raise UserError(f"dataset.columns: names {len(self._config.columns)} columns, {path} has {len(cells)} in "
                            f"line 1: {listing(cells[:20])}")  # fmt: skip
        columns = self._config.columns or text.without_types(cells)
        if not self._header and self._config.columns is None:
            columns = tuple(f"column{place}" for place in range(1, len(cells) + 1))
        if len(set(columns)) < len(columns):
            raise UserError(f"{path}: line 1 names a column twice.{_headless(cells)}")
        return columns

    def sample(self, path: Path) -> sample.Sample:
        """Some of a file's cells, and what its columns look like."""
        return sample.of_text(path, self._layout(path, Wanted({}, None, missing=self._missing)))

    def check(self, path: Path, wanted: Wanted, *, skip: bool) -> None:
        text.check_head(path, self._layout(path, wanted), skip=skip)

    def tables(self, path: Path, wanted: Wanted, reading: Reading, offset: int) -> Iterator[pa.Table]:
        """The wanted columns of all good rows; `offset` bytes of other files came before this one."""
        return text.read_text(path, self._layout(path, wanted), reading, offset)

    def _cells(self, path: Path) -> tuple[str, ...]:
        line = text.first_line(path, self._config.encoding)
        try:
            cells = cells_of(line.decode("utf-8-sig"), self._delimiter, quoted=True)
        except UnicodeDecodeError:
            encoding = self._config.encoding
            hint = as_latin1(line) if encoding == UTF8 else ""
            raise UserError(f"{path}: line 1 {no_text(encoding)}{hint}") from None
        if cells is None:
            raise UserError(f"{path}: line 1 has a quote that is not closed")
        return tuple(cells)

    def _layout(self, path: Path, wanted: Wanted) -> Layout:
        known = {name: Known(rule, rule.otherwise) for name, rule in wanted.rules.items()}
        return Layout(self.columns(path), wanted.checks, self._delimiter, self._header, quoted=True,
                      missing=wanted.missing, known=known, encoding=self._config.encoding, encodings=True)  # fmt: skip

    def _hint(self, line: str) -> str:
        cells = cells_of(line, self._delimiter, quoted=True) or []
        others = {sign: cells_of(line, sign, quoted=True) or [] for sign in text.DELIMITER_NAMES}
        wanted = {self._config.label} if self._config.label else set(LABELS)
        found = [sign for sign, parts in others.items() if len(parts) > 1 and wanted & {part.lower() for part in parts}]
        best = found or sorted((sign for sign in others if len(others[sign]) > 1), key=lambda sign: -len(others[sign]))
        ours = text.DELIMITER_NAMES.get(self._delimiter, self._delimiter)
        if best and best[0] != self._delimiter and (found or len(cells) == 1):
            sign, called = best[0].replace("\t", "\\t"), text.DELIMITER_NAMES[best[0]]
            out = "leave dataset.delimiter out, or give " if self._config.delimiter else ""
            return f" Line 1 does not look divided by a {ours} but by a {called}: {out}'dataset.delimiter=\"{sign}\"'."
        if len(cells) == 1:
            return f" Line 1 is not divided by a {ours}: dataset.delimiter names the character between its cells."
        return _headless(cells) if self._header else ""


def _has_header(config: TableConfig, path: Path, cells: tuple[str, ...]) -> bool:
    """As dataset.header says; else names that are given are those of a file without one, unless it begins with them."""
    if config.header is not None:
        return config.header
    if config.columns is None or config.columns in (cells, text.without_types(cells)):
        return True
    labels = [cell for cell in cells if cell.lower() in LABELS]
    if labels:
        raise UserError(f"dataset.columns: {path} seems to have a header, as line 1 holds {labels[0]}; "
                        "dataset.header=true reads these names instead, =false reads it as a row")  # fmt: skip
    return False


def _headless(cells: tuple[str, ...] | list[str]) -> str:
    """What to do where a first line is no header but a row, as most of its cells are numbers."""
    numbers = sum(sample.is_number(cell) or not cell for cell in cells)
    if 2 * numbers < len(cells) or list(cells) == [str(place) for place in range(len(cells))]:
        return ""
    return (" Line 1 looks like a row: dataset.columns=[label,…] names the columns of a file without a header, "
            "dataset.header=false names them column1, column2 and so on.")  # fmt: skip
