"""Notes on guessed columns: a table, and a warning where a column seems not to belong."""

import re
from collections.abc import Iterator

import pyarrow as pa

from mlet_bench.config import TableConfig
from mlet_bench.data.sources.roles import LABELS, Roles
from mlet_bench.data.sources.sample import Cells, Sample

MOST_COLUMNS = 40
SINCE, UNTIL = 1_000_000_000, 2_000_000_000
"""Of seconds that are taken for times: from 2001 to 2033."""
LEAST_TIME = 100_000
UNIQUE_SHARE, AGREE_SHARE, FEWEST_ROWS = 0.95, 0.99, 50
INDEX = re.compile(r"Unnamed: ?\d+|__index_level_\d+__|index|row_?(?:id|number|nr)", re.IGNORECASE)
OTHER_LABELS = re.compile(
    r"(?:is_?)?(?:label|target|clicked|converted|conversion|purchased?|bought)s?_?\d*", re.IGNORECASE
)
ITEMS = re.compile(
    r"(?:item|movie|product|sku|asin|ad|creative|banner|video|article|news|doc(?:ument)?|song|track|book|goods)s?(?:_?id)?|iid",
    re.IGNORECASE,
)
TIMES = re.compile(
    r"(?:.*_)?(?:time|timestamp|time_?ms|ts|unix|datetime|date|day|dt|hour)(?:_?(?:stamp|at))?", re.IGNORECASE
)


def notes_of(roles: Roles, sample: Sample, config: TableConfig) -> Iterator[str]:
    """Notes on the columns that the config does not name."""
    if not roles.guessed:
        return
    left = tuple(name for name in roles.dropped if name not in config.drop)
    taken = {**roles.guessed, **({"drop": left} if left else {})}
    said = ", ".join(f"{role}=[{','.join(columns)}]" for role, columns in taken.items())
    yield f"columns were guessed from their names and types: {said}"
    yield from _table(taken, sample)
    for name in (*roles.guessed.get("categorical", ()), *roles.guessed.get("numeric", ())):
        warning = _warning(name, name in roles.categorical, sample, sample.cells[roles.label])
        if warning:
            yield f"column {name}: {warning}; dataset.drop=[{name}] leaves it out"
    yield from _keys_for(taken, sample, config)


def _keys_for(taken: dict[str, tuple[str, ...]], sample: Sample, config: TableConfig) -> Iterator[str]:
    """Keys that suit columns that nobody has named."""
    items = [name for name in taken.get("categorical", ()) if ITEMS.fullmatch(name)]
    if items and config.item_field is None:
        yield (f"column {items[0]} looks like the item: dataset.item_field={items[0]} shows results by how often "
               "an item occurs in training")  # fmt: skip
    rest = [name for role, columns in taken.items() if role != "label" for name in columns]
    times = [name for name in rest if _is_time(name, sample)]
    if times and config.split in ("auto", "random"):
        yield (f"column {times[0]} looks like a time: dataset.split=time dataset.time_column={times[0]} tests on the "
               "latest rows")  # fmt: skip


def _is_time(name: str, sample: Sample) -> bool:
    """A type of dates and times; or whole numbers that could be YYMMDD and the like by the column's name, or by their
    size seconds, or thousandths of them and so on, since 1970."""
    if pa.types.is_temporal(sample.types[name]):
        return True
    cells = [cell for cell in sample.cells[name] if cell is not None]
    if not cells or not all(len(cell) < 20 and cell.isascii() and cell.isdigit() for cell in cells):
        return False
    low, high = min(map(int, cells)), max(map(int, cells))
    epoch = any(SINCE * unit <= low and high < UNTIL * unit for unit in (1, 10**3, 10**6, 10**9))
    return epoch or (low >= LEAST_TIME and TIMES.fullmatch(name) is not None)


def _table(taken: dict[str, tuple[str, ...]], sample: Sample) -> Iterator[str]:
    rows = len(next(iter(sample.cells.values()), []))
    lines = [("column", "guess", "why", f"distinct values in {rows:,} rows")]
    entries = [(name, role) for role, columns in taken.items() for name in columns]
    for name, role in entries[:MOST_COLUMNS]:
        why = "its name" if role == "label" else sample.why[name]
        distinct = len({cell for cell in sample.cells[name] if cell is not None})
        lines.append((name or "(no name)", role, why, f"{distinct:,}"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)][:3]
    for *cells, last in lines:
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)), last])
    if len(entries) > MOST_COLUMNS:
        yield f"and {len(entries) - MOST_COLUMNS:,} more columns"


def _warning(name: str, categorical: bool, sample: Sample, label: Cells) -> str | None:
    cells = sample.cells[name]
    distinct = {cell for cell in cells if cell is not None}
    if INDEX.fullmatch(name):
        return "its name is that of a row's number, which says nothing about other rows"
    if OTHER_LABELS.fullmatch(name) or name.lower() in LABELS or (len(distinct) == 2 and _agrees(cells, label)):
        return "looks like a second label, which is unknown at prediction time"
    if categorical and len(cells) >= FEWEST_ROWS and len(distinct) > UNIQUE_SHARE * len(cells):
        return f"is nearly unique per row ({len(distinct):,} values in {len(cells):,} rows), so it tells little"
    return None


def _agrees(cells: Cells, label: Cells) -> bool:
    """Whether a column of two values is the label in nearly all rows, or its opposite."""
    pairs = [(cell, answer) for cell, answer in zip(cells, label, strict=True) if cell and answer]
    if len(pairs) < FEWEST_ROWS or len({answer for _, answer in pairs}) != 2:
        return False
    top_cell, top_answer = max(cell for cell, _ in pairs), max(answer for _, answer in pairs)
    share = sum((cell == top_cell) == (answer == top_answer) for cell, answer in pairs) / len(pairs)
    return max(share, 1 - share) >= AGREE_SHARE
