"""agent/events/distinct.py against sets and single comparisons."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.events.distinct import changes, distinct

NUMBERS = st.lists(st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-2, 2))


@given(NUMBERS)
def test_each_value_once(numbers: list[int]) -> None:
    values = np.array(numbers, dtype=np.int64)
    assert distinct(values).tolist() == sorted(set(numbers))
    assert values.tolist() == numbers


@given(NUMBERS)
def test_where_a_column_changes(numbers: list[int]) -> None:
    expected = [True, *(before != after for before, after in pairwise(numbers))][: len(numbers)]
    assert changes(np.array(numbers, dtype=np.int64)).tolist() == expected


def test_no_more_of_numpy_is_loaded() -> None:
    program = "import sys, numpy; from agent.events.distinct import distinct; distinct(numpy.arange(3))"
    found = subprocess.run(
        [sys.executable, "-c", f"{program}; print('numpy.ma' in sys.modules)"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert found.stdout == "False\n"
