"""metrics.jsonl: a line for every evaluation."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlet_bench.system import files


class History:
    """The file, of which readers see whole lines alone; no path: another process writes it."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def write(self, lines: Sequence[dict[str, Any]]) -> None:
        """Anew, with these lines."""
        if self.path is not None:
            files.write_text(self.path, "".join(map(_text, lines)))

    def add(self, line: dict[str, Any]) -> None:
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as opened:  # closed at once
                opened.write(_text(line))


def _text(line: dict[str, Any]) -> str:
    return json.dumps(line, allow_nan=False) + "\n"
