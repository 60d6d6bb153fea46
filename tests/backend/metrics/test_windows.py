from collections import defaultdict

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.metrics.reading import ReadingSchema, value_of
from backend.metrics.windows import Compatibility, Rule, Step, first_minute, format_minute, minute_of
from backend.oal.functions import Function
from backend.storage.interface import MetricSchema

FUNCTIONS = {
    "count": Function.COUNT,
    "cpm": Function.CPM,
    "sum": Function.SUM,
    "sum_cpm": Function.SUM,
    "avg": Function.LONG_AVG,
    "percent": Function.PERCENT,
    "apdex": Function.APDEX,
    "milliseconds": Function.LONG_AVG,
    "milliseconds_total": Function.SUM,
}
UNITS = {"milliseconds": 1_000, "milliseconds_total": 1_000}
RULES = {name: Rule(function, UNITS.get(name, 1)) for name, function in FUNCTIONS.items()}
RATIOS = {"avg": 1, "milliseconds": 1, "percent": 10_000, "apdex": 5_000}
HOUR, DAY = 60, 1440


def points(*rows: tuple[str, str, int, int, int]) -> pl.DataFrame:
    return pl.DataFrame([(metric, "", *rest) for metric, *rest in rows], schema=MetricSchema, orient="row")


def values(rows: pl.DataFrame, step: Step = Step.MINUTE, *, cpm_totals: bool = False) -> pl.DataFrame:
    frame = value_of(RULES, rows, step=step, compatibility=Compatibility(cpm_totals=cpm_totals))
    assert frame.schema == ReadingSchema
    assert frame.filter(pl.col("value") != pl.col("whole").cast(pl.Float64)).is_empty()
    return frame.select("metric", "entity", "minute", "whole")


def value(metric: str, step: Step, *rows: tuple[int, int, int], cpm_totals: bool = False) -> list[tuple[int, int]]:
    frame = values(points(*((metric, "e", *row) for row in rows)), step, cpm_totals=cpm_totals)
    return frame.select("minute", "whole").rows()


def test_minutes() -> None:
    assert minute_of(0) == minute_of(59.999) == 0
    assert minute_of(60) == 1
    assert format_minute(0) == "1970-01-01T00:00Z"
    assert format_minute(30_000_001) == "2027-01-15T08:01Z"
    assert [first_minute(1500, step) for step in Step] == [1500, 1500, 1440]
    assert [first_minute(1499, step) for step in Step] == [1499, 1440, 1440]


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        # per step: the value of what was added up over three minutes
        ("count", {Step.MINUTE: 130, Step.HOUR: 130, Step.DAY: 130}),
        ("sum", {Step.MINUTE: 130, Step.HOUR: 130, Step.DAY: 130}),
        ("cpm", {Step.MINUTE: 130, Step.HOUR: 2, Step.DAY: 0}),
        ("sum_cpm", {Step.MINUTE: 130, Step.HOUR: 2, Step.DAY: 0}),
        ("avg", {Step.MINUTE: 18, Step.HOUR: 18, Step.DAY: 18}),
        ("percent", {Step.MINUTE: 185_714, Step.HOUR: 185_714, Step.DAY: 185_714}),
        ("apdex", {Step.MINUTE: 92_857, Step.HOUR: 92_857, Step.DAY: 92_857}),
    ],
)
def test_functions_at_each_step(metric: str, expected: dict[Step, int]) -> None:
    assert value(metric, Step.MINUTE, (DAY, 100, 4), (DAY, 30, 3)) == [(DAY, expected[Step.MINUTE])]
    spread = [(DAY, 100, 4), (DAY + 1, 10, 2), (DAY + 59, 20, 1)]
    assert value(metric, Step.HOUR, *spread) == [(DAY, expected[Step.HOUR])]
    assert value(metric, Step.DAY, *spread) == [(DAY, expected[Step.DAY])]


def test_days_and_hours_begin_in_utc() -> None:
    rows = [(DAY - 1, 1, 0), (DAY, 2, 0), (DAY + HOUR - 1, 4, 0), (DAY + HOUR, 8, 0)]
    assert value("sum", Step.HOUR, *rows) == [(DAY - HOUR, 1), (DAY, 6), (DAY + HOUR, 8)]
    assert value("sum", Step.DAY, *rows) == [(0, 1), (DAY, 14)]


def test_sums_that_are_named_per_minute_can_be_totals_as_upstream() -> None:
    assert value("sum_cpm", Step.HOUR, (0, 600, 0)) == [(0, 10)]
    assert value("sum_cpm", Step.HOUR, (0, 600, 0), cpm_totals=True) == [(0, 600)]
    assert value("cpm", Step.HOUR, (0, 600, 0), cpm_totals=True) == [(0, 10)]
    assert value("sum_cpm", Step.MINUTE, (0, 600, 0), cpm_totals=True) == [(0, 600)]


def test_division_rounds_toward_zero() -> None:
    assert value("avg", Step.MINUTE, (0, 7, 2)) == [(0, 3)]
    assert value("avg", Step.MINUTE, (0, -7, 2)) == [(0, -3)]
    assert value("percent", Step.MINUTE, (0, 2, 3)) == [(0, 6666)]
    assert value("percent", Step.MINUTE, (0, 3, 3)) == [(0, 10_000)]


def test_sums_are_kept_in_a_finer_unit_than_values() -> None:
    # Three calls of 1.9 ms are 5.7 ms, and not three times 1 ms.
    assert value("milliseconds_total", Step.MINUTE, (0, 5_700, 0)) == [(0, 5)]
    assert value("milliseconds", Step.MINUTE, (0, 5_700, 3)) == [(0, 1)]
    assert value("milliseconds", Step.HOUR, (0, 5_700, 3), (1, 900, 1)) == [(0, 1)]
    assert value("milliseconds", Step.MINUTE, (0, 6_000, 3)) == [(0, 2)]


def test_apdex_is_half_of_its_points() -> None:
    # Five satisfied, three tolerating, two neither.
    assert value("apdex", Step.MINUTE, (0, 2 * 5 + 3, 10)) == [(0, 6_500)]
    assert value("apdex", Step.HOUR, (0, 20, 10), (1, 0, 10)) == [(0, 5_000)]
    assert value("apdex", Step.MINUTE, (0, 0, 0)) == []


def test_a_mean_of_nothing_is_no_value() -> None:
    assert value("avg", Step.MINUTE, (0, 0, 0), (1, 0, 1)) == [(1, 0)]
    assert value("percent", Step.MINUTE, (0, 0, 0)) == []


def test_an_hour_is_the_mean_of_all_and_not_of_its_minutes() -> None:
    assert value("avg", Step.HOUR, (0, 1000, 1), (1, 0, 99)) == [(0, 10)]


def test_other_metrics_are_left_out_and_order_is_by_metric_entity_and_minute() -> None:
    frame = values(
        points(("sum", "y", 1, 1, 0), ("other", "x", 1, 1, 0), ("sum", "x", 2, 2, 0), ("count", "z", 1, 3, 0))
    )
    assert frame.rows() == [("count", "z", 1, 3), ("sum", "x", 2, 2), ("sum", "y", 1, 1)]
    assert values(points()).is_empty()


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(sorted(FUNCTIONS)),
            st.sampled_from("xy"),
            st.integers(0, 3000),
            st.integers(-(10**12), 10**12),
            st.integers(0, 1000),
        )
    ),
    step=st.sampled_from(Step),
)
def test_values_are_those_of_whole_numbers(rows: list[tuple[str, str, int, int, int]], step: Step) -> None:
    totals: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0])
    for metric, entity, minute, summation, count in rows:
        total = totals[metric, entity, minute // step * step]
        total[0] += summation
        total[1] += count
    expected = []
    for (metric, entity, minute), (summation, count) in sorted(totals.items()):
        dividend, divisor = summation, 1
        if metric.endswith("cpm"):
            divisor = int(step)
        elif metric in RATIOS:
            dividend, divisor = summation * RATIOS[metric], count
        divisor *= UNITS.get(metric, 1)
        if divisor:
            quotient = abs(dividend) // divisor * (1 if dividend >= 0 else -1)
            expected.append((metric, entity, minute, quotient))
    assert values(points(*rows), step).rows() == expected
