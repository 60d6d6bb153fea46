"""Buckets of whole numbers, by which percentiles are found.

Numbers below 64 have a bucket each; above, each power of two is cut into 32 buckets of equal width, so that a bucket is
never wider than a 32nd of what is in it. A bucket is stored under a label of its own (its number, as decimal text),
which adds up as any other does: over minutes, flushes and services.
"""

import numpy as np
from numpy.typing import NDArray

_SINGLE_BITS = 6
_PARTS = 1 << (_SINGLE_BITS - 1)
_SINGLE = 1 << _SINGLE_BITS
LARGEST_BITS = 53
"""Numbers have fewer bits than this, or this many."""
BUCKETS = _SINGLE + (LARGEST_BITS - _SINGLE_BITS) * _PARTS


def buckets_of(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bucket of each number; numbers are at least 0 and less than 2^53."""
    bits = np.frexp(values.astype(np.float64))[1].astype(np.int64)  # exact: such numbers fit into a float
    above = np.maximum(bits - _SINGLE_BITS, 0)
    return np.where(above > 0, _SINGLE + (above - 1) * _PARTS + (values >> above) - _PARTS, values)


def smallest_of(bucket: int) -> int:
    """The smallest number in a bucket."""
    if bucket < _SINGLE:
        return bucket
    above, part = divmod(bucket - _SINGLE, _PARTS)
    return (_PARTS + part) << (above + 1)
