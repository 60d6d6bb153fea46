"""Questions for metrics."""

from collections.abc import Mapping

import re2

from backend.oal.functions import LABELLED, Function
from backend.query.errors import QueryError
from backend.query.graphql import shapes
from backend.query.graphql.context import Context
from backend.query.graphql.inputs import SpanText
from backend.query.graphql.questions import Answer
from backend.query.graphql.scopes import CATALOGS
from backend.query.mqe.answer import UNKNOWN, ExpressionResult, execute
from backend.query.mqe.duration import DurationError
from backend.query.mqe.reader import Entity
from backend.query.mqe.storage_reader import StorageReader

MAXIMUM_PATTERN = 1_000
"""Longest regular expression, in characters."""


def metric_type(function: Function) -> str:
    """The type of a metric, which tells clients how it can be read."""
    if function is Function.HISTOGRAM:
        return "HEATMAP"
    return "LABELED_VALUE" if function in LABELLED else "REGULAR_VALUE"


def type_of_metrics(context: Context, *, name: str) -> str:
    """The type of the metric of a name."""
    try:
        return metric_type(context.sources.catalog.metric(name).function)
    except QueryError:
        return "UNKNOWN"


def list_metrics(context: Context, *, regex: str | None = None) -> list[shapes.MetricDefinition]:
    """Metrics whose whole names match a regular expression, or all."""
    catalog = context.sources.catalog
    matches = _matcher(regex) if regex else lambda _: True
    found = [catalog.metric(known.name) for known in catalog.names() if matches(known.name)]
    return [
        shapes.MetricDefinition(metric.name, metric_type(metric.function), CATALOGS[metric.scope]) for metric in found
    ]


def exec_expression(context: Context, *, expression: str, entity: Entity, duration: SpanText) -> ExpressionResult:
    """Answer an expression. What is wrong with it, or with its duration, is in the answer."""
    try:
        buckets = context.duration(duration)
    except DurationError as error:
        return ExpressionResult(UNKNOWN, [], str(error))
    sources = context.sources
    answer = execute(expression, StorageReader(sources.storage, sources.catalog, entity, context.series), buckets)
    context.take(sum(len(series.values) for series in answer.results))
    return answer


def _matcher(pattern: str) -> "re2._Regexp.fullmatch":
    if len(pattern) > MAXIMUM_PATTERN:
        raise QueryError(f"the regular expression is longer than {MAXIMUM_PATTERN:,} characters", "use a shorter one")
    try:
        return re2.compile(pattern).fullmatch
    except re2.error as error:
        raise QueryError(f"{pattern!r} is not a regular expression: {error}", "see RE2's syntax") from None


QUERIES: Mapping[str, Answer] = {
    "typeOfMetrics": type_of_metrics,
    "listMetrics": list_metrics,
    "execExpression": exec_expression,
}
"""By operation."""
