"""Operators between vectors: which series are matched with which, and what the results are called."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backend.query.promql.operators import ARITHMETIC, computed
from backend.query.promql.series import (
    NAME,
    Flags,
    Labels,
    Numbers,
    Vector,
    any_of,
    gathered,
    only,
    unnamed,
    vector,
    without,
)

_ONE_SIDE = (
    "several series on the {side} side have the same labels to match by: name labels with on() that tell them apart, or"
    " aggregate that side"
)
_MANY = "several series match one: write group_left or group_right, or aggregate first"


@dataclass(frozen=True, slots=True)
class Matching:
    """How series of two sides find each other."""

    labels: tuple[str, ...] = ()
    on: bool = False
    """Whether they match by these labels, and not by all others."""
    many: str = ""
    """The side of which several series may match one of the other: "left", "right" or none."""
    include: tuple[str, ...] = ()
    """Labels that the results take from the side of one."""
    as_number: bool = False
    """Whether comparisons give 1 and 0."""

    def key(self, labels: Labels) -> Labels:
        """The labels that must be equal."""
        return only(labels, self.labels) if self.on else without(labels, (*self.labels, NAME))


Rows = npt.NDArray[np.intp]


def _grouped(left: Vector, right: Vector, key: Callable[[Labels], Labels]) -> tuple[Rows, Rows, int]:
    """The group of each series of both sides, and how many groups there are."""
    places: dict[Labels, int] = {}
    groups = [
        np.array([places.setdefault(key(labels), len(places)) for labels in side.labels], np.intp)
        for side in (left, right)
    ]
    return groups[0], groups[1], len(places)


def combined(operator: str, left: Vector, right: Vector, matching: Matching) -> Vector:
    """The results of an arithmetic or comparing operator.

    Raises:
        PromqlError: several series match where one is needed.
    """
    swapped = matching.many == "right"
    many, one = (right, left) if swapped else (left, right)
    group, one_group, groups = _grouped(many, one, matching.key)
    message = _ONE_SIDE.format(side="left" if swapped else "right")
    # Where one side is empty nothing matches, and so nothing is wrong.
    there = one.present & any_of(many.present, 0)
    _, found = gathered(one_group, groups, one.values, there, message)
    # Which series of the side of one it is, at each time: its labels may be taken.
    row = np.zeros((groups, found.shape[1]), np.intp)
    rows, columns = np.nonzero(there)
    row[one_group[rows], columns] = rows
    of_many = row[group]
    other = np.take_along_axis(one.values, of_many, axis=0) if len(one.labels) else np.zeros_like(many.values)
    first, second = (other, many.values) if swapped else (many.values, other)
    values, kept = computed(operator, first, second, as_number=matching.as_number)
    present = many.present & found[group] & kept
    if not matching.many:
        _check_single(group, groups, present)
    drop_name = operator in ARITHMETIC or matching.as_number
    return _named(many, one, of_many, (values, present), _naming(matching, drop_name=drop_name))


def _check_single(group: Rows, groups: int, present: Flags) -> None:
    gathered(group, groups, np.zeros_like(present, np.float64), present, _MANY)


Naming = Callable[[Labels, Labels], Labels]


def _naming(matching: Matching, *, drop_name: bool) -> Naming:
    """From the labels of the two series to those of the result."""

    def name(of_many: Labels, of_one: Labels) -> Labels:
        labels = unnamed(of_many) if drop_name else of_many
        if not matching.many:
            return only(labels, matching.labels) if matching.on else without(labels, matching.labels)
        return tuple(sorted((*without(labels, matching.include), *only(of_one, matching.include))))

    return name


def _named(many: Vector, one: Vector, row: Rows, result: tuple[Numbers, Flags], naming: Naming) -> Vector:
    values, present = result
    labels: list[Labels] = []
    pieces: list[tuple[Numbers, Flags]] = []
    for place, own in enumerate(many.labels):
        there = present[place]
        # Nearly always one series at all times; another one only where the first was replaced.
        for partner in np.unique(row[place][there]):
            labels.append(naming(own, one.labels[partner]))
            pieces.append((values[place], there & (row[place] == partner)))
    if not pieces:
        return Vector([], values[:0], present[:0])
    stacked, flags = (np.stack(each) for each in zip(*pieces, strict=True))
    return vector(labels, stacked, flags)


def united(operator: str, left: Vector, right: Vector, matching: Matching) -> Vector:
    """The results of and, or and unless."""
    group, right_group, groups = _grouped(left, right, matching.key)
    if operator == "or":
        there = _any(group, groups, left.present)
        labels: Sequence[Labels] = [*left.labels, *right.labels]
        present = np.concatenate([left.present, right.present & ~there[right_group]])
        return vector(labels, np.concatenate([left.values, right.values]), present)
    there = _any(right_group, groups, right.present)[group]
    present = left.present & (there if operator == "and" else ~there)
    return Vector(left.labels, np.where(present, left.values, 0.0), present)


def _any(group: Rows, groups: int, present: Flags) -> Flags:
    found = np.zeros((groups, present.shape[1]), np.bool_)
    rows, columns = np.nonzero(present)
    found[group[rows], columns] = True
    return found
