"""Numeric columns: what a model is given of their raw values.

log1p     ln(x + 1), negative values and missing ones as 0 (facebookresearch/dlrm)
bucket    a category each: floor(ln(x)²) above 2, else x without its fraction, missing as 0 (BARS, the x4 sets)
standard  (x - mean) / standard deviation of the training split's values, missing ones as 0
as_is     the value, missing ones as 0
"""

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
    encoded = pa.array(whole + 0.0).dictionary_encode()  # + 0.0: -0 and 0 are one category
    names = [str(int(value)) for value in encoded.dictionary.to_pylist()]  # of any size
    return pa.DictionaryArray.from_arrays(encoded.indices, pa.array(names, pa.string()))


class Moments:
    """Mean and spread of a column's values, gathered in pieces (Chan, Golub and LeVeque 1979).

    The pieces are cut here, so that the result does not depend on how the values arrive.
    """

    PIECE = 1 << 16

    def __init__(self) -> None:
        self._count, self._mean, self._squares = 0, 0.0, 0.0
        self._rest = np.empty(0)

    def add(self, values: np.ndarray) -> None:
        """More values; NaN are missing ones."""
        self._rest = np.concatenate([self._rest, values[~np.isnan(values)]])
        while len(self._rest) >= self.PIECE:
            self._gather(self._rest[: self.PIECE])
            self._rest = self._rest[self.PIECE :]

    def finish(self) -> list[float]:
        """Mean, and standard deviation of the population (1 for a constant column); no more values."""
        if len(self._rest):
            self._gather(self._rest)
        return [self._mean, float(np.sqrt(self._squares / self._count)) if self._squares > 0 else 1.0]

    def _gather(self, x: np.ndarray) -> None:
        mean = float(x.mean())
        gap, together = mean - self._mean, self._count + len(x)
        self._squares += float(((x - mean) ** 2).sum()) + gap**2 * self._count * len(x) / together
        self._mean += gap * len(x) / together
        self._count = together


def standard(values: np.ndarray, mean: float, std: float) -> np.ndarray:
    """float32, always finite: what is far beyond a tiny spread becomes the largest number."""
    limits = np.finfo(np.float32)
    with np.errstate(over="ignore"):
        scaled = np.nan_to_num((values - mean) / std, nan=0.0)
    return np.clip(scaled, limits.min, limits.max).astype(np.float32)
