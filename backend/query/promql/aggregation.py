"""Aggregations: many series become few, one for each group of labels."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from backend.query.promql.errors import impossible
from backend.query.promql.over_time import quantiles
from backend.query.promql.series import Flags, Labels, Numbers, Vector

Groups = npt.NDArray[np.intp]


def _sums(values: Numbers, group: Groups, groups: int) -> Numbers:
    """Sums of the series of each group."""
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(groups))
    sums: Numbers = np.add.reduceat(values[order], starts, axis=0)
    return sums


def _extremes(of_two: "np.ufunc") -> Callable[[Numbers, Flags, Groups, int], Numbers]:
    def extremes(values: Numbers, present: Flags, group: Groups, groups: int) -> Numbers:
        order = np.argsort(group, kind="stable")
        starts = np.searchsorted(group[order], np.arange(groups))
        found: Numbers = of_two.reduceat(np.where(present, values, np.nan)[order], starts, axis=0)
        return found

    return extremes


def _total(values: Numbers, present: Flags, group: Groups, groups: int) -> Numbers:
    return _sums(np.where(present, values, 0.0), group, groups)


def _count(_values: Numbers, present: Flags, group: Groups, groups: int) -> Numbers:
    return _sums(present.astype(np.float64), group, groups)


def _mean(values: Numbers, present: Flags, group: Groups, groups: int) -> Numbers:
    return _total(values, present, group, groups) / np.maximum(_count(values, present, group, groups), 1)


def _variance(values: Numbers, present: Flags, group: Groups, groups: int) -> Numbers:
    distances = values - _mean(values, present, group, groups)[group]
    return _mean(distances * distances, present, group, groups)


def _deviation(values: Numbers, present: Flags, group: Groups, groups: int) -> Numbers:
    return np.sqrt(_variance(values, present, group, groups))


def _one(_values: Numbers, present: Flags, _group: Groups, groups: int) -> Numbers:
    return np.ones((groups, present.shape[1]))


AGGREGATIONS: Mapping[str, Callable[[Numbers, Flags, Groups, int], Numbers]] = {
    "avg": _mean,
    "count": _count,
    "group": _one,
    "max": _extremes(np.fmax),
    "min": _extremes(np.fmin),
    "stddev": _deviation,
    "stdvar": _variance,
    "sum": _total,
}
"""Those without a parameter, by name."""
RANKINGS = {"topk": True, "bottomk": False}
"""Those that keep some series of each group; True where they are the greatest."""


def grouped(vector: Vector, key: Callable[[Labels], Labels]) -> tuple[Sequence[Labels], Groups]:
    """The labels of the groups, and which of them each series is of."""
    places: dict[Labels, int] = {}
    group = [places.setdefault(key(labels), len(places)) for labels in vector.labels]
    return list(places), np.array(group, np.intp)


def aggregated(name: str, vector: Vector, key: Callable[[Labels], Labels]) -> Vector:
    """One series for each group, by an aggregation of AGGREGATIONS."""
    if not vector.labels:
        return vector
    labels, group = grouped(vector, key)
    values = AGGREGATIONS[name](vector.values, vector.present, group, len(labels))
    present = _sums(vector.present.astype(np.float64), group, len(labels)) > 0
    return Vector(labels, np.where(present, values, 0.0), present)


def quantile(vector: Vector, key: Callable[[Labels], Labels], share: Numbers) -> Vector:
    """One series for each group: the value below which a share of its series is."""
    labels, group = grouped(vector, key)
    values = np.zeros((len(labels), vector.values.shape[1]))
    present = np.zeros_like(values, np.bool_)
    for place in range(len(labels)):
        of_group = group == place
        some = vector.present[of_group]
        values[place] = quantiles(vector.values[of_group][:, None], some[:, None], share)[0]
        present[place] = some.any(axis=0)
    return Vector(labels, np.where(present, values, 0.0), present)


def ranked(vector: Vector, key: Callable[[Labels], Labels], limits: Numbers, *, greatest: bool) -> Vector:
    """The series of each group that are among its first at each time; a NaN is the last.

    Where there is but one time they are in this order, else in that of the vector. Of equal ones the first counts.

    Args:
        vector: what is ranked.
        key: from labels to the group's labels.
        limits: how many of each group, at each time.
        greatest: whether the greatest is the first.

    Raises:
        PromqlError: a limit is not a number.
    """
    if np.isnan(limits).any():
        raise impossible("the limit of topk or bottomk is not a number: give how many series are wanted")
    _, group = grouped(vector, key)
    present = np.zeros_like(vector.present)
    rows: list[npt.NDArray[np.intp]] = []
    for place in range(int(group.max(initial=-1)) + 1):
        members = np.flatnonzero(group == place)
        values, there = vector.values[members], vector.present[members]
        unordered = np.where(there, np.isnan(values).astype(np.int8), 2)
        numbers = np.where(unordered > 0, 0.0, -values if greatest else values)
        order = np.lexsort((numbers, unordered), axis=0)
        position = np.empty_like(order)
        np.put_along_axis(position, order, np.arange(len(members))[:, None], axis=0)
        present[members] = there & (position < limits)
        rows.append(members[order[:, 0]] if order.shape[1] == 1 else members)
    chosen = np.concatenate(rows) if rows else np.zeros(0, np.intp)
    return Vector(
        [vector.labels[row] for row in chosen],
        np.where(present, vector.values, 0.0)[chosen],
        present[chosen],
    )
