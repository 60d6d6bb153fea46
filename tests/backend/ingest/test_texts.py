import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.ingest import texts
from backend.ingest.texts import alike


def ranges(contents: list[bytes]) -> tuple[bytes, np.ndarray, np.ndarray]:
    lengths = np.array([len(content) for content in contents], np.int64)
    return b"".join(contents), np.cumsum(lengths) - lengths, lengths


@given(contents=st.lists(st.binary(max_size=3)))
def test_each_content_comes_once_and_says_where_it_was(contents: list[bytes]) -> None:
    firsts, found = alike(*ranges(contents))
    distinct = [contents[at] for at in firsts.tolist()]
    # Half of the table is free, so that the few contents here always find a place.
    assert distinct == list(dict.fromkeys(contents))
    assert [distinct[at] for at in found.tolist()] == contents


@given(contents=st.lists(st.binary(min_size=1, max_size=40), max_size=200), repeated=st.integers(1, 4))
def test_ranges_that_are_said_to_be_alike_are(contents: list[bytes], repeated: int) -> None:
    contents = contents * repeated
    firsts, found = alike(*ranges(contents))
    assert [contents[firsts[at]] for at in found.tolist()] == contents


def test_contents_that_find_no_place_are_told_each_time() -> None:
    data, starts, lengths = ranges([b"a", b"b", b"b", b"a"])
    table = np.full(1, -1, np.int32)  # full after the first
    firsts, found = np.empty(4, np.int32), np.empty(4, np.int32)
    count = texts._alike(np.frombuffer(data, np.uint8), starts, lengths, table, firsts, found)
    assert (firsts[:count].tolist(), found.tolist()) == ([0, 1, 2], [0, 1, 2, 0])


@pytest.mark.parametrize(("start", "length"), [(-1, 1), (0, 4), (4, 0), (3, 1), (0, -1), (2**62, 2**62)])
def test_ranges_that_lie_elsewhere_are_not_read(start: int, length: int) -> None:
    firsts, found = alike(b"abc", np.array([start, 0, 0]), np.array([length, 1, 1]))
    assert (firsts.tolist(), found.tolist()) == ([0, 1], [0, 1, 1])
