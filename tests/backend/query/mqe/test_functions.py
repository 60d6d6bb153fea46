"""Expressions one by one: what each part of the language gives."""

import math
from typing import Any

import numpy as np
import pytest

from backend.query.mqe.duration import MAXIMUM_POINTS, Duration, Step
from backend.query.mqe.evaluator import evaluate
from backend.query.mqe.functions import round_values
from backend.query.mqe.parser import parse
from backend.query.mqe.reader import ReadingError
from backend.query.mqe.results import Owner, Result, ResultType, single
from backend.query.mqe.syntax import MqeError, UnknownMetricError
from tests.backend.query.mqe import dashboards
from tests.backend.query.mqe.readers import DictReader
from tests.backend.query.mqe.reference import Data

MINUTE = 60
DURATION = Duration(100 * MINUTE, 4, Step.MINUTE)
T = list(DURATION.buckets)


def over(*values: float | None) -> dict[int, float]:
    return {bucket: value for bucket, value in zip(T, values, strict=True) if value is not None}


DATA: Data = {
    "calls": {(): over(10, 20, None, 40) | {T[0] - MINUTE: 5, T[0] - 2 * MINUTE: 1}},
    "failed": {(): over(1, 0, 3, None)},
    "idle": {(): over(0, 0, 0, 0)},
    "nothing": {(): over(None, None, None, None)},
    "flags": {(): over(1, 0, 1, None)},
    "time": {
        (("p", "50"),): over(5, 6, 7, 8),
        (("p", "9"),): over(1, None, 3, 4),
        (("p", "100"),): over(9, 9, 9, None),
    },
    "disks": {
        (("host", "a"), ("disk", "1")): over(1, 2, 3, 4),
        (("host", "a"), ("disk", "2")): over(10, None, 30, None),
        (("host", "b"), ("disk", "1")): over(100, 200, 300, None),
    },
}
TOPS = {
    "load": {
        "u": over(1, 3, None, None),
        "v": over(5, 5, 5, 5),
        "w": over(None, None, None, 2),
        "x": over(*[None] * 4),
    },
    "more": {"y": over(4, 4, 4, 4)},
}


def ask(text: str, duration: Duration = DURATION) -> Result:
    return evaluate(parse(text), DictReader(DATA, TOPS), duration)


def values(result: Result) -> Any:  # noqa: ANN401 - whatever is compared
    """Numbers of each series, None without data; by labels, when there are any."""
    rows = {
        series.labels: [None if math.isnan(value) else value for value in series.values.tolist()]
        for series in result.series
    }
    return rows if result.labelled else rows[()]


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("2", "SINGLE_VALUE", [2]),
        ("calls", "TIME_SERIES_VALUES", [10, 20, None, 40]),
        ("calls / 2 + 1", "TIME_SERIES_VALUES", [6, 11, None, 21]),
        ("1 - failed / calls", "TIME_SERIES_VALUES", [0.9, 1, None, None]),
        ("calls / idle", "TIME_SERIES_VALUES", [None] * 4),
        ("calls % idle", "TIME_SERIES_VALUES", [None] * 4),
        ("(0 - calls) % 3", "TIME_SERIES_VALUES", [-1, -2, None, -1]),
        ("calls * 1000000000000000 * 1000000000000000", "TIME_SERIES_VALUES", [1e31, 2e31, None, 4e31]),
        ("calls > bool 15", "TIME_SERIES_VALUES", [0, 1, None, 1]),
        ("calls > 15 && failed == 0", "TIME_SERIES_VALUES", [0, 1, None, None]),
        ("calls > 15 || failed == 1", "TIME_SERIES_VALUES", [1, 1, None, None]),
        ("latest(calls > 15) && 2 > 1", "SINGLE_VALUE", [1]),
        ("avg(calls)", "SINGLE_VALUE", [70 / 3]),
        ("count(calls)", "SINGLE_VALUE", [3]),
        ("sum(calls)", "SINGLE_VALUE", [70]),
        ("max(calls)", "SINGLE_VALUE", [40]),
        ("min(calls)", "SINGLE_VALUE", [10]),
        ("latest(failed)", "SINGLE_VALUE", [3]),
        ("count(nothing)", "SINGLE_VALUE", [0]),
        ("sum(nothing)", "SINGLE_VALUE", [None]),
        ("avg(nothing) + 1", "SINGLE_VALUE", [None]),
        ("abs(failed - 2)", "TIME_SERIES_VALUES", [1, 2, 1, None]),
        ("ceil(calls / 15)", "TIME_SERIES_VALUES", [1, 2, None, 3]),
        ("floor(calls / 15)", "TIME_SERIES_VALUES", [0, 1, None, 2]),
        ("round(calls / 15, 2)", "TIME_SERIES_VALUES", [0.67, 1.33, None, 2.67]),
        ("increase(calls, 2)", "TIME_SERIES_VALUES", [9, 15, None, 20]),
        ("rate(calls, 2)", "TIME_SERIES_VALUES", [9 / 120, 15 / 120, None, 20 / 120]),
        ("view_as_seq(unknown, nothing, failed, calls)", "TIME_SERIES_VALUES", [1, 0, 3, None]),
        ("view_as_seq(unknown, nothing)", "TIME_SERIES_VALUES", [None] * 4),
        ("is_present(unknown, nothing)", "SINGLE_VALUE", [0]),
        ("is_present(unknown, nothing, failed) && 1 == 1", "SINGLE_VALUE", [1]),
        ("top_n(load, 2, des)", "SORTED_LIST", [5, 2]),
        ("top_n(load, 9, asc) * 10", "SORTED_LIST", [20, 20, 50]),
        ("top_n_of(top_n(load, 2, des), top_n(more, 1, asc), 2, asc)", "SORTED_LIST", [2, 4]),
        ("max(top_n(load, 9, asc))", "SINGLE_VALUE", [5]),
        ("sort_values(calls, 2, des)", "TIME_SERIES_VALUES", [40, 20]),
        ("sort_values(avg(failed), asc)", "SINGLE_VALUE", [4 / 3]),
        ("aggregate_labels(disks, sum)", "TIME_SERIES_VALUES", [111, 202, 333, 4]),
        ("aggregate_labels(max(disks), avg)", "SINGLE_VALUE", [334 / 3]),
        ("time{p='50'} + time{p='50'}", "TIME_SERIES_VALUES", {(("p", "50"),): [10, 12, 14, 16]}),
        (
            "time{p='50,9'} - avg(time{p='50'})",
            "TIME_SERIES_VALUES",
            {(("p", "50"),): [-1.5, -0.5, 0.5, 1.5], (("p", "9"),): [None] * 4},
        ),
        (
            "calls - time{p='9,50'}",
            "TIME_SERIES_VALUES",
            {(("p", "9"),): [9, None, None, 36], (("p", "50"),): [5, 14, None, 32]},
        ),
        (
            "max(relabels(time{p='50,9'}, p='50', percentile='P50'))",
            "SINGLE_VALUE",
            {(("percentile", "P50"),): [8], (("percentile", "9"),): [4]},
        ),
        (
            "aggregate_labels(disks, max(disk, rack))",
            "TIME_SERIES_VALUES",
            {(("disk", "1"),): [100, 200, 300, 4], (("disk", "2"),): [10, None, 30, None]},
        ),
        (
            "count(disks{host='a', disk='2,1'})",
            "SINGLE_VALUE",
            {
                (("host", "a"), ("disk", "2")): [2],
                (("host", "a"), ("disk", "1")): [4],
            },
        ),
        ("time{p='1'}", "TIME_SERIES_VALUES", {}),
    ],
)
def test_what_it_gives(text: str, kind: str, expected: object) -> None:
    result = ask(text)
    assert result.type == kind
    assert values(result) == expected


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("sort_label_values(time, asc, p)", ["9", "50", "100"]),
        ("sort_label_values(time, des, p, other)", ["100", "50", "9"]),
        ("sort_values(time, 2, des, max)", ["100", "50"]),
        ("sort_values(time, asc, sum)", ["9", "50", "100"]),
        ("sort_values(time, des, count)", ["50", "9", "100"]),
    ],
)
def test_the_order_of_series(text: str, labels: list[str]) -> None:
    assert [dict(series.labels)["p"] for series in ask(text).series] == labels


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("calls", T),
        ("latest(calls) / 100", [T[3]]),
        ("max(failed)", [T[2]]),
        ("min(idle)", [T[0]]),
        ("max(failed) - min(failed)", [None]),
        ("avg(calls)", [None]),
        ("sort_values(calls, des)", [T[3], T[1], T[0]]),
        ("top_n(load, 9, asc)", ["u", "w", "v"]),
        ("latest(nothing)", [None]),
    ],
)
def test_what_each_number_is_of(text: str, points: list[Any]) -> None:
    (series,) = ask(text).series
    assert [point.id if isinstance(point, Owner) else point for point in series.points] == points


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("calls + unknown", "at column 9: there is no metric 'unknown'"),
        ("top_n(unknown, 1, asc)", "at column 7: there is no metric 'unknown'"),
        ("view_as_seq(unknown, other)", "at column 13: there is no metric 'unknown'"),
        ("calls{p='50'}", "at column 1: calls has no label 'p': it has no labels"),
        ("1 + time{q='50'}", "at column 5: time has no label 'q': it has p"),
        (
            "calls && failed == 1",
            "at column 7: the left side of && is neither true nor false: compare it with something",
        ),
        ("1 == 1 || flags", "at column 8: the right side of || is neither true nor false: compare it with something"),
        (
            "top_n(load, 1, asc) + calls",
            (
                "at column 21: + cannot put a list of top_n() together with another list or with values over time: "
                "make one of them a single number, as avg() does"
            ),
        ),
        ("latest(avg(calls))", "at column 1: latest() takes values over time: a metric, or what is calculated of one"),
        (
            "sort_values(calls, des) - calls",
            "at column 25: a side of - is sorted: calculate first, then sort",
        ),
        # Whatever the data: in this order they are already.
        ("idle + sort_values(idle, asc) * 2", "at column 6: a side of + is sorted: calculate first, then sort"),
        (
            "aggregate_labels(sort_values(time, des), sum)",
            "at column 1: the series are sorted: put labels together first, then sort",
        ),
        (
            "aggregate_labels(calls, sum)",
            "at column 1: aggregate_labels() takes a result with labels, and this has none",
        ),
        ("relabels(calls, p='1', q='2')", "at column 1: there is no label 'p' to rename: the series have no labels"),
        ("relabels(disks, p='1', q='2')", "at column 1: there is no label 'p' to rename: there is disk, host"),
        (
            "relabels(time, p='50,9', p='x,x')",
            "at column 1: two series would both be {p='x'}: give them different values",
        ),
        ("relabels(disks, host='a', disk='2')", "at column 1: a series would have the label 'disk' twice"),
    ],
)
def test_what_has_no_meaning_says_why_and_where(text: str, error: str) -> None:
    with pytest.raises(MqeError) as caught:
        ask(text)
    assert str(caught.value) == error


def test_an_unknown_metric_is_an_error_of_its_own() -> None:
    with pytest.raises(UnknownMetricError):
        ask("unknown")


def test_errors_of_a_reader_are_told_at_the_metric() -> None:
    class Broken(DictReader):
        def read(self, *_: object) -> Any:  # noqa: ANN401 - it never returns
            raise ReadingError("it cannot be read")

    for text, column in (("1 + calls", 5), ("calls + failed", 1), ("rate(calls, 1)", 6)):
        with pytest.raises(MqeError, match=f"^at column {column}: it cannot be read$"):
            evaluate(parse(text), Broken(DATA), DURATION)


def test_metrics_are_read_at_once_and_only_once() -> None:
    reader = DictReader(DATA)
    evaluate(parse("avg(calls / failed) + count(calls{}) + view_as_seq(unknown, idle)"), reader, DURATION)
    assert reader.reads == [(["calls", "failed", "idle"], DURATION)]


def test_the_baseline_is_the_mean_of_the_seven_days_before() -> None:
    day = 86_400
    known = {T[0] - number * day: float(number) for number in range(1, 9)} | {T[1] - 3 * day: 5.0}
    reader = DictReader({"calls": {(): known}})

    def series(which: str) -> list[float]:
        values: list[float] = evaluate(parse(f"baseline(calls, {which})"), reader, DURATION).series[0].values.tolist()
        return values

    assert series("value")[:2] == [4, 5]  # eight days before is too long ago
    assert series("upper")[:2] == [8, 5]  # 1 to 7 have the standard deviation 2
    assert series("lower")[:2] == [0, 5]
    assert np.isnan(series("upper")[2:]).all()


def test_the_baseline_of_days_is_of_the_same_weekdays() -> None:
    day = 86_400
    duration = Duration(30 * day, 1, Step.DAY)
    reader = DictReader({"calls": {(): {(30 - number) * day: float(number) for number in range(1, 22)}}})
    result = evaluate(parse("baseline(calls, value)"), reader, duration)
    assert result.series[0].values.tolist() == [(7 + 14) / 2]


@pytest.mark.parametrize(
    ("value", "places", "expected"),
    [
        (0.5, 0, 1),
        (-0.5, 0, -1),
        (1.005, 2, 1.01),
        (2.675, 2, 2.68),
        (-2.665, 2, -2.67),
        (0.285, 2, 0.29),
        (1.0049999, 2, 1.0),
        (123456789.987654321, 3, 123456789.988),
        (1e300, 15, 1e300),
        (2.0**53 - 1, 2, 2.0**53 - 1),
        (0.1 + 0.2, 15, 0.3),
    ],
)
def test_halves_are_rounded_as_they_are_written(value: float, places: int, expected: float) -> None:
    assert round_values(single(value), places).series[0].values.tolist() == [expected]


@pytest.mark.parametrize("text", [text for text in dashboards.ALL if not text.startswith("top_n")])
def test_every_expression_of_the_dashboards_gives_numbers(text: str) -> None:
    class Four(dict[str, Any]):
        """Any metric, 4 at every point."""

        def __missing__(self, name: str) -> Any:  # noqa: ANN401 - what a metric is here
            return {(): dict.fromkeys(T, 4.0)}

        def __contains__(self, name: object) -> bool:
            return True

    result = evaluate(parse(text), DictReader(Four()), DURATION)
    (series,) = result.series
    assert len(series.values) == (1 if result.type is ResultType.SINGLE_VALUE else len(T))
    assert np.isfinite(series.values).all()


def test_the_longest_span_with_a_look_back() -> None:
    duration = Duration(10**9, MAXIMUM_POINTS, Step.MINUTE)
    reader = DictReader({"calls": {(): {bucket: float(bucket) for bucket in duration.extended(500).buckets}}})
    result = evaluate(parse("rate(calls, 500)"), reader, duration)
    assert result.series[0].values.tolist() == [1.0] * MAXIMUM_POINTS
