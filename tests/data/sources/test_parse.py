"""The fast way to read cells never accepts what the slow one refuses, nor reads it otherwise."""

import itertools

import pyarrow as pa
import pytest

from mlet_bench.data.sources import parse
from mlet_bench.data.sources.lines import LARGEST, Kind, Layout, cell_mistake

ALPHABETS: dict[Kind, str] = {
    "integer": "019-+ xXfe._",
    "number": "01-+.eExnaif_",
    "label": "01-+ .ex",
    "rating": "0156-+ .xX",
    "timestamp": "015-+ .xX",
}


def layout(kind: Kind) -> Layout:
    return Layout(("cell", "more"), {"cell": kind, "more": "category"}, "\t", header=False)


def parsed(cells: list[str], kind: Kind) -> list[float]:
    """UserError's cause, one of two exceptions, when one of them is refused."""
    table = parse.parse(parse.chunk_of("".join(f"{cell}\tb\n" for cell in cells).encode()), layout(kind))
    values: list[float] = table.column("cell").to_pylist()
    return values


@pytest.mark.parametrize("kind", ALPHABETS)
def test_every_short_cell(kind: Kind) -> None:
    cells = ["".join(cell) for size in range(4) for cell in itertools.product(ALPHABETS[kind], repeat=size)]
    fine = [cell for cell in cells if cell_mistake(cell, kind, ("",)) is None]
    accepted = []
    for cell in fine:
        try:
            (value,) = parsed([cell], kind)
        except (pa.ArrowInvalid, parse.BadCellError):
            continue
        assert value == (float(cell) if cell else None)
        accepted.append(cell)
    assert len(accepted) > 10
    for cell in set(cells) - set(fine):
        with pytest.raises((pa.ArrowInvalid, parse.BadCellError)):
            parsed([cell], kind)


@pytest.mark.parametrize("cell", ["0x10", "0X10", " 0x1", "0x1 "])
@pytest.mark.parametrize("other", ["b", "0x10", "x"])
def test_hexadecimal_is_no_integer_and_a_fine_category(cell: str, other: str) -> None:
    sound = "".join(f"{i}\t{other}\n" for i in range(300))
    table = parse.parse(parse.chunk_of(sound.encode()), layout("integer"))
    assert table.column("cell").to_pylist() == list(range(300))
    assert set(table.column("more").to_pylist()) == {other}
    for place in ("", sound):
        with pytest.raises(parse.BadCellError, match="hexadecimal"):
            parse.parse(parse.chunk_of(f"{place}{cell}\t{other}\n{sound}".encode()), layout("integer"))


def test_numbers_of_32_bits() -> None:
    fine = [str(LARGEST), str(-LARGEST), "1e-300"]
    assert parsed(fine, "number") == [LARGEST, -LARGEST, 1e-300]
    for cell in ("3.4028236e38", "-1e39", "1e300"):
        assert cell_mistake(cell, "number", ()) == "is no finite number of 32 bits"
        with pytest.raises(parse.BadCellError):
            parsed(["1", cell], "number")
