"""The values that expressions have: series of numbers at the times that are asked about."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backend.query.promql.errors import impossible

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Times = npt.NDArray[np.int64]
"""Milliseconds since 1970-01-01 UTC."""

NAME = "__name__"
"""The label that is the name of a metric."""

Labels = tuple[tuple[str, str], ...]
"""Names and values, by name; none is empty."""


@dataclass(frozen=True, slots=True)
class Vector:
    """Series, each with a value or none at each of the times asked about.

    Attributes:
        labels: of each series.
        values: series x times; 0 where there is no value.
        present: series x times: whether there is a value, which may be NaN.
    """

    labels: Sequence[Labels]
    values: Numbers
    present: Flags


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number at each of the times asked about."""

    values: Numbers


@dataclass(frozen=True, slots=True)
class Samples:
    """Series as they are at regular times, from which the values at other times are made.

    Attributes:
        labels: of each series.
        values: series x times; 0 where there is no sample.
        present: series x times.
        first: the first of the times, in milliseconds since 1970-01-01 UTC.
        spacing: milliseconds between two of them.
    """

    labels: Sequence[Labels]
    values: Numbers
    present: Flags
    first: int
    spacing: int


Value = Vector | Scalar | str


def labels_of(mapping: Mapping[str, str] | Iterable[tuple[str, str]]) -> Labels:
    """Labels by name; empty ones are left out, as they are the same as none."""
    return tuple(sorted((name, value) for name, value in dict(mapping).items() if value))


def without(labels: Labels, names: Iterable[str]) -> Labels:
    """Labels but for some."""
    left_out = frozenset(names)
    return tuple(label for label in labels if label[0] not in left_out)


def only(labels: Labels, names: Iterable[str]) -> Labels:
    """Some of the labels."""
    kept = frozenset(names)
    return tuple(label for label in labels if label[0] in kept)


def unnamed(labels: Labels) -> Labels:
    """Labels of what is no longer the metric itself."""
    return without(labels, (NAME,))


def vector(labels: Sequence[Labels], values: Numbers, present: Flags) -> Vector:
    """A vector in which each set of labels is once: series of the same labels are one.

    Raises:
        PromqlError: two of them have a value at the same time.
    """
    places: dict[Labels, int] = {}
    group = np.fromiter((places.setdefault(each, len(places)) for each in labels), np.intp, len(labels))
    if len(places) == len(labels):
        return Vector(labels, np.where(present, values, 0.0), present)
    values, present = gathered(group, len(places), values, present)
    return Vector(list(places), values, present)


def gathered(
    group: npt.NDArray[np.intp],
    groups: int,
    values: Numbers,
    present: Flags,
    message: str = "the result has several series with the same labels at one time: keep a label that differs",
) -> tuple[Numbers, Flags]:
    """The one value that each group has at each time.

    Raises:
        PromqlError: a group has several at one time.
    """
    counted = np.zeros((groups, values.shape[1]), np.int64)
    np.add.at(counted, group, present)
    if (counted > 1).any():
        raise impossible(message)
    together = np.zeros((groups, values.shape[1]))
    rows, columns = np.nonzero(present)
    together[group[rows], columns] = values[rows, columns]
    return together, counted > 0


def any_of(present: Flags, axis: int) -> Flags:
    """Whether there is any over an axis."""
    found: Flags = np.logical_or.reduce(present, axis=axis)
    return found
