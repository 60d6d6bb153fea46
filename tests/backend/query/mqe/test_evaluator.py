"""The evaluator against the reference, over random expressions and random series; and its answers one by one."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.query.mqe.duration import Duration, Step
from backend.query.mqe.evaluator import evaluate
from backend.query.mqe.parser import parse
from backend.query.mqe.results import Owner, Result
from backend.query.mqe.syntax import MqeError
from tests.backend.query.mqe.readers import DictReader
from tests.backend.query.mqe.reference import Data, Labels, Reference, RefusedError, write

START, POINTS = 1_800_000_000 - 1_800_000_000 % 86_400, 4
LABELLED: dict[str, list[Labels]] = {
    "a": [()],
    "b": [()],
    "p": [(("p", "9"),), (("p", "50"),), (("p", "100"),)],
    "q": [(("p", "50"),), (("p", "9"),), (("p", "7"),)],
    "xy": [(("x", "1"), ("y", "2")), (("x", "1"), ("y", "3")), (("x", "2"), ("y", "2"))],
    "yx": [(("y", "2"), ("x", "1"))],
    "none": [],
}
KINDS = {"single": "SINGLE_VALUE", "series": "TIME_SERIES_VALUES", "list": "SORTED_LIST"}

numbers = st.one_of(
    st.integers(-3, 3).map(float),
    st.integers(-(10**12), 10**12).map(float),
    st.decimals(-1000, 1000, places=3).map(float),
    st.sampled_from([1e308, -1.5e308, 5e-324, 0.5, 2.675]),
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Data, dict[str, Any], Step]:
    """Metrics, metrics of several entities, and a step; with a past that trends and baselines look into."""
    step = draw(st.sampled_from([Step.MINUTE, Step.HOUR, Step.DAY]))
    past = [START + at * step.value for at in range(-3, POINTS)]
    past += [START + at * step.value - days * 86_400 for at in range(POINTS) for days in (1, 2, 7, 14)]
    series = st.dictionaries(st.sampled_from(sorted(set(past))), numbers, max_size=len(set(past)))
    data = {name: {labels: draw(series) for labels in several} for name, several in LABELLED.items()}
    small = st.dictionaries(st.sampled_from(past), st.integers(-5, 5).map(float), max_size=POINTS)
    tops = {name: draw(st.dictionaries(st.sampled_from("uvwxyz"), small)) for name in ("t", "s")}
    return data, tops, step


orders = st.sampled_from(["asc", "des"])
aggregations = ["avg", "count", "latest", "sum", "max", "min"]
label_names = st.sampled_from(["p", "x", "y", "zzz"])
label_values = st.lists(st.sampled_from(["9", "50", "100", "1", "2", "3"]), min_size=1, max_size=3, unique=True)
metrics = st.tuples(
    st.just("metric"),
    st.sampled_from([*LABELLED, "unknown"]),
    st.lists(st.tuples(label_names, label_values), max_size=2, unique_by=lambda pair: pair[0]),
)
tops_n = st.tuples(st.just("top_n"), st.sampled_from(["t", "s", "unknown"]), st.integers(1, 7), orders)


@st.composite
def relabels(draw: st.DrawFn, operands: st.SearchStrategy[Any]) -> tuple[Any, ...]:
    old = draw(label_values)
    new = draw(st.lists(st.sampled_from(["A", "B", "50"]), min_size=len(old), max_size=len(old)))
    return "relabels", draw(operands), draw(label_names), old, draw(label_names), new


def deeper(operands: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    operators = st.sampled_from(["&&", "||", "==", "!=", "<", ">", "<=", ">=", "+", "-", "*", "/", "%"])
    functions = st.sampled_from([*aggregations, "abs", "ceil", "floor"])
    labels = st.lists(label_names, max_size=2, unique=True)
    return st.one_of(
        st.tuples(st.just("binary"), operators, operands, operands),
        st.tuples(functions, operands),
        st.tuples(st.just("round"), operands, st.integers(0, 6)),
        st.tuples(st.sampled_from(["view_as_seq", "is_present"]), operands, operands),
        relabels(operands),
        st.tuples(st.just("aggregate_labels"), operands, st.sampled_from(["avg", "sum", "max", "min"]), labels),
        st.tuples(
            st.just("sort_values"),
            operands,
            st.none() | st.integers(1, 3),
            orders,
            st.none() | st.sampled_from(aggregations),
        ),
        st.tuples(st.just("sort_label_values"), operands, orders, st.lists(label_names, min_size=1, unique=True)),
    )


leaves = st.one_of(
    st.tuples(st.just("number"), st.one_of(st.integers(0, 100), st.sampled_from([0.5, 1000.25]))),
    metrics,
    tops_n,
    st.tuples(st.just("top_n_of"), st.lists(tops_n, min_size=1, max_size=3), st.integers(1, 9), orders),
    st.tuples(st.sampled_from(["increase", "rate"]), metrics, st.integers(1, 3)),
    st.tuples(st.just("baseline"), metrics, st.sampled_from(["value", "upper", "lower"])),
)
expressions = st.recursive(leaves, deeper, max_leaves=8)


def plain(result: Result) -> list[tuple[Any, list[tuple[Any, float | None]]]]:
    return [
        (
            series.labels,
            [
                (point.id if isinstance(point, Owner) else point, None if math.isnan(value) else value)
                for point, value in zip(series.points, series.values.tolist(), strict=True)
            ],
        )
        for series in result.series
    ]


@settings(max_examples=250, deadline=None)
@given(worlds(), expressions)
def test_any_expression_over_any_series_is_as_the_reference_says(
    world: tuple[Data, dict[str, Any], Step], expression: tuple[Any, ...]
) -> None:
    data, tops, step = world
    reader, duration = DictReader(data, tops), Duration(START, POINTS, step)
    try:
        expected = Reference(data, tops, START, POINTS, step.value).evaluate(expression)
    except RefusedError:
        with pytest.raises(MqeError):
            evaluate(parse(write(expression)), reader, duration)
        return
    result = evaluate(parse(write(expression)), reader, duration)
    assert result.type == KINDS[expected.kind]
    assert result.truth == expected.truth
    assert plain(result) == expected.rows
    assert all(not np.isinf(series.values).any() for series in result.series)
