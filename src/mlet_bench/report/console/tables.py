"""Tables in the terminal."""

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from mlet_bench.errors import printable
from mlet_bench.report.table import Table

GAP = 2


def show_table(console: Console, table: Table, whole: str = "on the page and in the csv files") -> None:
    """A table with its title and note, without the columns that the terminal has no room for: they are said, and where
    the `whole` is; nothing without rows."""
    if not table.rows:
        return
    fitting, hidden = _fitting(table, console.width)
    can_drop = any(column.dropped for column in table.shown)
    shown = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for position in fitting:
        column = table.shown[position]
        shown.add_column(
            Text("\n".join(map(printable, column.heading.split("\n")))),
            justify="left" if column.words else "right",
            overflow="fold",
            no_wrap=not column.words and can_drop,
            vertical="top" if table.is_prose else "bottom",
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


def _fitting(table: Table, width: int) -> tuple[list[int], list[str]]:
    """Positions of the columns that fit, and the names of those left away."""
    columns, texts = table.shown, table.texts()
    widths = [
        max(cell_len(text) for text in (*column.heading.split("\n"), *(row[position] for row in texts))) + GAP
        for position, column in enumerate(columns)
    ]
    fitting, hidden = list(range(len(columns))), []
    for position in sorted(fitting, key=lambda position: columns[position].dropped):
        if columns[position].dropped and sum(widths[place] for place in fitting) - GAP > width:
            fitting.remove(position)
            hidden.append(columns[position].heading.replace("\n", " "))
    return fitting, hidden
