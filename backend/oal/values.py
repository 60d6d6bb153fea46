"""Attributes and comparisons of a script, checked against its source."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import polars as pl

from backend.ingest.batch import LogKind
from backend.oal.attributes import Attribute, EventAttribute, FlowAttribute, Kind, TypeAttribute
from backend.oal.conditions import matches
from backend.oal.sources import ENUMERATIONS, EVENTS, Source
from backend.oal.syntax import Comparison, Constant, Enumeration, Literal, OalError, Operand, Operator, nearest


@dataclass(frozen=True, slots=True)
class Value:
    """An attribute as a metric reads it."""

    path: str
    attribute: Attribute
    is_parsed: bool = False
    """Whether its text is read as a whole number; other text then is as good as missing."""

    @property
    def kind(self) -> Kind:
        """What it is after that."""
        return Kind.INTEGER if self.is_parsed else self.attribute.kind

    @property
    def unit(self) -> int:
        """How many of the units in which it is held make one of its own."""
        return self.attribute.unit if isinstance(self.attribute, EventAttribute) else 1

    @property
    def key(self) -> object:
        """What is equal for equal values, by whatever path a source has them."""
        if isinstance(self.attribute, TypeAttribute):
            return tuple(self.attribute.values.items())
        return self.attribute, self.is_parsed

    @property
    def events(self) -> frozenset[LogKind]:
        """The kinds of logs that have it."""
        match self.attribute:
            case EventAttribute(event=event):
                return frozenset({EVENTS[event]})
            case TypeAttribute(values=values):
                return frozenset(values.values())
            case FlowAttribute():
                return frozenset(LogKind)


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison with an attribute that is there."""

    value: Value
    operator: Operator
    literal: Literal

    @property
    def key(self) -> tuple[object, ...]:
        """What is equal for equal conditions."""
        # 1 and True are equal, yet mean different comparisons.
        return self.value.key, self.operator.value, type(self.literal), self.literal

    @property
    def is_of_flow(self) -> bool:
        """Whether all logs of a flow meet it, or none."""
        return isinstance(self.value.attribute, FlowAttribute)

    def is_met_by_type(self, kind: LogKind) -> bool | None:
        """Whether logs of a kind meet it by their type alone; None when it does not compare the type."""
        if not isinstance(self.value.attribute, TypeAttribute):
            return None
        name = self.value.attribute.name(kind)
        return name is not None and _is_met(name, self.operator, self.literal)


@lru_cache(1_000)
def _is_met(name: str, operator: Operator, literal: Literal) -> bool:
    return bool(pl.select(matches(pl.lit(name), operator, literal)).item())


def value_of(operand: Operand, source: Source) -> Value:
    """What an operand names.

    Raises:
        OalError: the source has no such attribute, or it cannot be cast so.
    """
    path = str(operand)
    attribute = source.attributes.get(path)
    if attribute is None:
        if "[" in path:
            reason = f"{source.name} has no {path!r}: no attribute of it is a map, write one of its attributes"
            raise OalError(operand.position, reason)
        raise OalError(operand.position, f"{source.name} has no {path!r}: {nearest(path, source.attributes)}")
    if operand.cast is None:
        return Value(path, attribute)
    parses = operand.cast.startswith("(str")
    if parses and attribute.kind is not Kind.STRING:
        raise OalError(
            operand.position, f"{path} is {attribute.kind.value}: leave {operand.cast} out, it reads strings"
        )
    if not parses and attribute.kind is not Kind.INTEGER:
        advice = f"write (str->{operand.cast[1:]}" if attribute.kind is Kind.STRING else "leave the cast out"
        raise OalError(
            operand.position, f"{path} is {attribute.kind.value}, which {operand.cast} cannot read: {advice}"
        )
    # Numbers are 64 bits wide already, so that (long) and (int) change nothing.
    return Value(path, attribute, is_parsed=parses)


_EQUALITY = {Operator.EQUAL, Operator.NOT_EQUAL}
_ORDER = {Operator.GREATER, Operator.LESS, Operator.AT_LEAST, Operator.AT_MOST}
_OPERATORS: Mapping[Kind, set[Operator]] = {
    Kind.INTEGER: {*_EQUALITY, *_ORDER, Operator.IN},
    Kind.BOOLEAN: _EQUALITY,
    Kind.STRING: {*_EQUALITY, Operator.LIKE, Operator.IN},
    Kind.ENUMERATION: {*_EQUALITY, Operator.IN},
    Kind.LIST: {Operator.CONTAIN, Operator.NOT_CONTAIN},
}
_LITERALS: Mapping[Kind, Callable[[Constant], bool]] = {
    Kind.INTEGER: lambda literal: isinstance(literal, int | float) and not isinstance(literal, bool),
    Kind.BOOLEAN: lambda literal: isinstance(literal, bool),
    Kind.STRING: lambda literal: isinstance(literal, str),
    Kind.ENUMERATION: lambda literal: isinstance(literal, Enumeration),
    Kind.LIST: lambda literal: isinstance(literal, int) and not isinstance(literal, bool),
}
_EXAMPLES: Mapping[Kind, str] = {
    Kind.INTEGER: "a number",
    Kind.BOOLEAN: "true or false",
    Kind.STRING: 'a string in double quotes, or cast it: "(str->long)"',
    Kind.ENUMERATION: "a member, such as DetectPoint.SERVER",
    Kind.LIST: "a whole number",
}


def condition_of(comparison: Comparison, source: Source) -> Condition:
    """What a comparison asks.

    Raises:
        OalError: the source has no such attribute, or it cannot be compared so.
    """
    operator = comparison.operator
    value = value_of(comparison.operand, source)
    if operator not in _OPERATORS[value.kind]:
        allowed = ", ".join(sorted(each.value for each in _OPERATORS[value.kind]))
        raise OalError(
            comparison.position,
            f"{value.path} is {value.kind.value}: it cannot be compared by {operator.value!r}, but by {allowed}",
        )
    members = comparison.literal if isinstance(comparison.literal, tuple) else (comparison.literal,)
    for member in members:
        if member is None and operator in _EQUALITY:
            continue
        if not _LITERALS[value.kind](member):
            raise OalError(
                comparison.position,
                f"{value.path} is {value.kind.value}: it cannot be compared with {shown(member)}; "
                f"write {_EXAMPLES[value.kind]}",
            )
        if isinstance(member, Enumeration):
            _check_member(member, comparison)
    return Condition(value, operator, comparison.literal)


def _check_member(member: Enumeration, comparison: Comparison) -> None:
    if member.type not in ENUMERATIONS:
        raise OalError(
            comparison.position, f"there is no enumeration {member.type!r}: {nearest(member.type, ENUMERATIONS)}"
        )
    known = ENUMERATIONS[member.type]
    if member.member not in known:
        raise OalError(comparison.position, f"{member.type} has no {member.member!r}: {nearest(member.member, known)}")


def shown(literal: Literal) -> str:
    """A literal as scripts have it."""
    if isinstance(literal, tuple):
        return f"[{', '.join(map(shown, literal))}]"
    if literal is None:
        return "null"
    if isinstance(literal, bool):
        return str(literal).lower()
    return f'"{literal}"' if isinstance(literal, str) else str(literal)
