"""Functions of the samples in a window before each time.

A window ends at the time asked about and does not hold its other end, as in Prometheus 3: a window of five minutes has
five samples that are a minute apart. All series and times are looked at together, one sample of each window after the
other, from the oldest to the newest; so the cost in Python is that of the window's length.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from backend.query.promql.budget import Budget
from backend.query.promql.series import Flags, Numbers, Samples, Times

QUANTILE_CELLS = 4_000_000
"""About how many values are sorted at a time."""
_FAR = 1.1
"""Samples further from an end of the window than this many mean distances are taken to have begun or ended there."""


class Slice(NamedTuple):
    """One sample of each window, or none."""

    values: Numbers  # series x times
    present: Flags  # series x times
    at: Numbers  # times: when it was, in seconds before the end of the window; negative


@dataclass(frozen=True, slots=True)
class Window:
    """Windows over samples."""

    samples: Samples
    ends: Times
    """Milliseconds since 1970-01-01 UTC."""
    length: int
    """Milliseconds."""
    budget: Budget

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.length / 1000

    @property
    def slices(self) -> int:
        """Most samples in a window."""
        low, high = self._bounds()
        return int((high - low).max(initial=-1)) + 1

    def _bounds(self) -> tuple[Times, Times]:
        high = (self.ends - self.samples.first) // self.samples.spacing
        low = (self.ends - self.length - self.samples.first) // self.samples.spacing + 1
        return low, high

    def __iter__(self) -> Iterator[Slice]:
        samples, (low, high) = self.samples, self._bounds()
        known = samples.values.shape[1]
        for place in range(1 - self.slices, 1):
            self.budget.look(len(samples.labels) * len(self.ends))
            index = high + place
            valid = (index >= low) & (index >= 0) & (index < known)
            chosen = np.where(valid, index, 0)
            at = (samples.first + index * samples.spacing - self.ends) / 1000
            if known:
                yield Slice(samples.values[:, chosen], samples.present[:, chosen] & valid, at)

    def zeros(self) -> Numbers:
        """Series x times."""
        return np.zeros((len(self.samples.labels), len(self.ends)))


Result = tuple[Numbers, Flags]
Function = Callable[[Window], Result]


def last(window: Window) -> Result:
    """The newest sample."""
    value, seen = window.zeros(), window.zeros() > 0
    for values, present, _ in window:
        value, seen = np.where(present, values, value), seen | present
    return value, seen


def last_time(window: Window) -> Result:
    """When the newest sample was, in seconds since 1970-01-01 UTC."""
    at, seen = window.zeros(), window.zeros() > 0
    for _, present, when in window:
        at, seen = np.where(present, when, at), seen | present
    return at + window.ends / 1000, seen


def first(window: Window) -> Result:
    """The oldest sample."""
    value, seen = window.zeros(), window.zeros() > 0
    for values, present, _ in window:
        value, seen = np.where(present & ~seen, values, value), seen | present
    return value, seen


def count(window: Window) -> Result:
    """How many samples."""
    counted = window.zeros()
    for _, present, _ in window:
        counted += present
    return counted, counted > 0


def is_there(window: Window) -> Result:
    """1 where there is a sample."""
    counted, seen = count(window)
    return np.ones_like(counted), seen


def total(window: Window) -> Result:
    """The sum."""
    added, seen = window.zeros(), window.zeros() > 0
    for values, present, _ in window:
        added, seen = added + np.where(present, values, 0.0), seen | present
    return added, seen


def mean(window: Window) -> Result:
    """The mean."""
    added, seen = total(window)
    return added / np.maximum(count(window)[0], 1), seen


def least(window: Window) -> Result:
    """The least; NaN only where there is nothing else."""
    return _extreme(window, np.fmin)


def greatest(window: Window) -> Result:
    """The greatest; NaN only where there is nothing else."""
    return _extreme(window, np.fmax)


def _extreme(window: Window, of_two: "np.ufunc") -> Result:
    value, seen = np.full_like(window.zeros(), np.nan), window.zeros() > 0
    for values, present, _ in window:
        value, seen = np.where(present, of_two(value, values), value), seen | present
    return value, seen


def variance(window: Window) -> Result:
    """The mean square of the distances from the mean (Welford)."""
    counted, middle, squares = window.zeros(), window.zeros(), window.zeros()
    for values, present, _ in window:
        counted += present
        distance = np.where(present, values - middle, 0.0)
        middle += distance / np.maximum(counted, 1)
        squares += distance * np.where(present, values - middle, 0.0)
    return squares / np.maximum(counted, 1), counted > 0


def deviation(window: Window) -> Result:
    """The square root of the variance."""
    squares, seen = variance(window)
    return np.sqrt(squares), seen


def changes(window: Window) -> Result:
    """How often a sample differs from the one before it."""
    return _transitions(window, lambda before, after: (after != before) & ~(np.isnan(before) & np.isnan(after)))


def resets(window: Window) -> Result:
    """How often a sample is less than the one before it."""
    return _transitions(window, lambda before, after: after < before)


def _transitions(window: Window, counts: Callable[[Numbers, Numbers], Flags]) -> Result:
    counted, before, seen = window.zeros(), window.zeros(), window.zeros() > 0
    for values, present, _ in window:
        counted += present & seen & counts(before, values)
        before, seen = np.where(present, values, before), seen | present
    return counted, seen


def rate(window: Window) -> Result:
    """The growth of a counter per second."""
    grown, seen = increase(window)
    return grown / window.seconds, seen


def increase(window: Window) -> Result:
    """The growth of a counter over the whole window, which starts again from 0 where it falls."""
    return _growth(window, is_counter=True)


def delta(window: Window) -> Result:
    """The difference over the whole window."""
    return _growth(window, is_counter=False)


def _growth(window: Window, *, is_counter: bool) -> Result:
    """What Prometheus 2 extrapolates to the ends of the window (promql/functions.go, extrapolatedRate)."""
    counted, lost = window.zeros(), window.zeros()
    start, start_at, end, end_at = window.zeros(), window.zeros(), window.zeros(), window.zeros()
    for values, present, at in window:
        begins = present & (counted == 0)
        start, start_at = np.where(begins, values, start), np.where(begins, at, start_at)
        if is_counter:
            lost += np.where(present & ~begins & (values < end), end, 0.0)
        end, end_at = np.where(present, values, end), np.where(present, at, end_at)
        counted += present
    enough = counted > 1
    grown = end - start + lost
    sampled = end_at - start_at
    distance = sampled / np.maximum(counted - 1, 1)
    before, after = start_at + window.seconds, -end_at
    if is_counter:
        # A counter was not below 0: it cannot have begun earlier than where it would have been that.
        before = np.where((grown > 0) & (start >= 0), np.minimum(before, sampled * (start / grown)), before)
    reached = sampled
    for rest in (before, after):
        reached = reached + np.where(rest < distance * _FAR, rest, distance / 2)
    return grown * (reached / sampled), enough


def instant_rate(window: Window) -> Result:
    """The growth of a counter per second, between the two newest samples."""
    before, after, passed, seen = _newest_two(window)
    return np.where(after < before, after, after - before) / passed, seen


def instant_delta(window: Window) -> Result:
    """The difference of the two newest samples."""
    before, after, _, seen = _newest_two(window)
    return after - before, seen


def _newest_two(window: Window) -> tuple[Numbers, Numbers, Numbers, Flags]:
    before, before_at, after, after_at, counted = (window.zeros() for _ in range(5))
    for values, present, at in window:
        before, before_at = np.where(present, after, before), np.where(present, after_at, before_at)
        after, after_at = np.where(present, values, after), np.where(present, at, after_at)
        counted += present
    return before, after, after_at - before_at, counted > 1


def slope(window: Window) -> Result:
    """The growth per second of the line that fits best (least squares)."""
    grown, _, seen = _line(window)
    return grown, seen


def predicted(window: Window, seconds: Numbers) -> Result:
    """Where that line is so many seconds after the end of the window."""
    grown, value, seen = _line(window)
    return grown * seconds + value, seen


def _line(window: Window) -> tuple[Numbers, Numbers, Flags]:
    counted, of_x, of_y, of_xy, of_xx = (window.zeros() for _ in range(5))
    base, _ = first(window)
    for values, present, at in window:
        x, y = np.where(present, at, 0.0), np.where(present, values - base, 0.0)
        counted, of_x, of_y = counted + present, of_x + x, of_y + y
        of_xy, of_xx = of_xy + x * y, of_xx + x * x
    many = np.maximum(counted, 1)
    grown = (of_xy - of_x * of_y / many) / (of_xx - of_x * of_x / many)
    return grown, of_y / many - grown * of_x / many + base, counted > 1


def quantile(window: Window, share: Numbers) -> Result:
    """The value below which a share of the samples is, between the two nearest; infinite for shares beyond 0 and 1."""
    result, seen = window.zeros(), window.zeros() > 0
    samples = window.samples
    at_once = max(1, QUANTILE_CELLS // max(1, window.slices * len(window.ends)))
    for start in range(0, len(samples.labels), at_once):
        part = slice(start, start + at_once)
        some = Samples(
            samples.labels[part], samples.values[part], samples.present[part], samples.first, samples.spacing
        )
        found = [(values, present) for values, present, _ in replace(window, samples=some)]
        if found:
            values, present = (np.stack(each) for each in zip(*found, strict=True))
            result[part], seen[part] = quantiles(values, present, share), present.any(axis=0)
    return result, seen


def quantiles(values: Numbers, present: Flags, share: Numbers) -> Numbers:
    """Quantiles over the first axis, of the values that are present; a NaN is less than all others.

    Args:
        values: samples x series x times.
        present: likewise.
        share: times.
    """
    # Sorted: NaN, numbers, and after them what is not there.
    numbers = np.where(present, np.where(np.isnan(values), -np.inf, values), np.inf)
    order = np.lexsort((numbers, ~np.isnan(values), ~present), axis=0)
    ordered = np.take_along_axis(values, order, axis=0)
    many = present.sum(axis=0)
    rank = np.clip(np.where(np.isnan(share), 0.0, share), 0.0, 1.0) * (many - 1)
    below = np.clip(np.floor(rank), 0, None).astype(np.intp)
    above = np.minimum(below + 1, np.maximum(many - 1, 0))
    weight = rank - np.floor(rank)
    lower, upper = (np.take_along_axis(ordered, each[None], axis=0)[0] for each in (below, above))
    found = lower * (1 - weight) + upper * weight
    found = np.where(share < 0, -np.inf, np.where(share > 1, np.inf, found))
    return np.where(np.isnan(share), np.nan, found)


FUNCTIONS: Mapping[str, Function] = {
    "avg_over_time": mean,
    "changes": changes,
    "count_over_time": count,
    "delta": delta,
    "deriv": slope,
    "first_over_time": first,
    "idelta": instant_delta,
    "increase": increase,
    "irate": instant_rate,
    "last_over_time": last,
    "max_over_time": greatest,
    "min_over_time": least,
    "present_over_time": is_there,
    "rate": rate,
    "resets": resets,
    "stddev_over_time": deviation,
    "stdvar_over_time": variance,
    "sum_over_time": total,
}
"""By their names in PromQL: those of a window and nothing else."""
