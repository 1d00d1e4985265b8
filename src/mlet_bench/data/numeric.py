"""Numeric columns: what a model is given of their raw values.

log1p     ln(x + 1), negative values and missing ones as 0 (facebookresearch/dlrm)
bucket    a category each: floor(ln(x)²) above 2, else x without its fraction, missing as 0 (BARS, the x4 sets)
standard  (x - mean) / standard deviation of the training split's values, missing ones as 0
as_is     the value, missing ones as 0
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def log1p(values: pa.Array) -> np.ndarray:
    """float32"""
    x = pc.fill_null(values, 0).to_numpy().astype(np.float32)
    return np.asarray(np.log1p(np.maximum(x, 0, out=x), out=x))


def as_is(values: pa.Array) -> np.ndarray:
    """float32"""
    return np.asarray(pc.fill_null(values, 0).to_numpy().astype(np.float32))


def raw(values: pa.Array) -> np.ndarray:
    """float64, missing values as NaN."""
    return np.asarray(pc.fill_null(values.cast(pa.float64(), safe=False), np.nan).to_numpy())


def bucket(values: pa.Array) -> pa.DictionaryArray:
    """Categories, as text.

    >>> bucket(pa.array([None, -2.5, 2.0, 3.0, 1000.0])).to_pylist()
    ['0', '-2', '2', '1', '47']
    """
    x = pc.fill_null(values.cast(pa.float64(), safe=False), 0).to_numpy()
    large = x > 2
    whole = np.trunc(x)
    whole[large] = np.floor(np.log(x[large]) ** 2)
    encoded = pa.array(whole.astype(np.int64)).dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices, encoded.dictionary.cast(pa.string()))


@dataclass
class Moments:
    """Mean and spread of a column's values, gathered in pieces (Chan, Golub and LeVeque 1979)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared distances from the mean."""

    def add(self, values: np.ndarray) -> None:
        """More values; NaN are missing ones."""
        x = values[~np.isnan(values)]
        if not len(x):
            return
        mean = float(x.mean())
        gap, together = mean - self.mean, self.count + len(x)
        self.squares += float(((x - mean) ** 2).sum()) + gap**2 * self.count * len(x) / together
        self.mean += gap * len(x) / together
        self.count = together

    @property
    def std(self) -> float:
        """Of the population; 1 for a constant column."""
        return float(np.sqrt(self.squares / self.count)) if self.squares > 0 else 1.0


def standard(values: np.ndarray, mean: float, std: float) -> np.ndarray:
    """float32"""
    return np.nan_to_num((values - mean) / std, nan=0.0).astype(np.float32)
