"""What predict says at its end, in the terminal."""

from pathlib import Path
from typing import Any

from rich.console import Console

from mlet_bench.report.console.tables import say, say_whole

MUCH = 0.9
"""Above this share of rows with unknown categories, something is likely to be wrong with a field."""


def show_predictions(console: Console, found: dict[str, Any], folder: Path) -> None:
    """Rows and how fast they went, their mean probability, fields with many unknown categories, and the file."""
    rows, seconds = found["rows"], max(found["seconds"], 1e-9)
    say(console, f"rows              {rows:,}, {rows / seconds:,.0f} a second")
    say(console, f"mean probability  {found['mean_probability']:.4f}")
    for field, share in found["unseen"].items():
        if share > MUCH:
            say(console, f"note: column {field}: {100 * share:.3g} % of the rows hold categories that were never seen "
                         "in training")  # fmt: skip
    say_whole(console, f"predictions: {folder / found['predictions']}")
