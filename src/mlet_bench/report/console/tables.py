"""Tables in the terminal."""

import math

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from mlet_bench.errors import printable
from mlet_bench.report.table import Table

GAP = 2
NARROWEST = 10
"""Letters of a column of words that is broken into lines to make room for numbers."""


def show_table(console: Console, table: Table, whole: str = "on the page and in the csv files") -> None:
    """A table with its title and note, without the columns that the terminal has no room for: they are said, and where
    the `whole` is; nothing without rows."""
    if not table.rows:
        return
    fitting, hidden = _fitting(table, console.width)
    shown = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for position in fitting:
        column = table.shown[position]
        shown.add_column(
            Text("\n".join(map(printable, column.heading.split("\n")))),
            justify="left" if column.words else "right",
            overflow="fold",
            no_wrap=not column.words,
        )
    for place, texts in enumerate(table.texts()):
        shown.add_row(*(Text(printable(texts[position])) for position in fitting), end_section=place in table.rules)
    for text, style in ((table.title, "underline"), (table.note, "dim")):
        if text:
            say(console, text, style)
    console.print(shown)
    if hidden:
        say(console, f"no room here for: {', '.join(hidden)} (all {whole})", "dim")
    console.print()


def say(console: Console, text: str, style: str = "") -> None:
    """A line, or several on a terminal that is too narrow for it."""
    console.print(Text(printable(text), style=style), soft_wrap=not console.is_terminal)


def say_whole(console: Console, text: str) -> None:
    """A line with a path or a command to copy: only the terminal itself wraps it."""
    console.print(Text(printable(text)), soft_wrap=True)


def _fitting(table: Table, width: int) -> tuple[list[int], list[str]]:
    """Positions of the columns that fit, and the names of those left out.

    Words give way first, by line breaks; then columns of numbers in the order of `dropped`, and at last those that have
    none, from the right, but for one.
    """
    columns, texts = table.shown, table.texts()
    widths = []
    for position, column in enumerate(columns):
        longest = max(cell_len(text) for text in (*column.heading.split("\n"), *(row[position] for row in texts)))
        widths.append(GAP + (min(longest, NARROWEST) if column.words else longest))
    fitting, hidden = list(range(len(columns))), []
    numbers = [position for position in fitting if not columns[position].words]
    for position in sorted(numbers, key=lambda position: (columns[position].dropped or math.inf, -position))[:-1]:
        if sum(widths[place] for place in fitting) - GAP > width:
            fitting.remove(position)
            hidden.append(columns[position].heading.replace("\n", " "))
    return fitting, hidden
