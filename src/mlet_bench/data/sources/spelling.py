"""One spelling of a category and of what is missing, whatever container and writer the rows come from.

Whole floats are written as integers (12.0 → 12), booleans in lower case, times without T, UTC zone, zeros behind the
seconds and midnight. All else stays: 012, 1.10 and 1e5 may be names.
"""

from collections.abc import Iterable
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

WHOLE, WORDS = r"^-?(0)\.0+$|^(-?[1-9][0-9]*)\.0+$", ("true", "false")
SECONDS = r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})"
"""How a time begins."""
RULES = (
    (WHOLE, r"\1\2"),
    ("^[Tt](?:rue|RUE)$", "true"),
    ("^[Ff](?:alse|ALSE)$", "false"),
    (SECONDS + r"(?:\.0*|(\.[0-9]*[1-9])0*)?(?:Z|\+00:?00)?$", r"\1 \2\3"),
    ("^([0-9]{4}-[0-9]{2}-[0-9]{2}) 00:00:00$", r"\1"),
)
ANY = "|".join(f"(?:{pattern})" for pattern, _ in RULES)


def spelled(texts: pa.Array) -> pa.Array:
    """The texts in the one spelling; the same array where they are in it.

    >>> spelled(pa.array(["12.0", "True", "1.10", "012.0", "2024-01-01T00:00:00Z", None])).to_pylist()
    ['12', 'true', '1.10', '012.0', '2024-01-01', None]
    """
    if not pc.any(pc.match_substring_regex(texts, ANY)).as_py():
        return texts
    for pattern, replacement in RULES:
        texts = pc.replace_substring_regex(texts, pattern, replacement)
    return texts


def spelled_dictionary(column: pa.ChunkedArray | pa.DictionaryArray) -> pa.ChunkedArray | pa.DictionaryArray:
    """A dictionary of text in the one spelling, each once."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    texts = spelled(column.dictionary)
    if texts is column.dictionary:
        return column
    encoded = texts.dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices.take(column.indices), encoded.dictionary)


def text_of(column: pa.Array, missing: Iterable[str]) -> pa.Array:
    """A column of any type as text in the one spelling; NaN and what is spelled as `missing` are null.

    pa.ArrowInvalid and pa.ArrowNotImplementedError where it is no text.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    encoded = column if pa.types.is_nested(column.type) else column.dictionary_encode()
    if encoded is column:
        return column.cast(pa.string())  # says that it cannot
    texts = spelled(_text(encoded.dictionary))
    gone = pc.is_in(texts, pa.array(sorted({"", *missing}), pa.string()))
    return pc.if_else(gone, pa.scalar(None, pa.string()), texts).take(encoded.indices)


def _text(values: pa.Array) -> pa.Array:
    if pa.types.is_floating(values.type):  # as Python and pandas write them
        numbers = values.to_numpy(zero_copy_only=False)
        return pa.array([None if np.isnan(value) else str(value) for value in numbers], pa.string())
    if pa.types.is_timestamp(values.type) and values.type.tz is not None:
        values = values.cast(pa.timestamp(values.type.unit, "UTC")).cast(pa.timestamp(values.type.unit))
    return values.cast(pa.string())


def spellings(missing: Iterable[str]) -> tuple[str, ...]:
    """The cells of text that mean missing: "", those given, and others that mean the same.

    >>> spellings(["-1", "NA"])
    ('', '-1', '-1.0', 'NA')
    """
    cells = [""]
    for cell in missing:
        cells.append(cell)
        (plain,) = spelled(pa.array([cell])).to_pylist()
        cells.append(plain)
        if plain.removeprefix("-").isdigit() and plain == str(int(plain)):
            cells.append(f"{plain}.0")
        if plain in WORDS:
            cells += [plain.title(), plain.upper()]
    return tuple(dict.fromkeys(cells))


def numbers_among(cells: Iterable[str]) -> np.ndarray:
    """Those of the cells that are numbers (float64)."""
    numbers = []
    for cell in cells:
        with suppress(ValueError):
            numbers.append(float(cell))
    return np.array(numbers, np.float64)
