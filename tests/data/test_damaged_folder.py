"""A prepared folder with damage at random in any of its files: noticed at the first read, or it changes nothing."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlet_bench.data.prepared import Prepared, sealed
from mlet_bench.errors import UserError
from tests.conftest import prepare
from tests.counts import count, times
from tests.data.formats import FORMATS
from tests.data.reference import SPLITS
from tests.ends import alarmed
from tests.mutations import changed, changed_json, damaged

Arrays = list[np.ndarray]


@pytest.fixture
def folder(workplace: Path) -> Path:
    form = FORMATS["table"]
    raw = form.write(workplace / "raw", form.content(form.lines(120)))
    return prepare("table", raw, **form.changes, min_count=2).folder


def used(folder: Path) -> Arrays:
    """All that a run reads."""
    prepared = Prepared.open(folder)
    arrays = list(prepared.id_counts)
    for name in SPLITS:
        arrays += prepared.split(name)._arrays
    for field in prepared.fields:
        arrays.append(np.asarray(prepared.vocabulary_table(field).column("value").to_pylist()))
    return arrays


def read(folder: Path) -> Arrays | None:
    """None where it is refused in a line."""
    try:
        with alarmed():
            return used(folder)
    except UserError:
        return None


def same(one: Arrays, other: Arrays) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def test_any_changed_byte_is_noticed(folder: Path) -> None:
    whole = used(folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    for number in range(times(240)):
        rng = random.Random(number)
        path = rng.choice(paths)
        content = path.read_bytes()
        is_json = path.suffix == ".json" and rng.random() < 0.5
        path.write_bytes(changed_json(content, rng) if is_json else damaged(content, rng))
        with count("prepared folders"):
            found = read(folder)
            unchanged = path.read_bytes() == content or path.suffix == ".json"
            assert found is None or (unchanged and same(found, whole)), path
        path.write_bytes(content)


def test_a_manifest_by_one_who_knows_the_checksum(folder: Path) -> None:
    path = folder / "manifest.json"
    content = path.read_bytes()
    manifest: dict[str, Any] = json.loads(content)
    for number in range(times(160)):
        rng = random.Random(number)
        key = rng.choice(list(manifest))
        other = {**manifest, key: changed(manifest[key], rng)}
        try:
            path.write_text(json.dumps(sealed(other)))
        except ValueError:  # NaN: no fingerprint stands for it
            path.write_text(json.dumps(other))
        with count("prepared manifests, sealed anew"):
            read(folder)
        path.write_bytes(content)
