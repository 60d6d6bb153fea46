"""Random expressions have the values that a slow evaluator finds."""

import math

import hypothesis
import pytest
from hypothesis import strategies as st

from backend.query.promql.budget import Budget
from backend.query.promql.errors import Kind, PromqlError
from backend.query.promql.evaluator import Range
from backend.query.promql.parsing import parse
from backend.query.promql.questions import evaluated
from tests.backend.query.promql.drawing import START, ListSource, drawn_series, vectors
from tests.backend.query.promql.reference import NoValueError, Series, evaluate

FIRST = START + 12 * 60_000 + 30_000
STEP = 150_000
TIMES = 9


def from_reference(
    text: str, series: list[Series], times: list[int]
) -> dict[frozenset[tuple[str, str]], dict[float, float]]:
    found: dict[frozenset[tuple[str, str]], dict[float, float]] = {}
    for time in times:
        value = evaluate(text, series, time)
        for labels, number in (value if isinstance(value, dict) else {frozenset(): float(value)}).items():
            found.setdefault(labels, {})[time / 1000] = number
    return found


def from_evaluator(
    text: str, series: list[Series], asked: Range
) -> dict[frozenset[tuple[str, str]], dict[float, float]]:
    data = evaluated(parse(text), asked, ListSource(series), Budget())
    assert data["resultType"] == "matrix"
    return as_numbers(data["result"])


def as_numbers(result: object) -> dict[frozenset[tuple[str, str]], dict[float, float]]:
    assert isinstance(result, list)
    return {
        frozenset(series["metric"].items()): {at: float(number) for at, number in series["values"]} for series in result
    }


def assert_same(
    got: dict[frozenset[tuple[str, str]], dict[float, float]],
    expected: dict[frozenset[tuple[str, str]], dict[float, float]],
    scale: float,
) -> None:
    assert got.keys() == expected.keys()
    for labels, numbers in expected.items():
        assert got[labels].keys() == numbers.keys(), labels
        for at, number in numbers.items():
            assert same(got[labels][at], number, scale), (labels, at, got[labels][at], number)


def same(got: float, expected: float, scale: float) -> bool:
    if math.isnan(expected):
        return math.isnan(got)
    return math.isclose(got, expected, rel_tol=1e-7, abs_tol=scale)


@hypothesis.settings(max_examples=80, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
@hypothesis.given(vectors(depth=2), st.integers(0, 1_000))
def test_random_expressions_equal_the_reference(text: str, seed: int) -> None:
    series = drawn_series(seed)
    asked = Range(FIRST, FIRST + (TIMES - 1) * STEP, STEP)
    try:
        expected = from_reference(text, series, asked.times.tolist())
    except NoValueError:
        with pytest.raises(PromqlError) as refused:
            from_evaluator(text, series, asked)
        assert refused.value.kind is Kind.EXECUTION
        return
    assert_same(from_evaluator(text, series, asked), expected, 1e-7)
