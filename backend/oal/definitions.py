"""Metrics whose names, types and functions are known to be right."""

from collections.abc import Mapping
from dataclasses import dataclass

from backend.entities.resolution import LAYER
from backend.ingest.batch import LogKind
from backend.oal.arguments import Arguments, arguments_of
from backend.oal.attributes import Kind, TypeAttribute
from backend.oal.functions import FUNCTIONS, NEED_VALUE, VALUED, Function
from backend.oal.sources import FOREIGN_SOURCES, SOURCES, Source
from backend.oal.syntax import MetricStatement, OalError, nearest
from backend.oal.values import Condition, Value, condition_of, value_of


@dataclass(frozen=True, slots=True)
class Definition:
    """A metric that can be computed."""

    name: str
    source: Source
    function: Function
    value: Value | None
    """What is aggregated; None when logs are counted."""
    conditions: tuple[Condition, ...]
    """All must hold for a log to count; those of types are in `events`."""
    arguments: Arguments
    events: frozenset[LogKind]
    """The logs that can feed it; empty when its parts are of different ones."""
    statement: MetricStatement

    @property
    def scope(self) -> str:
        """Name of the source."""
        return self.source.name

    @property
    def unit(self) -> int:
        """What its sums are divided by to have the unit of its value."""
        return self.value.unit if self.value is not None and self.function in VALUED else 1

    @property
    def attributes(self) -> Mapping[str, str]:
        """What its decorator adds to each of its rows in Apache SkyWalking, for queries that choose by it."""
        return {} if self.statement.decorator is None else {"attr0": LAYER}


def define(statement: MetricStatement) -> Definition:
    """Check a metric against the sources and the functions.

    Raises:
        OalError: a name is not known, or types do not fit together.
    """
    source = _source(statement)
    function = FUNCTIONS[statement.function.name]
    arguments = arguments_of(function, statement.function, source)
    named = None if statement.value is None else value_of(statement.value, source)
    value = arguments.value or _value(statement, function, named)
    events = set(source.events)
    conditions: list[Condition] = []
    for comparison in statement.filters:
        condition = condition_of(comparison, source)
        if isinstance(condition.value.attribute, TypeAttribute):
            events = {kind for kind in events & condition.value.events if condition.is_met_by_type(kind)}
        else:
            conditions.append(condition)
            events &= condition.value.events
    for read in (named, *arguments.values):
        # A type in an argument is asked of the logs that are there: it chooses none.
        if read is not None and (read is named or not isinstance(read.attribute, TypeAttribute)):
            events &= read.events
    return Definition(
        statement.name, source, function, value, tuple(conditions), arguments, frozenset(events), statement
    )


def _source(statement: MetricStatement) -> Source:
    source = SOURCES.get(statement.source)
    if source is None:
        if statement.source in FOREIGN_SOURCES:
            raise OalError(
                statement.position,
                f"the source {statement.source!r} is of Apache SkyWalking's other receivers: no access log feeds it",
                unsupported=True,
            )
        raise OalError(
            statement.position, f"there is no source {statement.source!r}: {nearest(statement.source, SOURCES)}"
        )
    if statement.decorator is not None and statement.decorator not in source.decorators:
        known = ", ".join(sorted(source.decorators)) or "none"
        raise OalError(statement.position, f"{source.name} has no decorator {statement.decorator!r}: it has {known}")
    return source


def _value(statement: MetricStatement, function: Function, named: Value | None) -> Value | None:
    if function not in NEED_VALUE:
        return None
    if named is None or statement.value is None:
        raise OalError(
            statement.position,
            f"{statement.function.name}() needs a value: write from({statement.source}.VALUE)",
        )
    if named.kind is not Kind.INTEGER:
        cast = f"; cast it: from((str->long){statement.source}.{named.path})" if named.kind is Kind.STRING else ""
        raise OalError(statement.value.position, f"{named.path} is {named.kind.value}: it cannot be added up{cast}")
    return named
