"""Evaluates the expression of a rule for all entities at once: values have a row for each (backend/query/mqe/rows.py).

Where the data of entities give results of different shapes, such as labels that one has and another has not, what
view_as_seq() takes, or an order of series, they are told apart, and each part is evaluated by itself. The standard
rules make two parts at most; the most parts that there can be are one for each entity.
"""

from collections.abc import Iterable
from typing import NoReturn

import numpy as np

from backend.alarms.known_entities import Mask, Numbers
from backend.alarms.readings import NO_ROW, Readings
from backend.query.mqe import syntax
from backend.query.mqe.duration import Duration
from backend.query.mqe.evaluator import evaluate_from, spans
from backend.query.mqe.reader import LabelledValues
from backend.query.mqe.rows import MixedError, agreed
from backend.query.mqe.selection import selected


def holds(expression: syntax.Expression, readings: Readings, entities: Numbers, window: Duration) -> Mask:
    """For which entities an expression is true in a window: any of its numbers is 1. Blocks as the store does.

    Raises:
        MqeError: parts of the expression do not fit together, for any of the entities.
        UnknownMetricReadingError, StorageError: a metric cannot be read.
    """
    for duration, names in spans(expression, window).items():
        readings.load(names, duration)
    held = np.zeros(len(entities), np.bool_)
    waiting = [np.arange(len(entities))] if len(entities) else []
    while waiting:
        members = waiting.pop()
        try:
            result = evaluate_from(_Rows(readings, entities[members]), expression, window)
        except MixedError as mixed:
            waiting.extend(members[part] for part in mixed.parts())
            continue
        for series in result.series:
            held[members] |= (series.values == 1).any(axis=-1)
    return held


class _Rows:
    """Metrics of some entities."""

    def __init__(self, readings: Readings, entities: Numbers) -> None:
        self._readings = readings
        self._entities = entities

    def series(self, metric: syntax.MetricExpression, duration: Duration) -> Iterable[LabelledValues]:
        """As Source.series."""
        found = self._readings.of(metric.name, duration)
        rows = found.rows(self._entities)
        present = list(range(len(found.labels)))
        if found.labelled:
            present = np.flatnonzero(agreed(rows != NO_ROW)).tolist()
        chosen = [present[at] for at in selected([found.labels[at] for at in present], metric)]
        return [LabelledValues(found.labels[at], found.values[rows[at]]) for at in chosen]

    def top(self, asked: syntax.TopExpression, _duration: Duration) -> NoReturn:
        """Expressions of rules are checked not to have top_n()."""
        raise AssertionError(asked)
