"""Answers metrics query expressions over HTTP."""

from backend.query import shapes
from backend.query.catalog import Catalog
from backend.query.errors import QueryError
from backend.query.mqe.answer import ExpressionResult, shape
from backend.query.mqe.duration import Duration, DurationError, Step, between, parse_offset
from backend.query.mqe.evaluator import evaluate
from backend.query.mqe.parser import parse
from backend.query.mqe.reader import Entity
from backend.query.mqe.shared_series import Asked, SharedSeries
from backend.query.mqe.storage_reader import StorageReader
from backend.query.mqe.syntax import MqeError
from backend.query.parameters import Parameters
from backend.query.times import format_minute
from backend.storage.interface import Storage

NAMES = {
    "service": "service",
    "instance": "instance",
    "endpoint": "endpoint",
    "to": "destination_service",
    "to-instance": "destination_instance",
    "to-endpoint": "destination_endpoint",
}
"""Parameters that name the entity, and what they name."""
EXPRESSION = ("expression", *NAMES, "step", "zone")
"""Parameters of the question, besides the span."""


class Expression(shapes.Shape):
    """Answer of /api/expression."""

    start: str
    """Beginning of the first bucket."""
    end: str
    """Beginning of the last bucket."""
    step: str
    zone: str
    """Offset from UTC, such as "+0200": whose hours and days the buckets are."""
    incomplete_from: str | None
    """Beginning of the last bucket when it is not over yet."""
    result: ExpressionResult


def expression(storage: Storage, catalog: Catalog, asked: Parameters, series: SharedSeries | None = None) -> Expression:
    """What an expression gives for an entity, or for all. Blocks.

    Args:
        storage: what is asked.
        catalog: the metrics.
        asked: the question.
        series: what is read for others too; it is read for this one alone when there is none.

    Raises:
        QueryError: the expression is wrong, or the span is.
    """
    what = read(asked)
    duration = what.duration
    try:
        result = evaluate(parse(what.expression), StorageReader(storage, catalog, what.entity, series), duration)
    except MqeError as wrong:
        raise QueryError(f"the expression is wrong at {wrong.position}", wrong.reason) from None
    last = duration.buckets[-1]
    return Expression(
        start=format_minute(duration.first // 60),
        end=format_minute(last // 60),
        step=duration.step.name.lower(),
        zone=_zone(asked),
        incomplete_from=format_minute(last // 60) if last + duration.step.value > asked.now else None,
        result=shape(result),
    )


def read(asked: Parameters) -> Asked:
    """The expression that is asked for. Raises QueryError."""
    text = asked.one("expression")
    names = {field: asked.optional(name) for name, field in NAMES.items()}
    return Asked(text, Entity(**names), _duration(asked))  # type: ignore[arg-type] # its fields that are names


def _zone(asked: Parameters) -> str:
    return asked.optional("zone") or "+0000"


def _duration(asked: Parameters) -> Duration:
    window = asked.window()
    step = Step[asked.step(window).name]
    try:
        return between(window.first * 60, window.last * 60, step, parse_offset(_zone(asked)))
    except DurationError as wrong:
        raise QueryError("the span cannot be asked for", str(wrong)) from None
