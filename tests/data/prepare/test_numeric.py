"""Numeric columns at the ends of what can be stored."""

import numpy as np
import pyarrow as pa
import pytest

from mlet_bench.data.prepare import numeric
from mlet_bench.data.sources.lines import LARGEST

ENDS = [LARGEST, -LARGEST, 1e-300, -0.0, None]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("transform", [numeric.log1p, numeric.as_is])
def test_what_is_stored_is_finite(transform: object) -> None:
    assert callable(transform)
    stored = transform(pa.array(ENDS, pa.float64()))
    assert stored.dtype == np.float32
    assert np.isfinite(stored).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("std", [1.0, 1e-30, 5e-324])
def test_standardised_is_finite_whatever_the_spread(std: float) -> None:
    stored = numeric.standard(np.array([LARGEST, -LARGEST, 0.5, np.nan]), 0.5, std)
    assert np.isfinite(stored).all()
    assert stored[2:].tolist() == [0, 0]
    assert stored[0] > 1e38
    assert stored[1] < -1e38


def test_buckets_of_any_size() -> None:
    found = numeric.bucket(pa.array([-1e30, 1e30, -0.9, 0.0, -(2.0**63)])).to_pylist()
    assert found == [str(int(-1e30)), "4771", "0", "0", str(-(2**63))]
