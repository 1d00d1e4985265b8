"""Rows of Criteo's shape to time with; their labels are random, so nothing can be learned from them.

R rows, F sparse fields, N numeric columns.
"""

from collections.abc import Sequence

import numpy as np

from mlet_bench.data.rows import Split

NUMERIC = 13
EXPONENT = 1.05
"""Of the power law of a category's popularity."""
CARDINALITIES = {
    "filtered": (1445, 553, 157338, 117821, 305, 17, 11881, 629, 4, 39529, 5128, 156655, 3175, 27, 11042, 148912, 11,
                 4559, 2002, 4, 154563, 17, 16, 53030, 81, 40954),
    "unfiltered": (1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194, 27, 14992, 5461306,
                   10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572),
}  # fmt: skip
"""Categories of Criteo-Kaggle's 26 fields, with the rare ones left out and with all."""


def rows_like_criteo(cardinalities: Sequence[int], rows: int, seed: int) -> Split:
    """ids_RF by a power law in every field, numeric_RN normal, a quarter of the labels 1."""
    generator = np.random.default_rng(seed)
    ids_RF = np.empty((rows, len(cardinalities)), np.int32)
    for field, cardinality in enumerate(cardinalities):
        cumulated = np.cumsum(np.arange(1, cardinality + 1) ** -EXPONENT)
        ids_RF[:, field] = np.searchsorted(cumulated, generator.random(rows) * cumulated[-1])
    np.minimum(ids_RF, np.asarray(cardinalities, np.int32) - 1, out=ids_RF)
    numeric_RN = generator.standard_normal((rows, NUMERIC)).astype(np.float32)
    return Split(ids_RF, numeric_RN, (generator.random(rows) < 0.25).astype(np.float32), None, None)
