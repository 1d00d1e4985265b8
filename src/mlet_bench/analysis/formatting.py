"""Numbers as a reader sees them: the digits that mean something, with their spread."""

from mlet_bench.evaluation.statistics import SeedDifference, Spread

NONE = "–"


def level(spread: Spread) -> str:
    """Mean ± standard deviation over seeds.

    >>> level(Spread(3, 0.81234, 0.00123)), level(Spread(1, 0.81234, None)), level(Spread(0, None, None))
    ('0.8123 ± 0.0012', '0.8123', '–')
    """
    if spread.mean is None:
        return NONE
    return f"{spread.mean:.4f}" + ("" if spread.sd is None else f" ± {spread.sd:.4f}")


def plain(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def signed(value: float) -> str:
    """
    >>> signed(0.00123), signed(-0.00001)
    ('+0.0012', '0.0000')
    """
    text = f"{value:+.4f}"
    return text if float(text) else text[1:]


def gain(difference: SeedDifference | None) -> str:
    """Mean difference ± half of its 95 % interval.

    >>> gain(SeedDifference(1, 0.00123, None, None, None, None)), gain(None)
    ('+0.0012', '–')
    """
    if difference is None:
        return NONE
    half = "" if difference.half is None else f" ± {difference.half:.4f}"
    return f"{signed(difference.mean)}{half}"


def span(interval: tuple[float, float] | None) -> str:
    """
    >>> span((-0.00123, 0.01))
    '-0.0012 to +0.0100'
    """
    return NONE if interval is None else f"{signed(interval[0])} to {signed(interval[1])}"


def verdict(difference: SeedDifference | None) -> str:
    if difference is None:
        return NONE
    return "one seed" if difference.n == 1 else difference.verdict


def p_value(p: float | None) -> str:
    """
    >>> p_value(0.0341), p_value(1e-9), p_value(None)
    ('0.034', '<0.001', '–')
    """
    return NONE if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def times(ratio: float | None) -> str:
    """
    >>> times(4.0), times(16.25), times(None)
    ('4.0×', '16×', '–')
    """
    return NONE if ratio is None else f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.1f}×"


def interval_of_ratio(interval: tuple[float, float] | None) -> str:
    """
    >>> interval_of_ratio((0.0, 4.0)), interval_of_ratio((2.0, 4.0)), interval_of_ratio((0.0, 0.0))
    ('not reached to 4.0×', '2.0× to 4.0×', 'not reached')
    """
    if interval is None:
        return NONE
    low, high = ("not reached" if end == 0 else times(end) for end in interval)
    return low if low == high == "not reached" else f"{low} to {high}"


def spread_of_ratio(spread: Spread) -> str:
    if spread.mean is None:
        return NONE
    return f"{spread.mean:.2f}×" + ("" if spread.sd is None else f" ± {spread.sd:.2f}")


def count(spread: Spread) -> str:
    """Mean and spread of a large number.

    >>> count(Spread(2, 33_344.4, 1_234.0))
    '33,344 ± 1,234'
    """
    if spread.mean is None:
        return NONE
    return f"{spread.mean:,.0f}" + ("" if spread.sd is None else f" ± {spread.sd:,.0f}")


def seconds(spread: Spread) -> str:
    """
    >>> seconds(Spread(2, 0.153, 0.01)), seconds(Spread(1, 41.26, None))
    ('0.15 ± 0.01', '41')
    """
    if spread.mean is None:
        return NONE
    digits = 2 if spread.mean < 10 else 0
    return f"{spread.mean:,.{digits}f}" + ("" if spread.sd is None else f" ± {spread.sd:,.{digits}f}")


def mebibytes(value: float | None) -> str:
    """
    >>> mebibytes(642880), mebibytes(541368320)
    ('0.61', '516')
    """
    if value is None:
        return NONE
    size = value / 2**20
    return f"{size:,.2f}" if size < 10 else f"{size:,.0f}"
