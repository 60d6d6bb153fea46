"""Minutes, the steps that are made of them, and what stored values mean at each step.

Days and hours are those of UTC. A minute is a whole number: minutes since 1970-01-01.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

import polars as pl

from backend.oal.functions import Function

_TOTALS = (Function.COUNT, Function.SUM, Function.LABEL_COUNT, Function.HISTOGRAM)
"""Functions whose value is what was added up."""


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


@dataclass(frozen=True, slots=True)
class Compatibility:
    """Where values are to be read as Apache SkyWalking reads them, though they are not what their names say."""

    cpm_totals: bool = False
    """Give the total of the step for metrics that are sums but are named "..._cpm". Otherwise they are read as their
    name says, per minute. At the minute step both are the same."""
    empty_rates_are_zero: bool = False
    """Give 0 for a rate to nothing. Otherwise it has no value."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How the stored values of a metric are read."""

    function: Function
    unit: int = 1
    """What sums are divided by to have the unit of the value (Definition.unit)."""
    step: int = 0
    """Width of a step of a histogram."""
    steps: int = 0
    """Steps of a histogram below its last."""


def added(points: pl.LazyFrame, rules: Mapping[str, Rule], step: Step, compatibility: Compatibility) -> pl.LazyFrame:
    """What stored points mean at a step, for functions that add up and need no more than their own row.

    Args:
        points: columns of MetricSchema; any number of rows for one metric, label, entity and minute.
        rules: by metric name; points of other metrics are left out.
        step: the step to merge to.
        compatibility: what to read as upstream does.

    Returns:
        metric, label, entity, minute, whole and decimal: one row per metric, label, entity and step that has data, in
        no order. `whole` is null for functions with fractions, and `decimal` for all others; both are null for
        functions that are not read so, and for means of nothing.
    """
    reading = {name: int(_as_read(name, rule.function, compatibility)) for name, rule in rules.items()}
    merged = (
        points.filter(pl.col("metric").is_in(list(reading)))
        .with_columns(pl.col("minute") - pl.col("minute") % int(step))
        .group_by("metric", "label", "entity", "minute")
        .agg(pl.col("summation").sum(), pl.col("count").sum())
        .with_columns(
            pl.col("metric").replace_strict(reading, return_dtype=pl.Int8).alias("function"),
            pl.col("metric")
            .replace_strict({name: rule.unit for name, rule in rules.items()}, return_dtype=pl.Int64)
            .alias("unit"),
        )
    )
    function, unit = pl.col("function"), pl.col("unit")
    whole = pl.coalesce(
        pl.lit(None, pl.Int64),
        *(
            pl.when(function == code).then(_whole(Function(code), unit, step, compatibility))
            for code in sorted(set(reading.values()) - {int(Function.DOUBLE_AVG)})
        ),
    )
    decimal = pl.when(function == int(Function.DOUBLE_AVG)).then(_decimal(unit))
    return merged.select(
        "metric", "label", "entity", "minute", whole.cast(pl.Int64).alias("whole"), decimal.alias("decimal")
    )


def value_of_sums(name: str, rule: Rule, step: Step, compatibility: Compatibility) -> pl.Expr:
    """What `summation` and `count` of one metric mean at a step, as added() says; null for no value."""
    function, unit = _as_read(name, rule.function, compatibility), pl.lit(rule.unit, pl.Int64)
    if function is Function.DOUBLE_AVG:
        return _decimal(unit)
    return _whole(function, unit, step, compatibility).cast(pl.Float64)


def _whole(function: Function, unit: pl.Expr, step: Step, compatibility: Compatibility) -> pl.Expr:
    summation, count = pl.col("summation"), pl.col("count")
    whole = pl.lit(None, pl.Int64)
    match function:
        case _ if function in _TOTALS:
            whole = divided(summation, unit)
        case Function.CPM:
            whole = divided(summation, unit * int(step))
        case Function.LONG_AVG:
            whole = divided(summation, count * unit)
        case Function.LABEL_AVG:
            # Upstream has 1 for a mean between 0 and 1, so that a label with values does not look like one without.
            mean = divided(summation, count * unit)
            whole = pl.when((mean == 0) & (summation > 0)).then(1).otherwise(mean)
        case Function.PERCENT:
            whole = divided(summation * 10_000, count)
        case Function.RATE:
            rate = divided(summation * 10_000, count)
            whole = rate.fill_null(0) if compatibility.empty_rates_are_zero else rate
        case Function.APDEX:
            whole = divided(summation * 5_000, count)
    return whole


def _decimal(unit: pl.Expr) -> pl.Expr:
    count = pl.col("count")
    return pl.when(count != 0).then(pl.col("summation") / (count * unit))


def _as_read(name: str, function: Function, compatibility: Compatibility) -> Function:
    is_rate = function is Function.SUM and name.endswith("_cpm") and not compatibility.cpm_totals
    return Function.CPM if is_rate else function


def divided(dividend: pl.Expr, divisor: pl.Expr) -> pl.Expr:
    """Whole-number division that rounds toward zero; null where the divisor is 0."""
    return pl.when(divisor != 0).then((dividend.abs() // divisor) * dividend.sign())
