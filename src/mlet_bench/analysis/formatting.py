"""Numbers as a reader sees them: the digits that mean something, with their spread."""

import re

from mlet_bench.evaluation.statistics import SeedDifference, Spread

NONE = "–"


def mean_sd(spread: Spread, digits: str = ".4f", unit: str = "") -> str:
    """Mean ± standard deviation over seeds.

    >>> mean_sd(Spread(3, 0.81234, 0.00123)), mean_sd(Spread(1, 0.81234, None)), mean_sd(Spread(0, None, None))
    ('0.8123 ± 0.0012', '0.8123', '–')
    >>> mean_sd(Spread(2, 33_344.4, 1_234.0), ",.0f"), mean_sd(Spread(2, 4.0, 0.25), ".2f", "×")
    ('33,344 ± 1,234', '4.00× ± 0.25')
    """
    if spread.mean is None:
        return NONE
    return f"{spread.mean:{digits}}{unit}" + ("" if spread.sd is None else f" ± {spread.sd:{digits}}")


def seconds(spread: Spread) -> str:
    """
    >>> seconds(Spread(2, 0.153, 0.01)), seconds(Spread(1, 41.26, None))
    ('0.15 ± 0.01', '41')
    """
    return mean_sd(spread, ",.2f" if (spread.mean or 0) < 10 else ",.0f")


def number(value: float | None, digits: str = ".4f", unit: str = "") -> str:
    """
    >>> number(0.5), number(None), number(1.25, ".1f", "×")
    ('0.5000', '–', '1.2×')
    """
    return NONE if value is None else f"{value:{digits}}{unit}"


def percent(change: float) -> str:
    """
    >>> percent(0.254), percent(-0.01)
    ('+25 %', '-1 %')
    """
    return f"{100 * change:+.0f} %"


def signed(value: float) -> str:
    """
    >>> signed(0.00123), signed(-0.00001)
    ('+0.0012', '0.0000')
    """
    text = f"{value:+.4f}"
    return text if float(text) else text[1:]


def diff_ci(difference: SeedDifference) -> str:
    """Mean difference ± half of its 95 % interval.

    >>> diff_ci(SeedDifference(1, 0.00123)), diff_ci(SeedDifference(5, -0.1, ci95=(-0.15, -0.05)))
    ('+0.0012', '-0.1000 ± 0.0500')
    """
    half = "" if difference.half is None else f" ± {difference.half:.4f}"
    return f"{signed(difference.mean)}{half}"


def diff_mark(difference: SeedDifference) -> str:
    """
    >>> diff_mark(SeedDifference(5, -0.1, ci95=(-0.15, -0.05)))
    '-0.1000 ± 0.0500 ▼'
    """
    return diff_ci(difference) + {"higher": " ▲", "lower": " ▼", "undecided": ""}[difference.verdict]


def interval(ends: tuple[float, float]) -> str:
    """Of a difference.

    >>> interval((-0.00123, 0.01))
    '-0.0012 to +0.0100'
    """
    return f"{signed(ends[0])} to {signed(ends[1])}"


def p_value(p: float) -> str:
    """
    >>> p_value(0.0341), p_value(1e-9)
    ('0.034', '<0.001')
    """
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def ratio(value: float) -> str:
    """
    >>> ratio(4.0), ratio(16.25)
    ('4.0×', '16×')
    """
    return f"{value:.0f}×" if value >= 10 else f"{value:.1f}×"


def ratio_interval(ends: tuple[float, float]) -> str:
    """
    >>> ratio_interval((0.0, 4.0)), ratio_interval((2.0, 4.0)), ratio_interval((0.0, 0.0))
    ('not reached to 4.0×', '2.0× to 4.0×', 'not reached')
    """
    low, high = (ratio(end) if end else "not reached" for end in ends)
    return f"{low} to {high}" if ends[1] else high


def bucket(name: str) -> str:
    """A frequency bucket by its training counts; other names as they are.

    >>> bucket("0"), bucket("10-99"), bucket("1000-9999"), bucket("100000+"), bucket("lowest tenth")
    ('never', '10–99', '1k–10k', '100k+', 'lowest tenth')
    """
    if name == "0":
        return "never"
    thousands = re.sub(r"\d{4,}", lambda digits: f"{int(digits[0]) / 1000:.0f}k", name)
    return re.sub(r"(?<=[\dk])-(?=\d)", "–", thousands)


def mebibytes(count: float) -> str:
    """
    >>> mebibytes(642880), mebibytes(541368320)
    ('0.61', '516')
    """
    size = count / 2**20
    return f"{size:,.2f}" if size < 10 else f"{size:,.0f}"
