"""Evaluates the expression of a rule for all entities at once, as backend/query/mqe/evaluator.py does it for one.

Results are those of expressions, but that the values of each series have a row for each entity. A result has one shape
for all its entities: which series, how many values. Where the data of entities give shapes that differ (labels that
one has and another has not, what view_as_seq() takes, an order of series) the entities are told apart by it, and each
part is evaluated by itself. The standard rules make two parts at most; the most parts that there can be are one for
each entity.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from backend.alarms.known_entities import Mask, Numbers
from backend.alarms.readings import NO_ROW, Readings
from backend.alarms.summing import totals
from backend.query.mqe import functions, syntax
from backend.query.mqe.duration import Duration
from backend.query.mqe.needs import baseline_spans, needs, trend_span
from backend.query.mqe.operators import combine
from backend.query.mqe.results import Result, ResultType, Series, Values, finite
from backend.query.mqe.selection import selected

_SELECTS = frozenset({syntax.Aggregation.LATEST, syntax.Aggregation.MAX, syntax.Aggregation.MIN})
"""Aggregations that give one of the values, and so whether it says true or false."""


def holds(expression: syntax.Expression, readings: Readings, entities: Numbers, window: Duration) -> Mask:
    """For which entities an expression is true in a window: any of its numbers is 1. Blocks as the store does.

    Raises:
        MqeError: parts of the expression do not fit together, for any of the entities.
        UnknownMetricReadingError, StorageError: a metric cannot be read.
    """
    wanted: dict[Duration, list[str]] = {}
    for name, duration in dict.fromkeys(needs(expression, window)):
        wanted.setdefault(duration, []).append(name)
    for duration, names in wanted.items():
        readings.load(names, duration)
    held = np.zeros(len(entities), np.bool_)
    waiting = [np.arange(len(entities))] if len(entities) else []
    while waiting:
        members = waiting.pop()
        try:
            result = _Evaluator(readings, entities[members], window).result(expression)
        except _MixedError as mixed:
            waiting.extend(members[part] for part in mixed.parts())
            continue
        for series in result.series:
            held[members] |= (series.values == 1).any(axis=-1)
    return held


class _MixedError(Exception):
    """The entities give shapes that differ.

    Args:
        shapes: A number for each entity; those with the same have the same shape.
    """

    def __init__(self, shapes: NDArray[np.int64]) -> None:
        super().__init__()
        self._shapes = shapes

    def parts(self) -> Iterator[NDArray[np.int64]]:
        """The places of the entities of each shape."""
        order = np.argsort(self._shapes, kind="stable")
        ordered = self._shapes[order]
        yield from np.split(order, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1)


def _only(columns: NDArray[np.generic]) -> NDArray[np.generic]:
    """The column that all of an array's are: one for each entity. Raises _MixedError when they differ."""
    first = columns[:, 0]
    if not (columns == first[:, np.newaxis]).all():
        _, shapes = np.unique(columns, axis=1, return_inverse=True)
        raise _MixedError(shapes.reshape(-1))
    return first


class _Evaluator:
    """One evaluation, for one or more entities. Methods raise _MixedError where these have to be told apart."""

    def __init__(self, readings: Readings, entities: Numbers, duration: Duration) -> None:
        self._readings = readings
        self._entities = entities
        self._duration = duration

    def result(self, expression: syntax.Expression) -> Result:  # noqa: C901, PLR0911, PLR0912 - one case per kind of expression
        """What an expression gives."""
        match expression:
            case syntax.ScalarExpression(value):
                return self._single(value)
            case syntax.MetricExpression():
                return self._of_buckets(self._read(expression, self._duration))
            case syntax.BinaryExpression(operator, left, right, position):
                return combine(operator, self.result(left), self.result(right), position)
            case syntax.AggregationExpression(aggregation, operand, position):
                return _aggregate(self.result(operand), aggregation, position)
            case syntax.MathematicsExpression(function, operand):
                return functions.calculate(self.result(operand), function)
            case syntax.RoundExpression(operand, places):
                return functions.round_values(self.result(operand), places)
            case syntax.TrendExpression():
                return self._trend(expression)
            case syntax.ChoiceExpression():
                return self._choice(expression)
            case syntax.RelabelExpression(operand):
                return functions.relabel(self.result(operand), expression)
            case syntax.AggregateLabelsExpression(operand):
                return functions.aggregate_labels(self.result(operand), expression)
            case syntax.SortValuesExpression(operand):
                return _sort_values(self.result(operand), expression)
            case syntax.SortLabelValuesExpression(operand):
                return functions.sort_label_values(self.result(operand), expression)
            case syntax.BaselineExpression():
                return self._baseline(expression)
            case _:
                # Expressions of rules are checked not to have top_n().
                raise AssertionError(expression)

    def _single(self, value: float, *, truth: bool = False) -> Result:
        values = np.full((len(self._entities), 1), value)
        return Result(ResultType.SINGLE_VALUE, (Series((), values, (None,)),), truth)

    def _of_buckets(self, series: list[tuple[syntax.Labels, Values]]) -> Result:
        buckets = self._duration.buckets
        return Result(
            ResultType.TIME_SERIES_VALUES, tuple(Series(labels, values, buckets) for labels, values in series)
        )

    def _read(self, metric: syntax.MetricExpression, duration: Duration) -> list[tuple[syntax.Labels, Values]]:
        """The series that have the labels asked for, in the order that their values are asked for in."""
        found = self._readings.of(metric.name, duration)
        rows = found.rows(self._entities)
        present = list(range(len(found.labels)))
        if found.labelled:
            present = np.flatnonzero(_only(rows != NO_ROW)).tolist()
        labels = [found.labels[at] for at in present]
        chosen = [present[at] for at in selected(labels, metric)]
        return [(found.labels[at], found.values[rows[at]]) for at in chosen]

    def _trend(self, expression: syntax.TrendExpression) -> Result:
        look_back = expression.range
        seconds = look_back * self._duration.step.value if expression.trend is syntax.Trend.RATE else 1
        with np.errstate(over="ignore"):
            return self._of_buckets(
                [
                    (labels, finite((values[:, look_back:] - values[:, :-look_back]) / seconds))
                    for labels, values in self._read(expression.metric, trend_span(expression, self._duration))
                ]
            )

    def _choice(self, expression: syntax.ChoiceExpression) -> Result:
        first: Result | None = None
        for operand in expression.operands:
            result = self.result(operand)
            present = np.zeros((1, len(self._entities)), np.bool_)
            for series in result.series:
                present[0] |= np.isfinite(series.values).any(axis=-1)
            if _only(present)[0]:
                return result if expression.choice is syntax.Choice.VIEW_AS_SEQ else self._single(1, truth=True)
            first = first or result
        if expression.choice is syntax.Choice.IS_PRESENT:
            return self._single(0, truth=True)
        return first or self._single(math.nan)

    def _baseline(self, expression: syntax.BaselineExpression) -> Result:
        """What the same time of the cycles before makes likely."""
        before: dict[syntax.Labels, list[Values]] = {}
        for span in baseline_spans(self._duration):
            for labels, values in self._read(expression.metric, span):
                before.setdefault(labels, []).append(values)
        return self._of_buckets(
            [
                (labels, functions.predict(np.stack(several), expression.prediction))
                for labels, several in before.items()
            ]
        )


def _aggregate(result: Result, aggregation: syntax.Aggregation, position: syntax.Position) -> Result:
    if aggregation is syntax.Aggregation.LATEST and result.type is not ResultType.TIME_SERIES_VALUES:
        raise syntax.MqeError(position, "latest() takes values over time: a metric, or what is calculated of one")
    series = tuple(Series(one.labels, _aggregated(one.values, aggregation), (None,)) for one in result.series)
    return Result(ResultType.SINGLE_VALUE, series, truth=result.truth and aggregation in _SELECTS)


def _aggregated(values: Values, aggregation: syntax.Aggregation) -> Values:
    """One number of each row, from the values that it has."""
    present = np.isfinite(values)
    count: Values = present.sum(axis=-1, keepdims=True).astype(np.float64)
    match aggregation:
        case syntax.Aggregation.COUNT:
            return count
        case syntax.Aggregation.LATEST:
            last = values.shape[-1] - 1 - present[:, ::-1].argmax(axis=-1)
            found = np.take_along_axis(values, last[:, np.newaxis], axis=-1)
        case syntax.Aggregation.MAX:
            found = np.where(present, values, -np.inf).max(axis=-1, keepdims=True)
        case syntax.Aggregation.MIN:
            found = np.where(present, values, np.inf).min(axis=-1, keepdims=True)
        case syntax.Aggregation.SUM | syntax.Aggregation.AVG:
            found = totals(np.where(present, values, 0.0))[:, np.newaxis]
            if aggregation is syntax.Aggregation.AVG:
                with np.errstate(all="ignore"):
                    found /= count
    return np.where(count > 0, found, np.nan)


def _sort_values(result: Result, asked: syntax.SortValuesExpression) -> Result:
    if asked.aggregation is not None:
        if not result.series:
            return result
        sizes = np.stack([_aggregated(one.values, asked.aggregation)[:, 0] for one in result.series])
        order = _only(_order(sizes, asked.order, axis=0)[: asked.limit])
        return Result(result.type, tuple(result.series[at] for at in order), truth=result.truth)
    if result.type is ResultType.SINGLE_VALUE:
        return result
    series = []
    for one in result.series:
        # What an entity has fewer of is no value at the end.
        values = np.take_along_axis(one.values, _order(one.values, asked.order, axis=-1), axis=-1)[:, : asked.limit]
        series.append(Series(one.labels, values, (None,) * values.shape[-1]))
    return Result(result.type, tuple(series), truth=result.truth)


def _order(values: Values, order: syntax.Order, *, axis: int) -> NDArray[np.int64]:
    """Places in order of the values: equal ones stay in theirs, and what is no value comes last."""
    return np.argsort(values if order is syntax.Order.ASCENDING else -values, axis=axis, kind="stable")
