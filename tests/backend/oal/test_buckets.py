import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backend.oal.buckets import BUCKETS, LARGEST_BITS, buckets_of, smallest_of
from tests.backend.oal import reference

SMALLEST = np.array([smallest_of(bucket) for bucket in range(BUCKETS)])


def test_buckets_follow_each_other() -> None:
    assert SMALLEST[:70].tolist() == [*range(64), 64, 66, 68, 70, 72, 74]
    assert np.all(np.diff(SMALLEST) > 0)
    assert np.array_equal(buckets_of(SMALLEST), np.arange(BUCKETS))
    assert np.array_equal(buckets_of(SMALLEST[1:] - 1), np.arange(BUCKETS - 1))
    assert buckets_of(np.array([2**LARGEST_BITS - 1])).tolist() == [BUCKETS - 1]


def test_no_bucket_is_wider_than_a_32nd_of_what_is_in_it() -> None:
    widths = np.diff(SMALLEST)
    assert np.all((widths == 1) | (widths * 32 <= SMALLEST[:-1]))


@given(st.lists(st.integers(0, 2**LARGEST_BITS - 1), min_size=1))
def test_every_number_is_in_its_bucket(values: list[int]) -> None:
    for value, bucket in zip(values, buckets_of(np.array(values)).tolist(), strict=True):
        assert smallest_of(bucket) <= value
        assert bucket == BUCKETS - 1 or value < smallest_of(bucket + 1)
        assert bucket == reference.bucket(value)
