"""The answer to an expression, in the shape of SkyWalking's GraphQL operation `execExpression`.

Field names are those of its type ExpressionResult, so that they are written as they are here.
"""

import math
from collections.abc import Sequence

import msgspec

from backend.query.mqe.duration import Duration
from backend.query.mqe.evaluator import evaluate
from backend.query.mqe.parser import parse
from backend.query.mqe.reader import MetricReader
from backend.query.mqe.results import Owner, Point, Result, Series
from backend.query.mqe.syntax import MqeError

UNKNOWN = "UNKNOWN"
"""Type of an answer that is an error."""


class KeyValue(msgspec.Struct):
    """A label."""

    key: str
    value: str


class Metadata(msgspec.Struct):
    """What a series is told apart by."""

    labels: list[KeyValue]


class OwnerOfValue(msgspec.Struct):
    """The entity of a number of top_n()."""

    scope: str
    serviceID: str  # noqa: N815 - SkyWalking's names, here and below
    serviceName: str  # noqa: N815
    normal: bool
    serviceInstanceID: str | None = None  # noqa: N815
    serviceInstanceName: str | None = None  # noqa: N815
    endpointID: str | None = None  # noqa: N815
    endpointName: str | None = None  # noqa: N815


class Value(msgspec.Struct):
    """A number."""

    id: str | None
    """Start of the bucket in milliseconds since 1970-01-01 UTC, or the name of the entity."""
    value: str | None
    """At most three decimal places; None without data."""
    owner: OwnerOfValue | None = None
    traceID: str | None = None  # noqa: N815 - SkyWalking's name; no metric here has samples


class Values(msgspec.Struct):
    """A series."""

    metric: Metadata
    values: list[Value]


class ExpressionResult(msgspec.Struct):
    """The answer; `error` says why there is none."""

    type: str
    results: list[Values]
    error: str | None = None


def execute(text: str, reader: MetricReader, duration: Duration) -> ExpressionResult:
    """Answer an expression. What is wrong with it is in the answer; other errors of the reader are raised. Blocks."""
    try:
        result = evaluate(parse(text), reader, duration)
    except MqeError as error:
        return ExpressionResult(UNKNOWN, [], str(error))
    return shape(result)


def shape(result: Result) -> ExpressionResult:
    """A result as the answer shows it."""
    return ExpressionResult(result.type.value, [_values(series) for series in result.series])


def _values(series: Series) -> Values:
    labels = [KeyValue(key, value) for key, value in series.labels]
    texts = format_values(series.values.tolist())
    return Values(Metadata(labels), [_value(text, point) for text, point in zip(texts, series.points, strict=True)])


def _value(text: str | None, point: Point) -> Value:
    match point:
        case Owner():
            return Value(point.name, text, _owner(point))
        case None:
            return Value(None, text)
        case _:
            return Value(str(point * 1000), text)


def _owner(owner: Owner) -> OwnerOfValue:
    return OwnerOfValue(
        owner.scope,
        owner.service_id,
        owner.service_name,
        owner.normal,
        None if owner.instance_name is None else owner.id,
        owner.instance_name,
        None if owner.endpoint_name is None else owner.id,
        owner.endpoint_name,
    )


def format_values(values: Sequence[float]) -> list[str | None]:
    """Numbers with at most three decimal places, halves to the even digit; NaN is None."""
    return [None if math.isnan(value) else _format(value) for value in values]


def _format(value: float) -> str:
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
