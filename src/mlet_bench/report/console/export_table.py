"""What `mlet-bench export` shows."""

from pathlib import Path
from typing import Any

from rich.console import Console

from mlet_bench.analysis.formatting import number
from mlet_bench.report.console.tables import say_whole, show_table
from mlet_bench.report.table import Column, Table


def show_export(console: Console, export: dict[str, Any], folder: Path) -> None:
    """The run's scores beside those of what was written, the files with their bytes, and the folder."""
    checked, run = export["check"], export["run"]
    scores = [("run", export["float32"]), ("exported", checked["metrics"])]
    columns = [
        Column("on test rows", "0", words=True),
        Column("AUC", lambda row: row[1]["auc"], lambda value: number(value, ".5f")),
        Column("logloss", lambda row: row[1]["logloss"], lambda value: number(value, ".5f")),
    ]
    network = "" if export["network_bits"] == 32 else f", network {export['network_bits']} bits"
    title = f"{run['model']} · {run['emb']['mode']} · {export['format']}, {export['bits']} bits{network}"
    change = f"largest change of a logit {checked['max_abs_logit_diff']:.1e}, {checked['allowed']:.1e} is allowed"
    show_table(console, Table(title, columns, scores, note=change))
    files = [Column("file", "0", words=True), Column("bytes", lambda row: row[1]["bytes"], "{:,}".format)]
    show_table(console, Table("", files, list(export["files"].items())))
    say_whole(console, f"export: {folder}")
