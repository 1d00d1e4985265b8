"""A text file's bytes: unpacked where it is a .gz, as UTF-8 whatever its encoding."""

import codecs
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

UTF8 = "utf-8"
Binary = io.BufferedReader | gzip.GzipFile


@contextmanager
def opened(path: Path, encoding: str = UTF8) -> Iterator[tuple[Binary, IO[bytes]]]:
    """What is to be read, and the file on the disk, which tells how far that has come."""
    with path.open("rb") as raw:
        text: Binary = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
        yield (text if encoding == UTF8 else io.BufferedReader(_Recoded(text, encoding))), raw


class _Recoded(io.RawIOBase):
    """Text of another encoding as UTF-8; bytes that it does not have stay as they are, and are no UTF-8."""

    def __init__(self, text: Binary, encoding: str) -> None:
        self._text, self._rest = text, b""
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            block = self._text.read(len(buffer))
            self._rest = self._decoder.decode(block, not block).encode(UTF8, "surrogateescape")
            if not block and not self._rest:
                return 0
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
