"""Minutes, the steps that are made of them, and what stored values mean at each step.

Days and hours are those of UTC. A minute is a whole number: minutes since 1970-01-01.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum

import polars as pl

from backend.oal.functions import Function

ValueSchema = {
    "metric": pl.String,
    "entity": pl.String,
    "minute": pl.Int32,  # first minute of the step
    "value": pl.Int64,
}
"""Columns of values at a step."""


class Step(IntEnum):
    """Length of a step, in minutes."""

    MINUTE = 1
    HOUR = 60
    DAY = 1440


def minute_of(seconds: float) -> int:
    """The minute that a Unix time in seconds belongs to."""
    return int(seconds // 60)


def first_minute(minute: int, step: Step) -> int:
    """The first minute of the step that a minute belongs to."""
    return minute - minute % step


def format_minute(minute: int) -> str:
    """A minute as ISO 8601 text, in UTC."""
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%dT%H:%MZ")


def values(
    points: pl.DataFrame,
    functions: Mapping[str, Function],
    step: Step = Step.MINUTE,
    *,
    units: Mapping[str, int] | None = None,
    cpm_totals: bool = False,
) -> pl.DataFrame:
    """What stored points mean at a step.

    Args:
        points: columns of MetricSchema; any number of rows for one metric, entity and minute.
        functions: by metric name; points of other metrics are left out.
        step: the step to merge to.
        units: by metric name, what sums are divided by to have the unit of the value (Definition.unit); 1 for others.
        cpm_totals: give the total of the step for metrics that are sums but are named "..._cpm", as Apache SkyWalking
            does; otherwise they are read as their name says, per minute. At the minute step both are the same.

    Returns:
        Columns of ValueSchema, one row per metric, entity and step that has data, in this order.
    """
    reading = {
        name: int(Function.CPM if function is Function.SUM and name.endswith("_cpm") and not cpm_totals else function)
        for name, function in functions.items()
    }
    merged = (
        points.lazy()
        .filter(pl.col("metric").is_in(list(reading)))
        .with_columns(pl.col("minute") - pl.col("minute") % int(step))
        .group_by("metric", "entity", "minute")
        .agg(pl.col("summation").sum(), pl.col("count").sum())
        .with_columns(
            pl.col("metric").replace_strict(reading, return_dtype=pl.Int8).alias("function"),
            pl.col("metric").replace_strict(units or {}, default=1, return_dtype=pl.Int64).alias("unit"),
        )
    )
    summation, count, function, unit = pl.col("summation"), pl.col("count"), pl.col("function"), pl.col("unit")
    value = (
        pl.when(function.is_in([int(Function.COUNT), int(Function.SUM)]))
        .then(_divide(summation, unit))
        .when(function == int(Function.CPM))
        .then(_divide(summation, unit * int(step)))
        .when(function == int(Function.LONG_AVG))
        .then(_divide(summation, count * unit))
        .when(function == int(Function.PERCENT))
        .then(_divide(summation * 10_000, count))
        .when(function == int(Function.APDEX))
        .then(_divide(summation * 5_000, count))
    )
    return (
        merged.select("metric", "entity", "minute", value.cast(pl.Int64).alias("value"))
        .filter(pl.col("value").is_not_null())
        .sort("metric", "entity", "minute")
        .collect()
    )


def _divide(dividend: pl.Expr, divisor: pl.Expr) -> pl.Expr:
    """Whole-number division that rounds toward zero; null where the divisor is 0."""
    return pl.when(divisor != 0).then((dividend.abs() // divisor) * dividend.sign())
