"""Delimited text → Arrow tables, plain or gzipped, with every bad row named."""

import gzip
import itertools
import re
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from mlet_bench.data.prefetch import ahead
from mlet_bench.data.sources.bad_rows import BadRow, Reading
from mlet_bench.data.sources.lines import Layout, cells_of, count, filled, lines_of, mistake_in, shown
from mlet_bench.data.sources.opened import UTF8, Binary, opened
from mlet_bench.data.sources.parse import BadCellError, Chunk, chunk_of, parse
from mlet_bench.data.sources.quotes import LINE_END, join_rows, parted
from mlet_bench.errors import UserError, listing
from mlet_bench.system.limits import available_cores

CHUNK_BYTES = 1 << 24
CHUNKS_HELD = 3
"""One is parsed, one is ready, one is being read."""
SPARE_BYTES = 1 << 16
FEW_LINES = 256
DELIMITER_NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar", " ": "space"}


def header_of(path: Path) -> tuple[str, ...]:
    """The column names in the first line of a file of commas."""
    try:
        return tuple(first_line(path).decode("utf-8-sig").split(","))
    except UnicodeDecodeError:
        raise UserError(f"{path}: line 1 is no UTF-8 text") from None


def first_line(path: Path, encoding: str = UTF8) -> bytes:
    with opened(path, encoding) as (text, _):
        return _first_line(path, text).rstrip(b"\r\n")


def sniffed_delimiter(line: bytes, usual: str | None) -> str:
    """What cells end with, by the first line: the usual, if it is there at all, or what is there most often."""
    text = line.decode("utf-8", "replace")
    if usual is not None and usual in text:
        return usual
    found = max(DELIMITER_NAMES, key=text.strip().count)
    return found if found in text.strip() else usual or ","


def without_types(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Names without the types that RecBole writes behind them, where all of them have one.

    >>> without_types(("user_id:token", "rating:float")), without_types(("a:token", "b"))
    (('user_id', 'rating'), ('a:token', 'b'))
    """
    typed = [re.fullmatch(r"(.+):(?:token|float|token_seq|float_seq)", name) for name in columns]
    return tuple(match[1] for match in typed if match) if columns and all(typed) else columns


def check_header(path: Path, found: Sequence[str], needed: Sequence[str]) -> None:
    """UserError when a file's columns are not the needed ones, in any order."""
    for what, names in (("no column", set(needed) - set(found)), ("an unknown column", set(found) - set(needed))):
        if names:
            raise UserError(f"{path}: line 1 has {what} {listing(sorted(names))}; needed: {listing(needed)}")
    if len(set(found)) < len(found):
        raise UserError(f"{path}: line 1 names a column twice")


def first_rows(path: Path, layout: Layout, size: int) -> list[list[str]]:
    """The cells of the rows in the first `size` bytes below the header, as far as they are text."""
    rows = [
        cells_of(row.removesuffix(b"\r").decode("utf-8", "replace"), layout.delimiter, layout.quoted)
        for _, row in _rows_of(head_of(path, layout, size), layout)
    ]
    return [row for row in rows if row is not None]


def _rows_of(head: bytes, layout: Layout) -> list[tuple[int, bytes]]:
    """The rows of a file's first bytes, and the line that each begins in; without the last one if it is not closed."""
    block, first = bytearray(head), 1 + layout.header
    end, joined = join_rows(block, len(block), layout, more=True) if layout.quoted else (len(block), 0)
    rows = bytes(block[:end]) or head
    numbered = _numbered(rows, first, chunk_of(rows, joined=joined > 0))
    return [(number, parted(row) if joined else row) for number, row in numbered]


def head_of(path: Path, layout: Layout, size: int) -> bytes:
    """The first whole lines of about `size` bytes, below the header if there is one."""
    with opened(path, layout.encoding) as (text, _):
        if layout.header:
            _first_line(path, text)
        try:
            head = text.read(size)
            complete = not text.read(1)
        except (OSError, EOFError, zlib.error) as error:
            raise _broken(path, error) from None
    end = len(head) if complete else head.rfind(b"\n") + 1 or len(head)
    return head[: filled(head, end)]


def check_head(path: Path, layout: Layout, *, skip: bool) -> None:
    """A look at the first rows; UserError when there are none, and for the first bad one.

    skip: bad rows will be set aside, so that one good row is enough.
    """
    head = head_of(path, layout, 1 << 18)
    if not head:
        raise UserError(f"{path}: " + ("holds no row below its header" if layout.header else "the file is empty"))
    describe_error: BadRow | None = None
    for number, line in _rows_of(head, layout):
        mistake = mistake_in(path, number, line, layout)
        if mistake is None and skip:
            return
        describe_error = describe_error or mistake
        if describe_error is not None and not skip:
            break
    if describe_error is not None:
        raise UserError(str(describe_error))


def read_text(path: Path, layout: Layout, reading: Reading, offset: int = 0) -> Iterator[pa.Table]:
    """The wanted columns of all good rows, chunk by chunk; `offset` bytes of other files came before this one.

    Cells of a category that stand for missing are "", numbers null. UserError for a bad row unless `reading` sets
    it aside, and for a damaged gzip file.
    """
    first = line = 1 + layout.header
    with ThreadPoolExecutor(available_cores()) as pool, closing(ahead(_chunks(path, layout))) as chunks:
        for chunk, to_byte in chunks:
            try:
                table = parse(chunk, layout, pool.map)
                line += table.num_rows + chunk.joined
                reading.passed(table.num_rows, offset + to_byte)
                yield table
            except (pa.ArrowInvalid, BadCellError):
                good = 0
                for table in _good_rows(path, chunk, line, layout, reading):
                    good += table.num_rows
                    yield table
                reading.passed(good, offset + to_byte)  # the share of bad rows is that of the whole chunk
                line += count(bytes(chunk.data)) + chunk.joined
    if line == first:
        raise UserError(f"{path}: " + ("holds no row below its header" if layout.header else "the file is empty"))


def _first_line(path: Path, text: Binary) -> bytes:
    try:
        line = text.readline(1 << 20)
    except (OSError, EOFError, zlib.error) as error:
        raise _broken(path, error) from None
    if not line:
        raise UserError(f"{path}: the file is empty")
    return line


def _broken(path: Path, error: Exception) -> Exception:
    if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
        return error
    how = "ends early: it is truncated" if isinstance(error, EOFError) else f"is damaged ({error})"
    return UserError(f"{path}: the gzip file {how}; fetch it again")


def _chunks(path: Path, layout: Layout) -> Iterator[tuple[Chunk, int]]:
    """The rows in pieces that end with a line's end, and how far into the file each reaches.

    Memory is used again: fresh pages cost as much time as parsing them. A chunk's is overwritten when the one that
    comes CHUNKS_HELD later is read.
    """
    rest, blocks, turn = b"", [bytearray()] * CHUNKS_HELD, 0
    with opened(path, layout.encoding) as (text, raw):
        if layout.header:
            _first_line(path, text)
        while True:
            if len(blocks[turn]) < len(rest) + CHUNK_BYTES:  # at the start, and for a line as long as a chunk
                blocks[turn] = bytearray(len(rest) + CHUNK_BYTES + SPARE_BYTES)
            block = blocks[turn]
            block[: len(rest)] = rest
            try:
                read = text.readinto(memoryview(block)[len(rest) : len(rest) + CHUNK_BYTES])
            except (OSError, EOFError, zlib.error) as error:
                raise _broken(path, error) from None
            end = len(rest) + read
            cut = filled(block, block.rfind(b"\n", 0, end) + 1 if read else end)  # lines without a cell at the end
            joined = 0
            if layout.quoted:
                cut, joined = join_rows(block, cut, layout, more=bool(read))
            rest = bytes(memoryview(block)[cut:end])
            if cut:
                returns = block.find(b"\r", 0, cut) >= 0
                has_x = bool(layout.integers) and any(block.find(sign, 0, cut) >= 0 for sign in b"xX")
                yield Chunk(memoryview(block)[:cut], returns, has_x, joined), raw.tell()
                turn = (turn + 1) % CHUNKS_HELD
            if not read:
                return


def _good_rows(path: Path, chunk: Chunk, first_line: int, layout: Layout, reading: Reading) -> Iterator[pa.Table]:
    """The good rows of a chunk that has bad ones: it is halved until those are among a few lines."""
    rows = bytes(chunk.data)
    if count(rows) <= FEW_LINES:
        yield from _good_lines(path, _numbered(rows, first_line, chunk), layout, reading, joined=chunk.joined > 0)
        return
    middle = rows.rfind(b"\n", 0, len(rows) // 2) + 1 or rows.find(b"\n", len(rows) // 2) + 1
    line = first_line
    for half in (rows[:middle], rows[middle:]):
        if not half:
            continue
        part = chunk_of(half, joined=chunk.joined > 0)
        try:
            yield parse(part, layout)
        except (pa.ArrowInvalid, BadCellError):
            yield from _good_rows(path, part, line, layout, reading)
        line += count(half) + part.joined


def _numbered(rows: bytes, first_line: int, chunk: Chunk) -> list[tuple[int, bytes]]:
    """Each row, and the line that it begins in."""
    lines = lines_of(rows)
    more = [1 + (line.count(LINE_END) if chunk.joined else 0) for line in lines]
    return list(zip(itertools.accumulate(more, initial=first_line), lines, strict=False))


def _good_lines(
    path: Path, lines: list[tuple[int, bytes]], layout: Layout, reading: Reading, *, joined: bool
) -> Iterator[pa.Table]:
    good = []
    for number, line in lines:
        mistake = mistake_in(path, number, parted(line) if joined else line, layout)
        if mistake is None:
            good.append((number, line))
        else:
            reading.set_aside(mistake)
    if not good:
        return
    try:
        yield parse(chunk_of(b"".join(line + b"\n" for _, line in good), joined=joined), layout)
    except (pa.ArrowInvalid, BadCellError) as error:  # the parser refuses a line that we see nothing wrong with
        if len(good) == 1:
            reason = f"cannot be read ({str(error).splitlines()[0]})"
            reading.set_aside(BadRow(path, good[0][0], None, None, reason, shown(good[0][1])))
            return
        for half in (good[: len(good) // 2], good[len(good) // 2 :]):
            yield from _good_lines(path, half, layout, reading, joined=joined)
