"""A slow evaluator of PromQL, one time and one series after the other, written from Prometheus's documentation.

It shares nothing with the one that it is compared with but the parser.
"""

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import promql_parser as tree

from tests.backend.query.promql.reference_samples import AGGREGATIONS, OVER_TIME, quantile

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Node = Any
"""A node of the tree: what it has depends on its kind."""
NAME = "__name__"
LOOKBACK = 300_000


class NoValueError(Exception):
    """The expression has no value."""


@dataclass(frozen=True)
class Series:
    labels: Mapping[str, str]
    samples: Mapping[int, float]
    """By milliseconds."""


@dataclass(frozen=True)
class Reference:
    """Evaluates at one time."""

    series: Sequence[Series]
    time: int

    def evaluate(self, node: Node) -> Vector | float | str:  # noqa: PLR0911 - one for each kind of node
        match type(node).__name__:
            case "NumberLiteral" | "StringLiteral":
                found: float | str = node.val
                return found
            case "ParenExpr":
                return self.evaluate(node.expr)
            case "UnaryExpr":
                value = self.evaluate(node.expr)
                return _map(value, lambda number: -number) if isinstance(value, dict) else -float(value)
            case "VectorSelector":
                windows = self._windows(node, LOOKBACK, node.offset)
                return {labels: samples[-1][1] for labels, samples in windows.items()}
            case "AggregateExpr":
                return self._aggregate(node)
            case "BinaryExpr":
                return self._binary(node)
            case "Call":
                return self._call(node)
            case other:
                raise AssertionError(other)

    def _windows(self, node: Node, length: int, offset: timedelta | None) -> dict[Labels, list[tuple[int, float]]]:
        end = self.time - _milliseconds(offset)
        found = {}
        for series in self.series:
            if not _accepts(node, series.labels):
                continue
            window = sorted((at, value) for at, value in series.samples.items() if end - length < at <= end)
            if window:
                found[frozenset(series.labels.items())] = window
        return found

    def _range(self, node: Node) -> tuple[dict[Labels, list[tuple[int, float]]], int, int]:
        """Windows, where they begin and end."""
        if type(node).__name__ == "MatrixSelector":
            selector, length = node.vector_selector, _milliseconds(node.range)
            end = self.time - _milliseconds(selector.offset)
            return self._windows(selector, length, selector.offset), end - length, end
        length, step = _milliseconds(node.range), _milliseconds(node.step) or 60_000
        end = self.time - _milliseconds(node.offset)
        windows: dict[Labels, list[tuple[int, float]]] = {}
        for at in range(end // step * step, end - length, -step):
            value = replace(self, time=at).evaluate(node.expr)
            for labels, number in (value if isinstance(value, dict) else {frozenset(): float(value)}).items():
                windows.setdefault(labels, []).insert(0, (at, number))
        return windows, end - length, end

    def _aggregate(self, node: Node) -> Vector:
        value, name = self.evaluate(node.expr), str(node.op)
        assert isinstance(value, dict)
        groups: dict[Labels, list[tuple[Labels, float]]] = {}
        for labels, number in value.items():
            groups.setdefault(_group(node.modifier, labels), []).append((labels, number))
        if name in {"topk", "bottomk"}:
            limit = int(self.evaluate(node.param))  # type: ignore[arg-type] # a number
            sign = -1 if name == "topk" else 1
            return dict(
                each
                for members in groups.values()
                for each in sorted(members, key=lambda member: sign * member[1])[: max(limit, 0)]
            )
        if name == "quantile":
            share = self.evaluate(node.param)
            assert isinstance(share, float)
            return {labels: quantile(share, [number for _, number in members]) for labels, members in groups.items()}
        return {labels: AGGREGATIONS[name]([number for _, number in members]) for labels, members in groups.items()}

    def _binary(self, node: Node) -> Vector | float:
        left, right = self.evaluate(node.lhs), self.evaluate(node.rhs)
        sign = str(node.op)
        as_number = node.modifier is not None and node.modifier.return_bool
        match left, right:
            case dict(), dict() if sign in {"and", "or", "unless"}:
                return _sets(sign, left, right, node.modifier)
            case dict(), dict():
                return _matched(sign, left, right, node.modifier, as_number=as_number)
            case dict(), float():
                kept = {labels: _operate(sign, number, right) for labels, number in left.items()}
                return _filtered(sign, left, kept, as_number=as_number)
            case float(), dict():
                kept = {labels: _operate(sign, left, number) for labels, number in right.items()}
                return _filtered(sign, right, kept, as_number=as_number)
            case float(), float():
                return float(_operate(sign, left, right))
            case other:
                raise AssertionError(other)

    def _call(self, node: Node) -> Vector | float:  # noqa: PLR0911 - one for each function
        name, arguments = node.func.name, node.args
        if name in OVER_TIME:
            windows, start, end = self._range(arguments[0])
            found = {labels: OVER_TIME[name](samples, start, end) for labels, samples in windows.items()}
            return _unique(
                (labels if name == "last_over_time" else _unnamed(labels), number)
                for labels, number in found.items()
                if number is not None
            )
        if name == "quantile_over_time":
            share = self.evaluate(arguments[0])
            assert isinstance(share, float)
            windows, _, _ = self._range(arguments[1])
            return _unique(
                (_unnamed(labels), quantile(share, [number for _, number in samples]))
                for labels, samples in windows.items()
            )
        if name == "time":
            return self.time / 1000
        value = self.evaluate(arguments[0])
        if name == "vector":
            assert isinstance(value, float)
            return {frozenset(): value}
        assert isinstance(value, dict)
        if name == "scalar":
            return next(iter(value.values())) if len(value) == 1 else math.nan
        if name == "absent":
            return {} if value else {_asked(arguments[0]): 1.0}
        through: dict[str, Callable[[float], float]] = {
            "abs": abs,
            "ceil": lambda number: float(math.ceil(number)),
            "floor": math.floor,
        }
        return _map(value, through[name])


def evaluate(text: str, series: Sequence[Series], time: int) -> Vector | float | str:
    """The value at a time. Raises NoValueError."""
    return Reference(series, time).evaluate(tree.parse(text))


def _milliseconds(duration: timedelta | None) -> int:
    return round(duration.total_seconds() * 1000) if duration else 0


def _accepts(node: Node, labels: Mapping[str, str]) -> bool:
    if node.name is not None and labels[NAME] != node.name:
        return False
    for matcher in node.matchers.matchers:
        value = labels.get(matcher.name, "")
        equal = re.fullmatch(matcher.value, value) is not None if "Re" in str(matcher.op) else matcher.value == value
        if equal == ("Not" in str(matcher.op)):
            return False
    return True


def _unnamed(labels: Labels) -> Labels:
    return frozenset(label for label in labels if label[0] != NAME)


def _unique(pairs: Iterable[tuple[Labels, float]]) -> Vector:
    found: Vector = {}
    for labels, number in pairs:
        if labels in found:
            raise NoValueError("the same labels twice")
        found[labels] = number
    return found


def _map(value: Vector, function: Callable[[float], float]) -> Vector:
    return _unique((_unnamed(labels), float(function(number))) for labels, number in value.items())


def _group(modifier: Node, labels: Labels) -> Labels:
    if modifier is None:
        return frozenset()
    if "By" in str(modifier.type):
        return frozenset(label for label in labels if label[0] in modifier.labels)
    return frozenset(label for label in labels if label[0] not in {*modifier.labels, NAME})


def _key(matching: Node, labels: Labels) -> Labels:
    if matching is None:
        return _unnamed(labels)
    if "Include" in str(matching.type):
        return frozenset(label for label in labels if label[0] in matching.labels)
    return frozenset(label for label in labels if label[0] not in {*matching.labels, NAME})


def _divide(left: float, right: float) -> float:
    if right != 0:
        return left / right
    return math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left * math.copysign(1, right))


_OPERATORS: Mapping[str, Callable[[float, float], float | bool]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": lambda left, right: math.nan if right == 0 or math.isinf(left) else math.fmod(left, right),
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


_ARITHMETIC = frozenset("+-*/%")


def _operate(sign: str, left: float, right: float) -> float | bool:
    return _OPERATORS[sign](left, right)


def _filtered(sign: str, kept: Vector, results: Mapping[Labels, float | bool], *, as_number: bool) -> Vector:
    if sign in _ARITHMETIC or as_number:
        return _unique((_unnamed(labels), float(result)) for labels, result in results.items())
    return {labels: kept[labels] for labels, result in results.items() if result}


def _sets(sign: str, left: Vector, right: Vector, modifier: Node) -> Vector:
    matching = modifier.matching if modifier else None
    lefts, rights = ({_key(matching, labels) for labels in side} for side in (left, right))
    match sign:
        case "and":
            return {labels: number for labels, number in left.items() if _key(matching, labels) in rights}
        case "unless":
            return {labels: number for labels, number in left.items() if _key(matching, labels) not in rights}
        case _:
            more = {labels: number for labels, number in right.items() if _key(matching, labels) not in lefts}
            return left | more


def _matched(sign: str, left: Vector, right: Vector, modifier: Node, *, as_number: bool) -> Vector:
    matching = modifier.matching if modifier else None
    swapped = modifier is not None and "OneToMany" in str(modifier.card)
    is_single = modifier is None or "OneToOne" in str(modifier.card)
    many, one = (right, left) if swapped else (left, right)
    if not left or not right:
        return {}
    by_key = _by_key(matching, one)
    filters = sign not in _ARITHMETIC and not as_number
    found: Vector = {}
    taken: set[Labels] = set()
    for labels, number in many.items():
        key = _key(matching, labels)
        if key not in by_key:
            continue
        partner, other = by_key[key]
        sides = (other, number) if swapped else (number, other)
        result = _operate(sign, *sides)
        if filters and not result:
            continue
        if is_single and key in taken:
            raise NoValueError("several match one")
        taken.add(key)
        own = labels if filters else _unnamed(labels)
        name = _single_name(matching, own) if is_single else _many_name(modifier, own, partner)
        if name in found:
            raise NoValueError("the same labels twice")
        found[name] = sides[0] if filters else float(result)
    return found


def _asked(node: Node) -> Labels:
    """What a selector, in brackets or not, asks for by value."""
    while type(node).__name__ == "ParenExpr":
        node = node.expr
    if type(node).__name__ != "VectorSelector":
        return frozenset()
    matchers = node.matchers.matchers
    names = [matcher.name for matcher in matchers]
    return frozenset(
        (matcher.name, matcher.value)
        for matcher in matchers
        if str(matcher.op) == "MatchOp.Equal" and matcher.value and names.count(matcher.name) == 1
    )


def _by_key(matching: Node, one: Vector) -> dict[Labels, tuple[Labels, float]]:
    found: dict[Labels, tuple[Labels, float]] = {}
    for labels, number in one.items():
        if _key(matching, labels) in found:
            raise NoValueError("several on the side of one")
        found[_key(matching, labels)] = labels, number
    return found


def _single_name(matching: Node, own: Labels) -> Labels:
    if matching is None:
        return own
    is_on = "Include" in str(matching.type)
    return frozenset(label for label in own if (label[0] in matching.labels) == is_on)


def _many_name(modifier: Node, own: Labels, partner: Labels) -> Labels:
    include = set(modifier.group_labels or ())
    kept = {label for label in own if label[0] not in include}
    return frozenset(kept | {label for label in partner if label[0] in include})
