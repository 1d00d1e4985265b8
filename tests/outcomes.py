"""What a command comes to, to be compared with what it comes to after faults."""

import json
import time
from pathlib import Path
from typing import Any

from tests.conftest import criteo_cells, write_criteo

Outcome = dict[str, Any]


def workplace_in(folder: Path) -> Path:
    """A new working folder with a raw file."""
    place = folder / f"place-{time.monotonic_ns()}"
    place.mkdir()
    write_criteo(place / "train.txt", criteo_cells(420))
    return place


def outcome(place: Path) -> Outcome:
    """All that a finished command leaves, without what differs between equal runs; nothing half-done lies about."""
    found: Outcome = {}
    for path in sorted(place.rglob("*")):
        name = str(path.relative_to(place))
        if path.is_dir() or name.startswith("outputs/sweeps/"):  # a sweep's own files: each has a folder by time
            continue
        assert not name.endswith((".tmp", ".lock")), name
        assert "checkpoint" not in name
        if path.name == "result.json":
            result = json.loads(path.read_text())
            found[name] = {key: result[key] for key in ("metrics", "buckets", "collapse", "dataset")}
        elif path.name == "tune.json":
            found[name] = without_times(json.loads(path.read_text()))
        elif path.name == "config.yaml":
            found[name] = path.read_text().replace("rerun: true", "rerun: false")
        elif path.name not in ("train.log", "DONE", "raw-md5.json"):
            found[name] = path.read_bytes()
    return found


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(inner) for key, inner in value.items() if key not in ("seconds", "train_minutes")}
    return [without_times(inner) for inner in value] if isinstance(value, list) else value
