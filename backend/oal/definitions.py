"""Metrics whose names, types and functions are known to be right."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from backend.ingest.batch import LogKind
from backend.oal.conditions import matches
from backend.oal.functions import HAVE_ARGUMENTS, NEED_VALUE, SUPPORTED, VALUED, Function
from backend.oal.sources import (
    ENUMERATIONS,
    EVENTS,
    SOURCES,
    Attribute,
    EventAttribute,
    FlowAttribute,
    Kind,
    Source,
    TypeAttribute,
    UnfedAttribute,
)
from backend.oal.syntax import (
    Comparison,
    Enumeration,
    Literal,
    MetricStatement,
    OalError,
    Operand,
    Operator,
    Plain,
    nearest,
)


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison with an attribute that is there."""

    path: str
    attribute: EventAttribute | FlowAttribute
    operator: Operator
    literal: Literal


@dataclass(frozen=True, slots=True)
class Definition:
    """A metric that can be computed."""

    name: str
    source: Source
    function: Function
    value: EventAttribute | None
    """What is aggregated; None when logs are counted."""
    status: EventAttribute | None
    """What apdex() takes for success; None for other functions."""
    conditions: tuple[Condition, ...]
    """All must hold for a log to count."""
    match: Condition | None
    """What percent() counts."""
    events: frozenset[LogKind]
    """The logs that can feed it; empty when nothing feeds it yet."""
    statement: MetricStatement

    @property
    def scope(self) -> str:
        """Name of the source."""
        return self.source.name

    @property
    def unit(self) -> int:
        """What its sums are divided by to have the unit of its value."""
        return self.value.unit if self.value is not None and self.function in VALUED else 1


def define(statement: MetricStatement) -> Definition:
    """Check a metric against the sources and the functions.

    Raises:
        OalError: a name is not known, or types do not fit together.
    """
    source = SOURCES.get(statement.source)
    if source is None:
        raise OalError(
            statement.position, f"there is no source {statement.source!r}: {nearest(statement.source, SOURCES)}"
        )
    if statement.decorator is not None and statement.decorator not in source.decorators:
        known = ", ".join(sorted(source.decorators)) or "none"
        raise OalError(statement.position, f"{source.name} has no decorator {statement.decorator!r}: it has {known}")
    function = _function(statement)
    value = _value(statement, function, source)
    match = _match(statement, function)
    status = _status(statement, function, source)
    events = set(source.events)
    unfed = False
    conditions: list[Condition] = []
    for comparison in (*statement.filters, *((match,) if match else ())):
        attribute = _checked(comparison, source)
        if isinstance(attribute, TypeAttribute):
            if comparison not in statement.filters:
                raise OalError(comparison.position, "percent() of a type is not possible: filter by the type instead")
            events &= _types(comparison, attribute)
            continue
        events &= _events_of(attribute)
        if isinstance(attribute, UnfedAttribute):
            unfed = True
        else:
            conditions.append(Condition(str(comparison.operand), attribute, comparison.operator, comparison.literal))
    for used in (value, status):
        if used is not None:
            events &= _events_of(used)
            unfed |= isinstance(used, UnfedAttribute)
    fed = frozenset[LogKind]() if unfed else frozenset(events)
    counted = conditions.pop() if match and not unfed else None
    return Definition(
        statement.name,
        source,
        function,
        value if isinstance(value, EventAttribute) else None,
        status,
        tuple(conditions),
        counted,
        fed,
        statement,
    )


def _function(statement: MetricStatement) -> Function:
    call = statement.function
    function = SUPPORTED.get(call.name)
    if function is None:
        raise OalError(call.position, f"not supported yet: {call.name}", unsupported=True)
    if function not in HAVE_ARGUMENTS and call.arguments:
        raise OalError(call.position, f"{call.name}() takes no arguments")
    if function is Function.PERCENTILE:
        match call.arguments:
            # The precision that Apache SkyWalking is to keep; buckets here are finer than any that it could keep.
            case (Plain(int() as precision),) if precision > 0 and not isinstance(precision, bool):
                pass
            case _:
                raise OalError(call.position, f"{call.name}() needs its precision: .{call.name}(10)")
    return function


def _value(statement: MetricStatement, function: Function, source: Source) -> Attribute | None:
    operand = statement.value
    needed = function in NEED_VALUE
    if operand is None:
        if needed:
            raise OalError(
                statement.position, f"{statement.function.name}() needs a value: write from({source.name}.VALUE)"
            )
        return None
    attribute = _attribute(operand, source)
    if needed and attribute.kind is not Kind.INTEGER:
        raise OalError(operand.position, f"{operand} is {attribute.kind.value}: it cannot be added up")
    return attribute


def _match(statement: MetricStatement, function: Function) -> Comparison | None:
    if function is not Function.PERCENT:
        return None
    match statement.function.arguments:
        case (Comparison() as comparison,):
            return comparison
        case _:
            raise OalError(
                statement.function.position, "percent() needs one comparison: .percent(connect.success == true)"
            )


def _status(statement: MetricStatement, function: Function, source: Source) -> EventAttribute | None:
    if function is not Function.APDEX:
        return None
    match statement.function.arguments:
        case (Operand() as name, Operand() as success):
            of, status = _attribute(name, source), _attribute(success, source)
            if of.kind is Kind.STRING and status.kind is Kind.BOOLEAN and isinstance(status, EventAttribute):
                return status
        case _:
            pass
    raise OalError(
        statement.function.position,
        "apdex() needs the name of a service and what is success: .apdex(name, protocol.success)",
    )


def _attribute(operand: Operand, source: Source) -> Attribute:
    attribute = source.attributes.get(str(operand))
    if attribute is None:
        raise OalError(
            operand.position, f"{source.name} has no {str(operand)!r}: {nearest(str(operand), source.attributes)}"
        )
    # Numbers are 64 bits wide already, so that (long) and (int) change nothing.
    if operand.cast is not None and (operand.cast.startswith("(str") or attribute.kind is not Kind.INTEGER):
        raise OalError(
            operand.position,
            f"not supported yet: the cast {operand.cast} of {operand}, which is {attribute.kind.value}",
            unsupported=True,
        )
    return attribute


_LITERALS: Mapping[Kind, type] = {
    Kind.INTEGER: int,
    Kind.BOOLEAN: bool,
    Kind.STRING: str,
    Kind.ENUMERATION: Enumeration,
}
_EQUALITY = {Operator.EQUAL, Operator.NOT_EQUAL}
_OPERATORS: Mapping[Kind, set[Operator]] = {
    Kind.INTEGER: {
        *_EQUALITY,
        Operator.GREATER,
        Operator.LESS,
        Operator.AT_LEAST,
        Operator.AT_MOST,
        Operator.IN,
    },
    Kind.BOOLEAN: _EQUALITY,
    Kind.STRING: {*_EQUALITY, Operator.LIKE, Operator.IN},
    Kind.ENUMERATION: {*_EQUALITY, Operator.IN},
}


def _checked(comparison: Comparison, source: Source) -> Attribute:
    operand, operator = comparison.operand, comparison.operator
    attribute = _attribute(operand, source)
    if operator not in _OPERATORS[attribute.kind]:
        raise OalError(
            comparison.position, f"{operand} is {attribute.kind.value}: it cannot be compared by {operator.value!r}"
        )
    members = comparison.literal if isinstance(comparison.literal, tuple) else (comparison.literal,)
    for member in members:
        if member is None and operator in _EQUALITY:
            continue
        if type(member) is not _LITERALS[attribute.kind]:
            raise OalError(
                comparison.position, f"{operand} is {attribute.kind.value}: it cannot be compared with {_shown(member)}"
            )
        if isinstance(member, Enumeration):
            if member.type not in ENUMERATIONS:
                raise OalError(
                    comparison.position,
                    f"there is no enumeration {member.type!r}: {nearest(member.type, ENUMERATIONS)}",
                )
            if member.member not in ENUMERATIONS[member.type]:
                raise OalError(
                    comparison.position,
                    f"{member.type} has no {member.member!r}: {nearest(member.member, ENUMERATIONS[member.type])}",
                )
    return attribute


def _shown(literal: Literal) -> str:
    if literal is None:
        return "null"
    if isinstance(literal, bool):
        return str(literal).lower()
    return f'"{literal}"' if isinstance(literal, str) else str(literal)


def _types(comparison: Comparison, attribute: TypeAttribute) -> set[LogKind]:
    known = pl.DataFrame({"type": list(attribute.values)})
    named = known.filter(matches(pl.col("type"), comparison.operator, comparison.literal))["type"]
    return {attribute.values[name] for name in named}


def _events_of(attribute: Attribute) -> set[LogKind]:
    match attribute:
        case EventAttribute(event=event) | UnfedAttribute(event=event):
            return {EVENTS[event]}
        case TypeAttribute(values=values):
            return set(values.values())
        case FlowAttribute():
            return set(LogKind)
