"""Answers expressions from metrics that a reader gives."""

import contextlib
from collections.abc import Sequence

import numpy as np

from backend.query.mqe import functions, syntax
from backend.query.mqe.duration import Duration
from backend.query.mqe.needs import baseline_spans, needs, trend_span
from backend.query.mqe.operators import combine
from backend.query.mqe.reader import LabelledValues, MetricReader, ReadingError, Top, UnknownMetricReadingError
from backend.query.mqe.results import Point, Result, ResultType, Series, finite, single
from backend.query.mqe.selection import selected


def evaluate(expression: syntax.Expression, reader: MetricReader, duration: Duration) -> Result:
    """What an expression gives for a span of time. Blocks as the reader does.

    Raises:
        MqeError: a metric is not known or cannot be read, or parts of the expression do not fit together.
    """
    return _Evaluator(reader, duration).evaluate(expression)


class _Evaluator:
    """One evaluation: what was read once is not read again."""

    def __init__(self, reader: MetricReader, duration: Duration) -> None:
        self._reader = reader
        self._duration = duration
        self._known: dict[tuple[str, Duration], Sequence[LabelledValues]] = {}

    def evaluate(self, expression: syntax.Expression) -> Result:
        """What a whole expression gives."""
        wanted: dict[Duration, list[str]] = {}
        for name, duration in dict.fromkeys(needs(expression, self._duration)):
            wanted.setdefault(duration, []).append(name)
        for duration, names in wanted.items():
            self._read_together(names, duration)
        return self._result(expression)

    def _read_together(self, names: Sequence[str], duration: Duration) -> None:
        """Read all at once, for each question to the store takes its time. What is wrong is told at its place."""
        known = [name for name in names if self._exists(name)]
        if len(known) > 1:
            with contextlib.suppress(ReadingError):
                read = self._reader.read(known, duration)
                self._known |= {(name, duration): series for name, series in read.items()}

    def _exists(self, name: str) -> bool:
        try:
            self._reader.check(name)
        except UnknownMetricReadingError:
            return False
        return True

    def _result(self, expression: syntax.Expression) -> Result:  # noqa: C901, PLR0911, PLR0912 - one case per kind of expression
        match expression:
            case syntax.ScalarExpression(value):
                return single(value)
            case syntax.MetricExpression():
                return self._metric(expression)
            case syntax.BinaryExpression(operator, left, right, position):
                return combine(operator, self._result(left), self._result(right), position)
            case syntax.AggregationExpression(aggregation, operand, position):
                return functions.aggregate(self._result(operand), aggregation, position)
            case syntax.MathematicsExpression(function, operand):
                return functions.calculate(self._result(operand), function)
            case syntax.RoundExpression(operand, places):
                return functions.round_values(self._result(operand), places)
            case syntax.TrendExpression():
                return self._trend(expression)
            case syntax.ChoiceExpression():
                return self._choice(expression)
            case syntax.TopExpression():
                return self._top(expression)
            case syntax.TopOfExpression():
                return self._top_of(expression)
            case syntax.RelabelExpression(operand):
                return functions.relabel(self._result(operand), expression)
            case syntax.AggregateLabelsExpression(operand):
                return functions.aggregate_labels(self._result(operand), expression)
            case syntax.SortValuesExpression(operand):
                return functions.sort_values(self._result(operand), expression)
            case syntax.SortLabelValuesExpression(operand):
                return functions.sort_label_values(self._result(operand), expression)
            case syntax.BaselineExpression():
                return self._baseline(expression)

    def _read(self, metric: syntax.MetricExpression, duration: Duration) -> list[LabelledValues]:
        key = (metric.name, duration)
        if key not in self._known:
            try:
                self._reader.check(metric.name)
                self._known[key] = self._reader.read([metric.name], duration)[metric.name]
            except ReadingError as error:
                raise _placed(error, metric) from None
        known = self._known[key]
        return [known[at] for at in selected([one.labels for one in known], metric)]

    def _metric(self, metric: syntax.MetricExpression) -> Result:
        points = self._duration.buckets
        series = tuple(Series(one.labels, one.values, points) for one in self._read(metric, self._duration))
        return Result(ResultType.TIME_SERIES_VALUES, series)

    def _trend(self, expression: syntax.TrendExpression) -> Result:
        look_back = expression.range
        seconds = look_back * self._duration.step.value if expression.trend is syntax.Trend.RATE else 1
        points = self._duration.buckets
        with np.errstate(over="ignore"):
            series = tuple(
                Series(one.labels, finite((one.values[look_back:] - one.values[:-look_back]) / seconds), points)
                for one in self._read(expression.metric, trend_span(expression, self._duration))
            )
        return Result(ResultType.TIME_SERIES_VALUES, series)

    def _choice(self, expression: syntax.ChoiceExpression) -> Result:
        first: Result | None = None
        unknown: syntax.UnknownMetricError | None = None
        for operand in expression.operands:
            try:
                result = self._result(operand)
            except syntax.UnknownMetricError as error:
                unknown = unknown or error
                continue
            if result.has_values:
                return result if expression.choice is syntax.Choice.VIEW_AS_SEQ else single(1, truth=True)
            first = first or result
        if expression.choice is syntax.Choice.IS_PRESENT:
            return single(0, truth=True)
        if first is None and unknown is not None:
            raise unknown
        return first or single(np.nan)

    def _top(self, expression: syntax.TopExpression) -> Result:
        metric = expression.metric
        asked = Top(metric.name, metric.labels, expression.limit, expression.order, expression.conditions)
        try:
            self._reader.check(metric.name)
            found = self._reader.top(asked, self._duration)
        except ReadingError as error:
            raise _placed(error, metric) from None
        values = np.array([value for _, value in found], dtype=np.float64)
        return Result(ResultType.SORTED_LIST, (Series((), values, tuple(owner for owner, _ in found)),))

    def _top_of(self, expression: syntax.TopOfExpression) -> Result:
        lists = [series for operand in expression.operands for series in self._top(operand).series]
        points: tuple[Point, ...] = tuple(point for series in lists for point in series.points)
        together = Series((), np.concatenate([series.values for series in lists]), points)
        return Result(ResultType.SORTED_LIST, (functions.ordered(together, expression.order, expression.limit),))

    def _baseline(self, expression: syntax.BaselineExpression) -> Result:
        """What the same time of the cycles before makes likely."""
        before: dict[syntax.Labels, list[LabelledValues]] = {}
        for span in baseline_spans(self._duration):
            for one in self._read(expression.metric, span):
                before.setdefault(one.labels, []).append(one)
        series = tuple(
            Series(
                labels,
                functions.predict(np.stack([one.values for one in several]), expression.prediction),
                self._duration.buckets,
            )
            for labels, several in before.items()
        )
        return Result(ResultType.TIME_SERIES_VALUES, series)


def _placed(error: ReadingError, metric: syntax.MetricExpression) -> syntax.MqeError:
    kind = syntax.UnknownMetricError if isinstance(error, UnknownMetricReadingError) else syntax.MqeError
    return kind(metric.position, str(error))
