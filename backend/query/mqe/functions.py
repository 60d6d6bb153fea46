"""What is done with one result."""

import math
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from backend.query.mqe.results import Point, Result, ResultType, Series, Values, finite
from backend.query.mqe.syntax import (
    AggregateLabelsExpression,
    Aggregation,
    Labels,
    Mathematics,
    MqeError,
    Order,
    Position,
    Prediction,
    RelabelExpression,
    SortLabelValuesExpression,
    SortValuesExpression,
)

_SELECTS = frozenset({Aggregation.LATEST, Aggregation.MAX, Aggregation.MIN})
"""Aggregations that give one of the values, and so what it is of and whether it says true or false."""
BASELINE_DEVIATIONS = 2.0
"""How many standard deviations the upper and the lower baseline are from the mean."""
_EXACT = 2.0**52
"""From here on, numbers have no decimal places."""
_DIGITS = re.compile(r"([0-9]+)")


def aggregate(result: Result, aggregation: Aggregation, position: Position) -> Result:
    """Each series as one number, from the values that it has.

    Without any value count is 0 and all others have none.

    Raises:
        MqeError: the latest is asked of what is not over time.
    """
    if aggregation is Aggregation.LATEST and result.type is not ResultType.TIME_SERIES_VALUES:
        raise MqeError(position, "latest() takes values over time: a metric, or what is calculated of one")
    series = []
    for one in result.series:
        value, at = _aggregated(one.values, aggregation)
        series.append(Series(one.labels, np.array([value]), (None if at is None else one.points[at],)))
    return Result(ResultType.SINGLE_VALUE, tuple(series), truth=result.truth and aggregation in _SELECTS)


def _aggregated(values: Values, aggregation: Aggregation) -> tuple[float, int | None]:
    """The number, and which of the values it is, when it is one."""
    (present,) = np.nonzero(np.isfinite(values))
    if aggregation is Aggregation.COUNT:
        return float(len(present)), None
    if not len(present):
        return math.nan, None
    chosen = values[present]
    if aggregation in _SELECTS:
        # Of equal values the first is taken.
        at = {
            Aggregation.LATEST: len(chosen) - 1,
            Aggregation.MAX: int(chosen.argmax()),
            Aggregation.MIN: int(chosen.argmin()),
        }[aggregation]
        return float(chosen[at]), int(present[at])
    try:
        total = math.fsum(chosen)
    except OverflowError:
        return math.nan, None
    return total / len(chosen) if aggregation is Aggregation.AVG else total, None


_MATHEMATICS: Mapping[Mathematics, Callable[[Values], Values]] = {
    Mathematics.ABS: np.abs,
    Mathematics.CEIL: np.ceil,
    Mathematics.FLOOR: np.floor,
}


def calculate(result: Result, function: Mathematics) -> Result:
    """Each number through a function."""
    return _mapped(result, _MATHEMATICS[function])


def round_values(result: Result, places: int) -> Result:
    """Each number rounded to decimal places, halves away from zero, as the number is written in decimal."""
    scale = 10.0**places

    def rounded(values: Values) -> Values:
        with np.errstate(all="ignore"):
            size = np.abs(values)
            below = np.floor(size * scale)
            # The half is written and read as a decimal: 1.005 is one, though its nearest double is less.
            up = size >= (below + 0.5) / scale
            result = np.copysign((below + up) / scale, values)
            return np.where(size * scale < _EXACT, result, values)

    return _mapped(result, rounded)


def _mapped(result: Result, function: Callable[[Values], Values]) -> Result:
    series = tuple(Series(one.labels, finite(function(one.values)), one.points) for one in result.series)
    return Result(result.type, series)


def predict(rows: Values, prediction: Prediction) -> Values:
    """The mean of each column's numbers, or BASELINE_DEVIATIONS standard deviations above or below it."""
    count = np.isfinite(rows).sum(axis=0)
    with np.errstate(all="ignore"):
        values = np.nansum(rows, axis=0) / count
        if prediction is not Prediction.VALUE:
            away = BASELINE_DEVIATIONS * np.sqrt(np.nansum((rows - values) ** 2, axis=0) / count)
            values = values + away if prediction is Prediction.UPPER else values - away
    return finite(values)


def relabel(result: Result, asked: RelabelExpression) -> Result:
    """A label by another name, and its values by others; values that are not named stay.

    Raises:
        MqeError: no series has the label, or two series would be told apart no more.
    """
    known = {name for one in result.series for name, _ in one.labels}
    if result.series and asked.name not in known:
        raise MqeError(asked.position, f"there is no label {asked.name!r} to rename: {_listed(known)}")
    renamed = dict(asked.values)
    seen: set[frozenset[tuple[str, str]]] = set()
    series = []
    for one in result.series:
        labels = tuple(
            (asked.new_name, renamed.get(value, value)) if name == asked.name else (name, value)
            for name, value in one.labels
        )
        if len({name for name, _ in labels}) < len(labels):
            raise MqeError(asked.position, f"a series would have the label {asked.new_name!r} twice")
        if frozenset(labels) in seen:
            raise MqeError(asked.position, f"two series would both be {_shown(labels)}: give them different values")
        seen.add(frozenset(labels))
        series.append(Series(labels, one.values, one.points))
    return Result(result.type, tuple(series), truth=result.truth)


def aggregate_labels(result: Result, asked: AggregateLabelsExpression) -> Result:
    """Series that have the same values of some labels, as one with these labels: number by number.

    Raises:
        MqeError: the result has no labels, or its series are sorted each by itself.
    """
    if not result.labelled:
        raise MqeError(asked.position, "aggregate_labels() takes a result with labels, and this has none")
    if result.type is ResultType.TIME_SERIES_VALUES and not all(one.by_time for one in result.series):
        raise MqeError(asked.position, "the series are sorted: put labels together first, then sort")
    groups: dict[Labels, list[Series]] = {}
    for one in result.series:
        labels = dict(one.labels)
        kept = tuple((name, labels[name]) for name in asked.names if name in labels)
        groups.setdefault(kept, []).append(one)
    series = [Series(labels, _together(group, asked), group[0].points) for labels, group in groups.items()]
    truth = result.truth and asked.aggregation in _SELECTS
    return Result(result.type, tuple(series), truth=truth)


def _together(group: Sequence[Series], asked: AggregateLabelsExpression) -> Values:
    rows = np.stack([one.values for one in group])
    present = np.isfinite(rows)
    count = present.sum(axis=0)
    match asked.aggregation:
        case Aggregation.MAX:
            values = np.where(present, rows, -np.inf).max(axis=0)
        case Aggregation.MIN:
            values = np.where(present, rows, np.inf).min(axis=0)
        case _:
            with np.errstate(all="ignore"):
                values = np.where(present, rows, 0.0).sum(axis=0)
                if asked.aggregation is Aggregation.AVG:
                    values /= count
    return np.where(count > 0, finite(values), np.nan)


def sort_values(result: Result, asked: SortValuesExpression) -> Result:
    """The values of each series in order, without those that are absent; or the series in order of an aggregation."""
    if asked.aggregation is not None:
        aggregation = asked.aggregation
        series = sorted(result.series, key=lambda one: _sortable(_aggregated(one.values, aggregation)[0], asked.order))
        return Result(result.type, tuple(series[: asked.limit]), truth=result.truth)
    if result.type is ResultType.SINGLE_VALUE:
        return result
    return Result(
        result.type, tuple(ordered(one, asked.order, asked.limit) for one in result.series), truth=result.truth
    )


def ordered(series: Series, order: Order, limit: int | None) -> Series:
    """The first values of a series in an order; equal ones stay in theirs, and absent ones are left out."""
    (present,) = np.nonzero(np.isfinite(series.values))
    values = series.values[present]
    chosen = present[np.argsort(values if order is Order.ASCENDING else -values, kind="stable")][:limit]
    points: tuple[Point, ...] = tuple(series.points[at] for at in chosen)
    return Series(series.labels, series.values[chosen], points)


def _sortable(value: float, order: Order) -> tuple[bool, float]:
    # Series without the value come last in either order.
    return math.isnan(value), 0.0 if math.isnan(value) else value if order is Order.ASCENDING else -value


def sort_label_values(result: Result, asked: SortLabelValuesExpression) -> Result:
    """The series in order of their values of some labels; numbers in them count as numbers: p9 is before p10."""

    def key(one: Series) -> tuple[tuple[object, ...], ...]:
        labels = dict(one.labels)
        return tuple(natural(labels.get(name, "")) for name in asked.names)

    series = sorted(result.series, key=key, reverse=asked.order is Order.DESCENDING)
    return Result(result.type, tuple(series), truth=result.truth)


def natural(text: str) -> tuple[object, ...]:
    """A key that orders digits by their number."""
    # Other text is at even places, digits are at odd ones.
    parts = _DIGITS.split(text)
    return tuple(
        (len(part.lstrip("0")), part.lstrip("0"), part) if place % 2 else part for place, part in enumerate(parts)
    )


def _listed(names: set[str]) -> str:
    return f"there is {', '.join(sorted(names))}" if names else "the series have no labels"


def _shown(labels: Labels) -> str:
    return "{" + ", ".join(f"{name}='{value}'" for name, value in labels) + "}"
