"""Sums of rows against math.fsum()."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from backend.query.mqe.summing import totals

sizes = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [0.1, 1e16, -1e16, 1.0, 1e100, -1e100, 2**53]
)


@given(arrays.arrays(np.float64, arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12), elements=sizes))
def test_they_are_rounded_once(values: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> None:
    expected = []
    for row in values.tolist():
        try:
            expected.append(math.fsum(row))
        except OverflowError:
            expected.append(math.nan)
    np.testing.assert_array_equal(totals(values), np.array(expected))


def test_there_can_be_no_columns() -> None:
    assert totals(np.zeros((3, 0))).tolist() == [0, 0, 0]
