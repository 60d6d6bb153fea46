"""Checks the expression of a rule when it is read, so that no minute finds it wrong.

It is evaluated once over metrics without data, which shows its shape: what does not fit together there never does.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

import numpy as np

from backend.alarms.errors import AlarmError, UnknownMetricAlarmError
from backend.alarms.names import SCOPES
from backend.metrics.reading import LABEL_NAMES
from backend.query.catalog import Catalog, Metric
from backend.query.errors import QueryError
from backend.query.mqe.duration import Duration, Step
from backend.query.mqe.evaluator import evaluate
from backend.query.mqe.parser import parse
from backend.query.mqe.reader import LabelledValues, Top
from backend.query.mqe.results import ResultType
from backend.query.mqe.syntax import (
    COMPARISONS,
    LOGICAL,
    BinaryExpression,
    Expression,
    MetricExpression,
    MqeError,
    TopExpression,
)

_EXAMPLE = "sum(kubernetes_service_http_call_time > 1000) >= 3"


@dataclasses.dataclass(frozen=True, slots=True)
class Checked:
    """An expression that a rule can have."""

    expression: Expression
    metrics: tuple[str, ...]
    """The metrics that it names, each once."""
    scope: str


def check_expression(text: str, period: int, catalog: Catalog) -> Checked:
    """The expression of a rule.

    Args:
        text: what is written.
        period: minutes that it will be about.
        catalog: the metrics that there are.

    Raises:
        UnknownMetricAlarmError: it names a metric that there is not.
        AlarmError: it is no expression, or none that is true or false for one entity.
    """
    try:
        expression = parse(text)
    except MqeError as error:
        raise AlarmError(f"the expression is wrong {error}") from None
    parts = list(_parts(expression))
    for part in parts:
        if isinstance(part, TopExpression):
            raise AlarmError(
                f"the expression has top_n() at {part.position}, which ranks entities: a rule is checked for each "
                "entity by itself, so compare the metric with a number"
            )
    metrics = {part.name: _metric(part, catalog) for part in parts if isinstance(part, MetricExpression)}
    scope = _scope(metrics)
    if not isinstance(expression, BinaryExpression) or expression.operator not in COMPARISONS | LOGICAL:
        raise AlarmError(f"the expression does not end in a comparison: write it as in {_EXAMPLE}")
    probe = Duration(0, period, Step.MINUTE)
    try:
        result = evaluate(expression, _Probe(parts, metrics), probe)
    except MqeError as error:
        raise AlarmError(f"the expression is wrong {error}") from None
    if result.type is not ResultType.SINGLE_VALUE:
        raise AlarmError(
            "the expression compares every minute by itself, so that it gives several answers: make one number of "
            f"them, as in {_EXAMPLE}"
        )
    return Checked(expression, tuple(metrics), scope)


def _parts(expression: Expression) -> Iterator[object]:
    """An expression and everything in it."""
    waiting: list[object] = [expression]
    while waiting:
        part = waiting.pop()
        if isinstance(part, tuple):
            waiting.extend(reversed(part))
        elif dataclasses.is_dataclass(part):
            yield part
            waiting.extend(getattr(part, field.name) for field in reversed(dataclasses.fields(part)))


def _metric(part: MetricExpression, catalog: Catalog) -> Metric:
    try:
        return catalog.metric(part.name)
    except QueryError as unknown:
        reason = f"the expression is wrong at {part.position}: {unknown.error}: {unknown.hint}"
        raise UnknownMetricAlarmError(reason) from None


def _scope(metrics: Mapping[str, Metric]) -> str:
    scopes = {metric.scope: metric.name for metric in metrics.values()}
    if not scopes:
        raise AlarmError(f"the expression names no metric: write it as in {_EXAMPLE}")
    if len(scopes) > 1:
        listed = " and ".join(f"{name} of {scope}" for scope, name in sorted(scopes.items()))
        raise AlarmError(f"the expression has metrics of several scopes, {listed}: a rule is about entities of one")
    (scope,) = scopes
    if scope not in SCOPES:
        raise AlarmError(f"there are no alarms of the scope {scope}: use metrics of {', '.join(SCOPES)}")
    return scope


class _Probe:
    """Metrics of an entity that has no data, with the labels that the expression asks for."""

    def __init__(self, parts: Sequence[object], metrics: Mapping[str, Metric]) -> None:
        self._labels: dict[str, dict[tuple[tuple[str, str], ...], None]] = {}
        for name, metric in metrics.items():
            label = LABEL_NAMES.get(metric.function)
            self._labels[name] = {() if label is None else ((label, ""),): None}
        for part in parts:
            if isinstance(part, MetricExpression):
                label = LABEL_NAMES.get(metrics[part.name].function)
                for condition in part.labels:
                    if condition.name == label:
                        self._labels[part.name] |= {((label, value),): None for value in condition.values}

    def check(self, metric: str) -> None:
        """All of them are there."""

    def read(self, metrics: Sequence[str], duration: Duration) -> Mapping[str, Sequence[LabelledValues]]:
        """No value at all."""
        return {
            name: [LabelledValues(labels, np.full(duration.points, math.nan)) for labels in self._labels[name]]
            for name in metrics
        }

    def top(self, asked: Top, _duration: Duration) -> NoReturn:
        """No rule ranks."""
        raise AssertionError(asked)
