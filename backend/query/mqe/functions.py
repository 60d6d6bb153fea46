"""What is done with one result."""

import math
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.query.mqe.results import Point, Result, ResultType, Series, Values, finite
from backend.query.mqe.rows import agreed
from backend.query.mqe.summing import totals
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
        values, at = _aggregated(one.values, aggregation)
        # Of several entities each has it at another place.
        point = one.points[at.item()] if at is not None and at.ndim == 0 and np.isfinite(values[0]) else None
        series.append(Series(one.labels, values, (point,)))
    return Result(ResultType.SINGLE_VALUE, tuple(series), truth=result.truth and aggregation in _SELECTS)


def _aggregated(values: Values, aggregation: Aggregation) -> tuple[Values, NDArray[np.intp] | None]:
    """One number of each row, from the values that it has, and where in the row it is, when it is one of them."""
    if not values.shape[-1]:
        values = np.full((*values.shape[:-1], 1), math.nan)
    present = np.isfinite(values)
    count: Values = present.sum(axis=-1, keepdims=True).astype(np.float64)
    at: NDArray[np.intp]
    match aggregation:
        case Aggregation.COUNT:
            return count, None
        case Aggregation.SUM | Aggregation.AVG:
            found = totals(np.where(present, values, 0.0))[..., np.newaxis]
            if aggregation is Aggregation.AVG:
                found = found / np.maximum(count, 1)
            return np.where(count > 0, found, math.nan), None
        case Aggregation.LATEST:
            at = values.shape[-1] - 1 - present[..., ::-1].argmax(axis=-1)
        # Of equal values the first is taken.
        case Aggregation.MAX:
            at = np.where(present, values, -np.inf).argmax(axis=-1)
        case Aggregation.MIN:
            at = np.where(present, values, np.inf).argmin(axis=-1)
    return _taken(values, at[..., np.newaxis]), at


def _taken(values: Values, places: NDArray[np.intp]) -> Values:
    """The values at some places of each row."""
    # Of one row, the other way takes longer than what is aggregated.
    return values[places] if values.ndim == 1 else np.take_along_axis(values, places, axis=-1)


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
    """The values of each series in order, without those that are absent; or the series in order of an aggregation.

    Raises:
        MixedError: entities have their series in different orders.
    """
    if asked.aggregation is not None:
        if not result.series:
            return result
        sizes = np.stack([_aggregated(one.values, asked.aggregation)[0][..., 0] for one in result.series])
        order = agreed(_places(sizes, asked.order, axis=0)[: asked.limit])
        return Result(result.type, tuple(result.series[at] for at in order), truth=result.truth)
    if result.type is ResultType.SINGLE_VALUE:
        return result
    return Result(
        result.type, tuple(ordered(one, asked.order, asked.limit) for one in result.series), truth=result.truth
    )


def ordered(series: Series, order: Order, limit: int | None) -> Series:
    """The first values of a series in an order; equal ones stay in theirs, and absent ones are left out.

    Of several entities, what one has fewer of than another is absent at the end.
    """
    places = _places(series.values, order, axis=-1)[..., :limit]
    points: tuple[Point, ...] = (None,) * places.shape[-1]
    if places.ndim == 1:
        places = places[: np.isfinite(series.values).sum()]
        points = tuple(series.points[at] for at in places)
    return Series(series.labels, _taken(series.values, places), points)


def _places(values: Values, order: Order, *, axis: int) -> NDArray[np.intp]:
    """Places in order of the values: equal ones stay in theirs, and what is no value comes last in either order."""
    return np.argsort(values if order is Order.ASCENDING else -values, axis=axis, kind="stable")


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
