"""What is written behind expressions: durations and times, labels to group and to match by."""

import math
import re
from collections.abc import Callable, Sequence
from datetime import timedelta

from promql_parser import (
    AggModifierType,
    AggregateExpr,
    BinaryExpr,
    LabelModifierType,
    SubqueryExpr,
    VectorMatchCardinality,
    VectorSelector,
)

from backend.query.promql.binary import Matching
from backend.query.promql.errors import wrong
from backend.query.promql.series import Labels, only, unnamed, without

FIRST_TIME, LAST_TIME = 0, 4_102_444_800
"""Seconds since 1970-01-01 UTC between which times must be: the years 1970 to 2099."""
LONGEST_DURATION = 200 * 366 * 86_400_000
"""Longest duration of any kind, in milliseconds: times are between 1970 and 2099."""

_AT = re.compile(r" @ ([0-9.]+)(?: offset -?\w+)?$", re.ASCII)


def milliseconds(read: Callable[[], timedelta | None], default: int = 0) -> int:
    """A duration of an expression; `default` where there is none. Raises PromqlError."""
    try:
        duration = read()
    except (ValueError, OverflowError):  # the parser knows longer ones than Python
        duration = timedelta.max
    length = default if duration is None else duration // timedelta(milliseconds=1)
    if abs(length) > LONGEST_DURATION:
        raise wrong("a duration is longer than 200 years: there are no samples so long ago")
    return length


def time_after_at(tree: VectorSelector | SubqueryExpr) -> int:
    """The time after @, in milliseconds since 1970-01-01 UTC; 0 for one before. Raises PromqlError.

    It is read from the expression as it is written out: the parser panics when asked for a time before 1970.
    """
    found = _AT.search(str(tree))
    seconds = float(found[1]) if found is not None else math.inf
    if seconds > LAST_TIME:
        raise wrong("the time after @ is after the year 2099: write seconds since 1970")
    return round(seconds * 1000)


def group_key(tree: AggregateExpr) -> Callable[[Labels], Labels]:
    """From labels to those of their group."""
    if tree.modifier is None:
        return lambda _: ()
    names: Sequence[str] = tuple(tree.modifier.labels)
    if tree.modifier.type == AggModifierType.By:
        return lambda labels: only(labels, names)
    return lambda labels: unnamed(without(labels, names))


def matching_of(tree: BinaryExpr) -> Matching:
    """How the series of the two sides of an operator find each other. Raises PromqlError."""
    modifier = tree.modifier
    if modifier is None:
        return Matching()
    if modifier.fill_values.lhs is not None or modifier.fill_values.rhs is not None:
        raise wrong("fill() is not known here: write 'or' with what is to stand for missing series")
    labels = modifier.matching
    many = ((VectorMatchCardinality.ManyToOne, "left"), (VectorMatchCardinality.OneToMany, "right"))
    return Matching(
        labels=() if labels is None else tuple(labels.labels),
        on=labels is not None and labels.type == LabelModifierType.Include,
        many=next((side for card, side in many if modifier.card == card), ""),
        include=tuple(modifier.group_labels or ()),
        as_number=modifier.return_bool,
    )
