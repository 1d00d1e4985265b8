"""The table at the end of a sweep."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlet_bench.errors import printable
from mlet_bench.report.run_table import number


def show_sweep(console: Console, outcomes: list[dict[str, Any]]) -> None:
    """A row a job; a failed one with its error."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("job", overflow="fold")
    table.add_column("test AUC", justify="right")
    table.add_column("logloss", justify="right")
    table.add_column("run folder, or what went wrong", overflow="fold")
    for outcome in outcomes:
        result = outcome["result"]
        test = result["metrics"]["test"] if result else {"auc": None, "logloss": None}
        ended = outcome["folder"] if outcome["error"] is None else f"failed: {outcome['error']}"
        table.add_row(
            Text(printable(" ".join(outcome["job"]))),
            number(test["auc"]),
            number(test["logloss"]),
            Text(printable(ended)),
        )
    console.print(table)
    failed = sum(outcome["error"] is not None for outcome in outcomes)
    console.print(f"{len(outcomes)} jobs, {failed} failed", markup=False)
