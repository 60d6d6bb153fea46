"""What is done with two results."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from backend.query.mqe.results import Point, Result, ResultType, Series, Values, finite
from backend.query.mqe.syntax import COMPARISONS, LOGICAL, Labels, MqeError, Operator, Position

_OPERATIONS: Mapping[Operator, Callable[[Values, Values], Values]] = {
    Operator.ADD: np.add,
    Operator.SUBTRACT: np.subtract,
    Operator.MULTIPLY: np.multiply,
    Operator.DIVIDE: np.divide,
    Operator.REMAINDER: np.fmod,  # has the sign of the dividend
    Operator.EQUAL: np.equal,
    Operator.NOT_EQUAL: np.not_equal,
    Operator.LESS: np.less,
    Operator.GREATER: np.greater,
    Operator.AT_MOST: np.less_equal,
    Operator.AT_LEAST: np.greater_equal,
    Operator.AND: np.logical_and,
    Operator.OR: np.logical_or,
}


def combine(operator: Operator, left: Result, right: Result, position: Position) -> Result:
    """Each number of a result with that of another; where either has none, or a divisor is 0, there is none.

    A single number goes with every number of the other side, series and series go by bucket. Series with labels go with
    those of the same labels, and each of them with one that has none.

    Raises:
        MqeError: the sides do not fit together.
    """
    return _Operation(operator, left, right, position).result()


@dataclass(frozen=True, slots=True)
class _Operation:
    operator: Operator
    left: Result
    right: Result
    position: Position

    def result(self) -> Result:
        if self.operator in LOGICAL:
            for side, of_side in (("left", self.left), ("right", self.right)):
                if not of_side.truth:
                    raise self._error(
                        f"the {side} side of {self.operator} is neither true nor false: compare it with something"
                    )
        kind = self._type()
        series = tuple(self._series(*sides) for sides in self._pairs())
        return Result(kind, series, truth=self.operator in LOGICAL | COMPARISONS)

    def _error(self, reason: str) -> MqeError:
        return MqeError(self.position, reason)

    def _type(self) -> ResultType:
        types = [side.type for side in (self.left, self.right) if side.type is not ResultType.SINGLE_VALUE]
        if len(types) > 1 and ResultType.SORTED_LIST in types:
            raise self._error(
                f"{self.operator} cannot put a list of top_n() together with another list or with values over time: "
                "make one of them a single number, as avg() does"
            )
        return types[0] if types else ResultType.SINGLE_VALUE

    def _pairs(self) -> Iterator[tuple[Labels, Series, Series | None]]:
        """What is calculated with each other, and the labels that it has then."""
        if not self.left.labelled:
            for other in self.right.series:
                yield other.labels, self.left.series[0], other
        elif not self.right.labelled:
            for one in self.left.series:
                yield one.labels, one, self.right.series[0]
        else:
            known = {frozenset(other.labels): other for other in self.right.series}
            for one in self.left.series:
                yield one.labels, one, known.get(frozenset(one.labels))

    def _series(self, labels: Labels, one: Series, other: Series | None) -> Series:
        if other is None:
            # There is no number, but the series stays.
            return Series(labels, np.full_like(one.values, np.nan), one.points)
        points = self._points(one, other)
        return Series(labels, _calculate(self.operator, one.values, other.values), points)

    def _points(self, one: Series, other: Series) -> Sequence[Point]:
        if self.left.type is not self.right.type:
            return other.points if self.left.type is ResultType.SINGLE_VALUE else one.points
        if self.left.type is not ResultType.SINGLE_VALUE:
            if not (one.by_time and other.by_time):
                raise self._error(f"a side of {self.operator} is sorted: calculate first, then sort")
            return one.points
        # A plain number is of no bucket; two of different buckets are of none together.
        known = {*one.points, *other.points} - {None}
        return tuple(known) if len(known) == 1 else (None,)


def _calculate(operator: Operator, left: Values, right: Values) -> Values:
    with np.errstate(all="ignore"):
        values = np.asarray(_OPERATIONS[operator](left, right), dtype=np.float64)
    return finite(np.where(np.isnan(left) | np.isnan(right), np.nan, values))
