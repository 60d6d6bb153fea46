"""bench/counting.py: counts are exact, the same each time, and leave nothing behind."""

import dis
import sys
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.counting import Counts, count, count_bytecodes, count_calls, peak_bytes


def straight() -> int:
    first = 1
    second = 2
    return first + second


def inner() -> None:
    pass


def instructions_of(function: Callable[[], object]) -> int:
    """Those of a function without branches, after the one at which it is entered."""
    return sum(each.opname != "RESUME" for each in dis.get_instructions(function))


@pytest.mark.parametrize("function", [straight, inner])
def test_bytecodes_are_those_of_the_disassembly(function: Callable[[], object]) -> None:
    assert count_bytecodes(function) == instructions_of(function)


@given(st.integers(0, 50))
def test_each_turn_of_a_loop_counts_the_same(turns: int) -> None:
    def work(times: int) -> int:
        def loop() -> None:
            for _ in range(times):
                inner()

        return count_bytecodes(loop)

    assert work(turns + 1) - work(turns) == work(1) - work(0) > instructions_of(inner)


@given(st.integers(0, 50), st.integers(0, 50))
def test_calls_of_python_and_of_compiled_functions_count_one_each(python: int, compiled: int) -> None:
    def work() -> None:
        for _ in [None] * python:
            inner()
        for _ in [None] * compiled:
            abs(-1)

    assert count_calls(work) == 1 + python + compiled


def test_the_peak_counts_what_was_given_back() -> None:
    def work() -> None:
        held = np.zeros(1 << 20, np.uint8)
        del held
        np.zeros(1 << 19, np.uint8)

    assert 1 << 20 <= peak_bytes(work) < (1 << 20) + 4096


def test_nothing_stays_switched_on_when_work_fails() -> None:
    traced, profiled = sys.gettrace(), sys.getprofile()

    def work() -> None:
        raise KeyError

    for counting in (count_bytecodes, count_calls, peak_bytes):
        with pytest.raises(KeyError):
            counting(work)
    assert (sys.gettrace(), sys.getprofile(), tracemalloc.is_tracing()) == (traced, profiled, False)


def test_preparation_is_not_counted_and_the_first_run_warms_up() -> None:
    runs = []

    def prepare() -> Callable[[], None]:
        prepared = [bytes(100_000) for _ in range(10)]

        def work() -> None:
            runs.append(len(prepared))
            if len(runs) == 1:
                for _ in range(1_000):
                    inner()

        return work

    counts = count(prepare)
    assert len(runs) == 4
    assert counts == Counts(counts.bytecodes, 4, counts.peak_bytes)  # work, append, and len twice
    assert counts.bytecodes < 100
    assert counts.peak_bytes < 1_000
