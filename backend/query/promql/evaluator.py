"""From the tree of an expression to its value at each of the times asked about."""

from dataclasses import dataclass, replace

import numpy as np
from promql_parser import (
    AggregateExpr,
    AtModifier,
    AtModifierType,
    BinaryExpr,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    ParenExpr,
    StringLiteral,
    SubqueryExpr,
    UnaryExpr,
    VectorSelector,
)

from backend.query.promql import aggregation, over_time
from backend.query.promql.binary import Matching, combined, united
from backend.query.promql.budget import MAXIMUM_POINTS, Budget
from backend.query.promql.calls import call
from backend.query.promql.errors import impossible, wrong
from backend.query.promql.matching import Source, selector_of
from backend.query.promql.modifiers import group_key, matching_of, milliseconds, time_after_at
from backend.query.promql.operators import ARITHMETIC, SETS, computed
from backend.query.promql.parsing import walk
from backend.query.promql.series import (
    Numbers,
    Samples,
    Scalar,
    Times,
    Value,
    Vector,
    unnamed,
    vector,
)
from backend.query.promql.windows import Function, Window

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
"""Milliseconds between the samples that can be read."""
LOOKBACK = 300_000
"""Milliseconds for which a sample stands for its series, where samples are a minute apart; as in Prometheus."""
LONGEST_WINDOW = 400 * DAY
"""Longest window, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Range:
    """The times asked about, in milliseconds since 1970-01-01 UTC.

    Attributes:
        start: the first.
        end: the last is not after it.
        step: between two of them; 0 where there is but one.
    """

    start: int
    end: int
    step: int = 0

    @property
    def times(self) -> Times:
        """All of them."""
        return np.arange(self.start, self.end + 1, self.step or 1, dtype=np.int64)[: None if self.step else 1]


def spacing_for(tree: Expr, asked: Range) -> int:
    """Milliseconds between the samples that an expression is made from.

    Those of minutes, unless the steps are of hours or days. Windows always hold minutes, so that what functions find
    in them does not depend on the step.
    """
    if any(isinstance(each, MatrixSelector | SubqueryExpr) for each in walk(tree)):
        return MINUTE
    return next((length for length in (DAY, HOUR) if asked.step >= length), MINUTE)


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Evaluates expressions. Blocks.

    Attributes:
        source: where series are.
        asked: what start() and end() mean, and the times of the expression.
        spacing: milliseconds between the samples of the source.
        budget: what it may take.
        times: of the part that is evaluated; those of a subquery differ from those of the expression.
    """

    source: Source
    asked: Range
    spacing: int
    budget: Budget
    times: Times

    def evaluate(self, tree: Expr) -> Value:
        """The value of an expression. Raises PromqlError and StorageError."""
        self.budget.check()
        value: Value
        match tree:
            case NumberLiteral():
                value = Scalar(np.full(len(self.times), tree.val))
            case StringLiteral():
                value = tree.val
            case ParenExpr():
                value = self.evaluate(tree.expr)
            case UnaryExpr():
                value = self._negated(self.evaluate(tree.expr))
            case VectorSelector():
                value = self.instant(tree, over_time.last)
            case AggregateExpr():
                value = self._aggregated(tree)
            case BinaryExpr():
                value = self._binary(tree)
            case Call():
                value = call(self, tree)
            case _:
                raise wrong("a window of samples stands where a value is needed: apply a function such as rate() to it")
        return value

    def instant(self, tree: VectorSelector, function: Function) -> Vector:
        """What a function makes of the samples that stand for the series at each time."""
        lookback = LOOKBACK if self.spacing == MINUTE else self.spacing
        window = self._selected(tree, lookback)
        return Vector(window.samples.labels, *function(window))

    def window(self, tree: Expr) -> Window:
        """The windows of a selector with a range, or of a subquery."""
        match tree:
            case ParenExpr():
                return self.window(tree.expr)
            case MatrixSelector():
                return self._selected(tree.vector_selector, milliseconds(lambda: tree.range))
            case SubqueryExpr():
                return self._subquery(tree)
            case _:
                raise wrong("a function of a window needs one: write it as name[5m]")

    def number(self, tree: Expr) -> Numbers:
        """The value of an expression that is a number."""
        value = self.evaluate(tree)
        if not isinstance(value, Scalar):
            raise wrong("a number is needed here: scalar() makes one of a vector with one series")
        return value.values

    def text(self, tree: Expr) -> str:
        """The value of an expression that is a text."""
        value = self.evaluate(tree)
        if not isinstance(value, str):
            raise wrong("a text in quotes is needed here")
        return value

    def vector(self, tree: Expr) -> Vector:
        """The value of an expression that is a vector."""
        value = self.evaluate(tree)
        if not isinstance(value, Vector):
            raise wrong("a vector is needed here: vector() makes one of a number")
        return value

    def at(self, times: Times) -> "Evaluator":
        """This at other times."""
        return replace(self, times=times)

    def _ends(self, tree: VectorSelector | SubqueryExpr) -> Times:
        times = self.times if tree.at is None else np.full_like(self.times, self._fixed(tree, tree.at))
        return times - milliseconds(lambda: tree.offset)

    def _fixed(self, tree: VectorSelector | SubqueryExpr, at: AtModifier) -> int:
        if at.type == AtModifierType.Start:
            return self.asked.start
        if at.type == AtModifierType.End:
            return self.asked.end
        return time_after_at(tree)

    def _selected(self, tree: VectorSelector, length: int) -> Window:
        ends = self._ends(tree)
        _check_length(length)
        first, last = int(ends.min()) - length + 1, int(ends.max())
        samples = self.source.select(selector_of(tree), first, last, self.spacing)
        self.budget.hold(len(samples.labels), samples.values.shape[1])
        return self._windows(samples, ends, length)

    def _subquery(self, tree: SubqueryExpr) -> Window:
        length = milliseconds(lambda: tree.range)
        step = milliseconds(lambda: tree.step, MINUTE)
        _check_length(length)
        if step < 1:
            raise wrong("the step of a subquery is not longer than nothing: write it as [10m:1m]")
        ends = self._ends(tree)
        # Steps of a subquery are whole multiples of it, whatever the times asked about.
        first = (int(ends.min()) - length) // step * step + step
        count = (int(ends.max()) - first) // step + 1
        if count > MAXIMUM_POINTS:
            raise impossible(
                f"a subquery has {count:,} steps, more than {MAXIMUM_POINTS:,}: let it have a longer step or be shorter"
            )
        inner = self.at(first + np.arange(max(count, 1), dtype=np.int64) * step).evaluate(tree.expr)
        if not isinstance(inner, Vector):
            inner = as_vector(inner)
        return self._windows(Samples(inner.labels, inner.values, inner.present, first, step), ends, length)

    def _windows(self, samples: Samples, ends: Times, length: int) -> Window:
        self.budget.hold(len(samples.labels), len(ends))
        return Window(samples, ends, length, self.budget)

    @staticmethod
    def _negated(value: Value) -> Value:
        match value:
            case Scalar():
                return Scalar(-value.values)
            case Vector():
                return vector([unnamed(labels) for labels in value.labels], -value.values, value.present)
            case _:
                raise wrong("a text has no sign")

    def _aggregated(self, tree: AggregateExpr) -> Vector:
        given, name = self.vector(tree.expr), str(tree.op)
        key = group_key(tree)
        if name in aggregation.AGGREGATIONS:
            return aggregation.aggregated(name, given, key)
        if name in aggregation.RANKINGS:
            greatest = aggregation.RANKINGS[name]
            return aggregation.ranked(given, key, self._parameter(tree), greatest=greatest)
        if name == "quantile":
            return aggregation.quantile(given, key, self._parameter(tree))
        known = ", ".join(sorted((*aggregation.AGGREGATIONS, *aggregation.RANKINGS, "quantile")))
        raise wrong(f"there is no aggregation {name} here: there are {known}")

    def _parameter(self, tree: AggregateExpr) -> Numbers:
        if not isinstance(tree.param, Expr):
            raise wrong(f"{tree.op} needs a number first: write it as {tree.op}(3, name)")
        return self.number(tree.param)

    def _binary(self, tree: BinaryExpr) -> Value:
        operator, matching = str(tree.op), matching_of(tree)
        left, right = self.evaluate(tree.lhs), self.evaluate(tree.rhs)
        match left, right:
            case Vector(), Vector() if operator in SETS:
                return united(operator, left, right, matching)
            case Vector(), Vector():
                return combined(operator, left, right, matching)
            case Scalar(), Scalar():
                return Scalar(computed(operator, left.values, right.values, as_number=True)[0])
            case (Vector() as given, Scalar() as number) | (Scalar() as number, Vector() as given):
                return self._with_number(operator, given, number, matching, number_first=given is right)
            case _:
                raise wrong(f"{operator} stands between numbers and vectors, not texts")

    @staticmethod
    def _with_number(operator: str, given: Vector, number: Scalar, matching: Matching, *, number_first: bool) -> Vector:
        numbers = np.broadcast_to(number.values, given.values.shape)
        first, second = (numbers, given.values) if number_first else (given.values, numbers)
        values, kept = computed(operator, first, second, as_number=matching.as_number)
        if operator not in ARITHMETIC and not matching.as_number:
            # What is kept by a comparison is the vector's value, wherever it stands.
            return Vector(given.labels, np.where(kept & given.present, given.values, 0.0), kept & given.present)
        return vector([unnamed(labels) for labels in given.labels], values, given.present & kept)


def as_vector(value: Value) -> Vector:
    """A number as a vector of one series without labels. Raises PromqlError."""
    match value:
        case Vector():
            return value
        case Scalar():
            return Vector([()], value.values[None], np.ones((1, len(value.values)), np.bool_))
        case _:
            raise wrong("a text has no samples")


def _check_length(length: int) -> None:
    if not 0 < length <= LONGEST_WINDOW:
        raise wrong("a window must be longer than nothing and at most 400 days")
