"""Durations and times that are written behind expressions."""

import pytest
from promql_parser import SubqueryExpr, VectorSelector

from backend.query.promql.budget import Budget
from backend.query.promql.errors import Kind, PromqlError
from backend.query.promql.evaluator import Range
from backend.query.promql.modifiers import time_after_at
from backend.query.promql.parsing import parse
from backend.query.promql.questions import evaluated
from tests.backend.query.promql.drawing import START, ListSource, drawn_series

SERIES = drawn_series(3)
MOMENT = START + 1_200_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("x @ 5.25", 5.25),
        ('x{a=" @ 7.000"} @ 1609746000.5 offset -1h30m', 1609746000.5),
        ("x[5m:1m] @ 4102444800 offset 1d", 4102444800.0),
        ("x @ -1", 0.0),
        ("x @ -1e300", 0.0),
    ],
)
def test_times_after_at(text: str, seconds: float) -> None:
    tree = parse(text)
    assert isinstance(tree, VectorSelector | SubqueryExpr)
    assert time_after_at(tree) == seconds * 1000


@pytest.mark.parametrize("text", ["x @ 4102444801", "x @ 1e18", "x @ 1e300", "sum_over_time(x[5m:1m] @ 1e300)"])
def test_a_time_after_at_that_no_clock_knows_is_refused(text: str) -> None:
    with pytest.raises(PromqlError, match="after the year 2099") as refused:
        evaluated(parse(text), Range(MOMENT, MOMENT), ListSource(SERIES), Budget())
    assert refused.value.kind is Kind.BAD_DATA


@pytest.mark.parametrize("length", ["201y", "2800000y", "99999999y"])
@pytest.mark.parametrize("text", ["x[{}]", "x offset {}", "x offset -{}", "last_over_time(x[{}:1m])", "rate(x[5m:{}])"])
def test_a_duration_that_no_samples_have_is_refused(text: str, length: str) -> None:
    with pytest.raises(PromqlError, match="a duration is longer than 200 years") as refused:
        evaluated(parse(text.format(length)), Range(MOMENT, MOMENT), ListSource(SERIES), Budget())
    assert refused.value.kind is Kind.BAD_DATA


def test_before_1970_there_was_nothing() -> None:
    for text in ("a_metric @ -1e300", "max_over_time(a_metric[5m] @ -1)", "max_over_time(a_metric[5m:1m] @ -1e9)"):
        data = evaluated(parse(text), Range(MOMENT, MOMENT), ListSource(SERIES), Budget())
        assert data == {"resultType": "vector", "result": []}
