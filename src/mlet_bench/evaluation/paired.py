"""Means over seeds, and differences of two arms that ran on the same seeds."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean and standard deviation (n - 1); null where there are too few values.

    >>> spread([1.0, 3.0])
    {'n': 2, 'mean': 2.0, 'sd': 1.4142135623730951}
    """
    return {
        "n": len(values),
        "mean": statistics.fmean(values) if values else None,
        "sd": statistics.stdev(values) if len(values) > 1 else None,
    }


def paired(ours: Mapping[int, float], theirs: Mapping[int, float]) -> dict[str, Any]:
    """`spread` of ours - theirs over the seeds (keys) that both have, and t: its mean over its standard error.

    t has n - 1 degrees of freedom; it is null for one seed, and where all differences are equal.

    >>> paired({1: 0.75, 2: 0.5}, {1: 0.5, 2: 0.5, 3: 0.5})
    {'n': 2, 'mean': 0.125, 'sd': 0.1767766952966369, 't': 1.0}
    """
    found = spread([value - theirs[seed] for seed, value in ours.items() if seed in theirs])
    return {**found, "t": found["mean"] / (found["sd"] / math.sqrt(found["n"])) if found["sd"] else None}
