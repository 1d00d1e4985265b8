"""What a terminal shows while a run works."""

import io

from rich.console import Console

from mlet_bench.report.console.progress import ProgressConsole


def test_evaluation_has_a_bar_with_rows() -> None:
    out = io.StringIO()
    with ProgressConsole(Console(file=out, force_terminal=True, width=100)).evaluating() as advanced:
        advanced("collapse", 0, 0)
        advanced("evaluate on test", 2_500, 10_000)
    shown = out.getvalue()
    assert "evaluate on test" in shown
    assert "2,500 rows" in shown
    assert "━" in shown


def test_nothing_is_shown_of_it_elsewhere() -> None:
    out = io.StringIO()
    with ProgressConsole(Console(file=out, width=100)).evaluating() as advanced:
        advanced("evaluate on test", 2_500, 10_000)
    assert not out.getvalue().strip()
