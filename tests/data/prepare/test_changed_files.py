"""A raw file that changes while it is read is refused, also where its md5 is remembered from before."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mlet_bench import data
from mlet_bench.data.prepared import Prepared
from mlet_bench.errors import UserError
from tests.conftest import dataset_config
from tests.counts import every
from tests.data import reference
from tests.data.formats import FORMATS, Format

LATER = 10**9
"""Nanoseconds, more than any file system rounds away."""


def replace(path: Path, content: bytes) -> None:
    """As if a second had passed: file systems know no shorter times than a few milliseconds."""
    after = path.stat().st_mtime_ns + LATER
    path.write_bytes(content)
    os.utime(path, ns=(after, after))


def prepared(form: Format, raw: Path, change: Callable[[], object] | None = None, at: str = "") -> Prepared:
    """With `change` made when stage `at` has begun."""
    config = dataset_config(form.choice, raw, min_count=2 if change else 1, **form.changes)

    def progress(stage: str, done: int, of: int, rows: int) -> None:
        nonlocal change
        if change is not None and stage == at:
            change()
            change = None

    return data.prepared_for(config, best=lambda prepared, split: {}, progress=progress)


@pytest.mark.parametrize("at", ["reading", "writing"])
@pytest.mark.parametrize("name", every(2, FORMATS))
def test_every_input_is_watched(workplace: Path, name: str, at: str) -> None:
    form = FORMATS[name]
    content = form.content(form.lines(120))
    raw = form.write(workplace / "raw", content)
    first = prepared(form, raw)  # all md5 sums are remembered now
    before = reference.contents(workplace / "data")
    for file in sorted(path.name for path in (workplace / "raw").iterdir()):
        path, old = workplace / "raw" / file, (workplace / "raw" / file).read_bytes()
        changes: list[Callable[[], object]] = [
            lambda path=path, old=old: replace(path, old[::-1]),  # as many bytes
            lambda path=path, old=old: replace(path, old + old[-1:]),
            lambda path=path: path.unlink(),
        ][: 3 if at == "reading" else 1]
        for change in changes:
            stamp = path.stat()
            with (
                reference.sizes(chunk_bytes=3_000),
                pytest.raises(UserError, match=f"{file}: changed while it was read"),
            ):
                prepared(form, raw, change, at)
            assert reference.contents(workplace / "data") == before
            assert [path.name for path in first.folder.parent.iterdir()] == [first.folder.name]
            path.write_bytes(old)
            os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    with reference.sizes(chunk_bytes=3_000):
        assert prepared(form, raw, lambda: None, "reading").rows == first.rows


def test_file_that_changes_between_two_calls_is_read_anew(workplace: Path) -> None:
    form = FORMATS["criteo"]
    lines = form.lines(60)
    raw = form.write(workplace / "raw", form.content(lines))
    first = prepared(form, raw)
    replace(raw, form.content([*lines[1:], lines[0]]))
    assert raw.stat().st_size == len(form.content(lines))
    assert prepared(form, raw).manifest["inputs"] != first.manifest["inputs"]
