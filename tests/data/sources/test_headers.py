"""Text files without a header, with other names than theirs, with empty lines at the end, in other encodings."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mlet_bench import cli
from mlet_bench.data.prepared import Prepared
from mlet_bench.errors import UserError
from tests.conftest import Ended, prepare
from tests.data import reference

Command = Callable[..., Ended]
ROWS = [[str(k % 2), f"u{k % 7}", str(k % 11), f"{k / 10}"] for k in range(200)]
NAMES = ["label", "user", "item", "price"]


def lines(rows: list[list[str]], end: str = "\n") -> bytes:
    return "".join(",".join(row) + end for row in rows).encode()


def content(prepared: Prepared) -> dict[str, str]:
    """The md5 of every file, by name."""
    return {name: known["md5"] for name, known in prepared.manifest["files"].items()}


@pytest.fixture
def plain(workplace: Path) -> Prepared:
    """The rows with an ordinary header."""
    return prepare("table", reference.write(workplace / "plain.csv", lines([NAMES, *ROWS])))


@pytest.mark.parametrize(
    ("header", "changes"),
    [
        (None, {"columns": NAMES}),
        (NAMES, {"columns": NAMES}),
        (["clicked", "uid", "iid", "x"], {"columns": NAMES, "header": True}),
        (None, {"columns": NAMES, "header": False, "delimiter": ","}),
    ],
    ids=["no header", "its own names", "other names", "said twice"],
)
def test_columns_are_named(
    workplace: Path, plain: Prepared, header: list[str] | None, changes: dict[str, object]
) -> None:
    raw = reference.write(workplace / "raw.csv", lines([*([header] if header else []), *ROWS]))
    named = prepare("table", raw, **changes)
    assert (named.numeric, named.fields) == (("price",), ("user", "item"))
    assert content(named) == content(plain)


def test_columns_get_names(workplace: Path, plain: Prepared) -> None:
    raw = reference.write(workplace / "raw.csv", lines(ROWS))
    named = prepare("table", raw, header=False, label="column1")
    assert (named.numeric, named.fields) == (("column4",), ("column2", "column3"))
    for split in named.rows:
        assert named.split(split).ids_BF.tolist() == plain.split(split).ids_BF.tolist()


def test_names_in_another_order_are_another_folder(workplace: Path) -> None:
    raw = reference.write(workplace / "raw.csv", lines(ROWS))
    roles = {"numeric": ["price"], "categorical": ["item", "user"]}
    one, other = (prepare("table", raw, columns=["label", a, b, "price"], **roles)
                  for a, b in (("user", "item"), ("item", "user")))  # fmt: skip
    assert one.folder != other.folder
    assert (one.cardinalities, other.cardinalities) == ((12, 8), (8, 12))


@pytest.mark.parametrize(
    ("rows", "changes", "said"),
    [
        (ROWS, {}, "line 1 names a column twice. Line 1 looks like a row: dataset.columns="),
        ([["0", "u1", "5", "0.25"]], {}, r"choose one of 0, u1, 5, 0.25. Line 1 looks like a row: dataset.columns="),
        ([["0", "u1", "5", "0.25"]], {"label": "click"}, r"it has 0, u1, 5, 0.25. Line 1 looks like a row"),
        ([["name", "item", "price"]], {}, r"choose one of name, item, price\.$"),
        ([["0", "1", "2", "3"]], {}, r"choose one of 0, 1, 2, 3\.$"),
        ([["Click", "u", "i", "x"], *ROWS], {"columns": NAMES}, "line 1 holds Click; dataset.header=true"),
        (ROWS, {"columns": NAMES[:3]}, "names 3 columns, .*raw.csv has 4 in line 1: 0, u0, 0, 0.0"),
        (ROWS, {"columns": ["label", "a", "b", "a"]}, "dataset.columns: names a twice"),
    ],
    ids=["doubles", "no label", "no such label", "words", "pandas' own names", "a header", "too few names", "twice"],
)
def test_what_is_wrong_with_a_first_line(workplace: Path, rows: list[list[str]], changes: dict[str, object],
                                         said: str) -> None:  # fmt: skip
    raw = reference.write(workplace / "raw.csv", lines(rows))
    with pytest.raises(UserError, match=said):
        prepare("table", raw, **changes)


@pytest.mark.parametrize("chunk_bytes", [1 << 24, 40])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_empty_lines_at_the_end_are_no_rows(workplace: Path, plain: Prepared, end: str, chunk_bytes: int) -> None:
    raw = reference.write(workplace / "raw.csv", lines([NAMES, *ROWS], end) + 30 * end.encode())
    with reference.sizes(chunk_bytes=chunk_bytes):
        assert content(prepare("table", raw)) == content(plain)
    raw.write_bytes(lines([NAMES, *ROWS[:50], [], *ROWS[50:]], end))
    with pytest.raises(UserError, match=r"line 52 has 1 columns, 4 are needed"):
        prepare("table", raw)
    raw.write_bytes(lines([NAMES], end) + 3 * end.encode())
    with pytest.raises(UserError, match=r"holds no row below its header"):
        prepare("table", raw)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "gb18030"])
@pytest.mark.parametrize("chunk_bytes", [1 << 24, 40])
def test_other_encodings(workplace: Path, encoding: str, chunk_bytes: int) -> None:
    text = lines([["label", "café", "item", "price"], *([row[0], f"é{row[1]}", *row[2:]] for row in ROWS)]).decode()
    known = prepare("table", reference.write(workplace / "utf8.csv", text.encode()))
    raw = reference.write(workplace / "raw.csv", text.encode(encoding))
    with reference.sizes(chunk_bytes=chunk_bytes):
        found = prepare("table", raw, encoding=encoding)
    assert content(found) == content(known)
    assert found.manifest["options"]["encoding"] != "utf-8"
    assert "encoding" not in known.manifest["options"]


def test_names_of_one_encoding_are_one(workplace: Path) -> None:
    raw = reference.write(workplace / "raw.csv", lines([NAMES, *ROWS]).replace(b"u1", b"\xe9"))
    assert prepare("table", raw, encoding="latin-1").folder == prepare("table", raw, encoding="ISO-8859-1").folder


@pytest.mark.parametrize(
    ("old", "new", "words", "said"),
    [
        (b"u3", b"caf\xe9", [], r"line 5, column user: 'caf\xe9' is no UTF-8 text; as Latin-1 it is 'café' "
                                "(dataset.encoding=latin-1)"),
        (b"user", b"us\xe9r", [], "line 1 is no UTF-8 text; as Latin-1 it is 'label,usér,item,price' "
                                  "(dataset.encoding=latin-1)"),
        (b"u3", b"caf\x81", ["dataset.encoding=cp1252"], r"line 5, column user: 'caf\x81' is no text of "
                                                         "dataset.encoding=cp1252"),
        (b"u3", b"u3", ["dataset.encoding=utf-16"], "dataset.encoding=utf-16: not an ASCII-compatible encoding"),
        (b"u3", b"u3", ["dataset.encoding=rot13"], "dataset.encoding=rot13: not an ASCII-compatible encoding"),
        (b"u3", b"u3", ['dataset.delimiter="§"'], "dataset.delimiter=§: no cell can end with it; allowed: an ASCII"),
    ],
    ids=["a cell", "a name", "no such letter", "two bytes", "no encoding", "no ASCII"],
)  # fmt: skip
def test_bytes_that_are_no_text(
    command: Command, workplace: Path, old: bytes, new: bytes, words: list[str], said: str
) -> None:
    reference.write(workplace / "raw.csv", lines([NAMES, *ROWS]).replace(old, new))
    ended = command("prepare", "dataset=table", "dataset.raw=raw.csv", *words)
    assert (ended.code, ended.out) == (cli.MISTAKE, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("key", ["columns", "header", "encoding"])
def test_parquet_says_that_itself(workplace: Path, key: str) -> None:
    raw = reference.write(workplace / "raw.parquet", b"")
    with pytest.raises(UserError, match=rf"dataset.{key}: goes with text; raw.parquet is Parquet"):
        prepare("table", raw, **{key: {"columns": ["a"], "header": False, "encoding": "latin-1"}[key]})
