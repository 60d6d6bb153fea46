import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.ingest.distinct import DENSE, distinct, distinct_pairs, numbered

LIMITS = st.sampled_from([10, DENSE, DENSE + 1])


@given(keys=st.lists(st.integers(0, 9)), limit=LIMITS)
def test_numbers_come_once_and_say_where_they_were(keys: list[int], limit: int) -> None:
    array = np.array(keys, np.int64)
    assert distinct(array, limit).tolist() == sorted(set(keys))
    assert distinct(array.astype(np.int32), limit).dtype == np.int64
    found, place = numbered(array, limit)
    assert found.tolist() == sorted(set(keys))
    assert found[place].tolist() == keys


@given(
    pairs=st.lists(st.tuples(st.integers(0, 9), st.integers(-(2**31), 2**31 - 1) | st.integers(-3, 3))), limit=LIMITS
)
def test_pairs_come_once(pairs: list[tuple[int, int]], limit: int) -> None:
    number = np.array([number for number, _ in pairs], np.int32)
    minute = np.array([minute for _, minute in pairs], np.int32)
    found = distinct_pairs(number, minute, limit)
    assert list(zip(*(column.tolist() for column in found), strict=True)) == sorted(set(pairs))


@pytest.mark.parametrize("limit", [1, DENSE + 1])
def test_nothing_has_nothing(limit: int) -> None:
    nothing = np.empty(0, np.int64)
    assert distinct(nothing, limit).tolist() == []
    assert [column.tolist() for column in numbered(nothing, limit)] == [[], []]
    assert [column.tolist() for column in distinct_pairs(nothing, nothing.astype(np.int32), limit)] == [[], []]
