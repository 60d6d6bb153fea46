"""Evaluates expressions: for the entity that a question is about, or for many at once (rows.py)."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np

from backend.query.mqe import functions, syntax
from backend.query.mqe.duration import Duration
from backend.query.mqe.needs import baseline_spans, needs, trend_span
from backend.query.mqe.operators import combine
from backend.query.mqe.reader import LabelledValues, MetricReader, ReadingError, Top, UnknownMetricReadingError
from backend.query.mqe.results import Point, Result, ResultType, Series, finite, single
from backend.query.mqe.selection import selected


class Source(Protocol):
    """Where values come from. Each may raise MqeError."""

    def series(self, metric: syntax.MetricExpression, duration: Duration) -> Iterable[LabelledValues]:
        """The series that have the labels asked for, in the order that their values are asked for in."""
        ...

    def top(self, asked: syntax.TopExpression, duration: Duration) -> Series:
        """What top_n() gives."""
        ...


def evaluate(expression: syntax.Expression, reader: MetricReader, duration: Duration) -> Result:
    """What an expression gives for a span of time. Blocks as the reader does.

    Raises:
        MqeError: a metric is not known or cannot be read, or parts of the expression do not fit together.
    """
    source = _Read(reader)
    for span, names in spans(expression, duration).items():
        source.load(names, span)
    return evaluate_from(source, expression, duration)


def evaluate_from(source: Source, expression: syntax.Expression, duration: Duration) -> Result:
    """What an expression gives for a span of time.

    Raises:
        MqeError: parts of the expression do not fit together.
        MixedError: the values are of several entities, for which results have different shapes.
    """
    return _Evaluator(source, duration).result(expression)


def spans(expression: syntax.Expression, duration: Duration) -> Mapping[Duration, Sequence[str]]:
    """The metrics that an expression reads of the entity asked about, each once, by the span that it reads them for."""
    wanted: dict[Duration, list[str]] = {}
    for name, span in dict.fromkeys(needs(expression, duration)):
        wanted.setdefault(span, []).append(name)
    return wanted


class _Read:
    """What a reader gives: what was read once is not read again."""

    def __init__(self, reader: MetricReader) -> None:
        self._reader = reader
        self._known: dict[tuple[str, Duration], Sequence[LabelledValues]] = {}

    def load(self, names: Sequence[str], duration: Duration) -> None:
        """Read all at once, for each question to the store takes its time. What is wrong is told at its place."""
        known = [name for name in names if self._exists(name)]
        if len(known) > 1:
            with contextlib.suppress(ReadingError):
                read = self._reader.read(known, duration)
                self._known |= {(name, duration): series for name, series in read.items()}

    def series(self, metric: syntax.MetricExpression, duration: Duration) -> Iterable[LabelledValues]:
        """As Source.series."""
        key = (metric.name, duration)
        if key not in self._known:
            try:
                self._reader.check(metric.name)
                self._known[key] = self._reader.read([metric.name], duration)[metric.name]
            except ReadingError as error:
                raise _placed(error, metric) from None
        known = self._known[key]
        return [known[at] for at in selected([one.labels for one in known], metric)]

    def top(self, asked: syntax.TopExpression, duration: Duration) -> Series:
        """As Source.top."""
        metric = asked.metric
        top = Top(metric.name, metric.labels, asked.limit, asked.order, asked.conditions)
        try:
            self._reader.check(metric.name)
            found = self._reader.top(top, duration)
        except ReadingError as error:
            raise _placed(error, metric) from None
        values = np.array([value for _, value in found], dtype=np.float64)
        return Series((), values, tuple(owner for owner, _ in found))

    def _exists(self, name: str) -> bool:
        try:
            self._reader.check(name)
        except UnknownMetricReadingError:
            return False
        return True


class _Evaluator:
    """One evaluation."""

    def __init__(self, source: Source, duration: Duration) -> None:
        self._source = source
        self._duration = duration

    def result(self, expression: syntax.Expression) -> Result:  # noqa: C901, PLR0911, PLR0912 - one case per kind of expression
        """What an expression gives."""
        match expression:
            case syntax.ScalarExpression(value):
                return single(value)
            case syntax.MetricExpression():
                return self._over_time(self._source.series(expression, self._duration))
            case syntax.BinaryExpression(operator, left, right, position):
                return combine(operator, self.result(left), self.result(right), position)
            case syntax.AggregationExpression(aggregation, operand, position):
                return functions.aggregate(self.result(operand), aggregation, position)
            case syntax.MathematicsExpression(function, operand):
                return functions.calculate(self.result(operand), function)
            case syntax.RoundExpression(operand, places):
                return functions.round_values(self.result(operand), places)
            case syntax.TrendExpression():
                return self._trend(expression)
            case syntax.ChoiceExpression():
                return self._choice(expression)
            case syntax.TopExpression():
                return Result(ResultType.SORTED_LIST, (self._source.top(expression, self._duration),))
            case syntax.TopOfExpression():
                return self._top_of(expression)
            case syntax.RelabelExpression(operand):
                return functions.relabel(self.result(operand), expression)
            case syntax.AggregateLabelsExpression(operand):
                return functions.aggregate_labels(self.result(operand), expression)
            case syntax.SortValuesExpression(operand):
                return functions.sort_values(self.result(operand), expression)
            case syntax.SortLabelValuesExpression(operand):
                return functions.sort_label_values(self.result(operand), expression)
            case syntax.BaselineExpression():
                return self._baseline(expression)

    def _over_time(self, series: Iterable[LabelledValues]) -> Result:
        points = self._duration.buckets
        return Result(ResultType.TIME_SERIES_VALUES, tuple(Series(one.labels, one.values, points) for one in series))

    def _trend(self, expression: syntax.TrendExpression) -> Result:
        look_back = expression.range
        seconds = look_back * self._duration.step.value if expression.trend is syntax.Trend.RATE else 1
        found = self._source.series(expression.metric, trend_span(expression, self._duration))
        with np.errstate(over="ignore"):
            return self._over_time(
                LabelledValues(
                    one.labels, finite((one.values[..., look_back:] - one.values[..., :-look_back]) / seconds)
                )
                for one in found
            )

    def _choice(self, expression: syntax.ChoiceExpression) -> Result:
        first: Result | None = None
        unknown: syntax.UnknownMetricError | None = None
        for operand in expression.operands:
            try:
                result = self.result(operand)
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

    def _top_of(self, expression: syntax.TopOfExpression) -> Result:
        lists = [self._source.top(operand, self._duration) for operand in expression.operands]
        points: tuple[Point, ...] = tuple(point for series in lists for point in series.points)
        together = Series((), np.concatenate([series.values for series in lists]), points)
        return Result(ResultType.SORTED_LIST, (functions.ordered(together, expression.order, expression.limit),))

    def _baseline(self, expression: syntax.BaselineExpression) -> Result:
        """What the same time of the cycles before makes likely."""
        before: dict[syntax.Labels, list[LabelledValues]] = {}
        for span in baseline_spans(self._duration):
            for one in self._source.series(expression.metric, span):
                before.setdefault(one.labels, []).append(one)
        return self._over_time(
            LabelledValues(labels, functions.predict(np.stack([one.values for one in several]), expression.prediction))
            for labels, several in before.items()
        )


def _placed(error: ReadingError, metric: syntax.MetricExpression) -> syntax.MqeError:
    kind = syntax.UnknownMetricError if isinstance(error, UnknownMetricReadingError) else syntax.MqeError
    return kind(metric.position, str(error))
