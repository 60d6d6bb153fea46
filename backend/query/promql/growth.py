"""Functions of windows that tell how much a series grows."""

import numpy as np

from backend.query.promql.over_time import first
from backend.query.promql.series import Flags, Numbers
from backend.query.promql.windows import Result, Window

_FAR = 1.1
"""Samples further from an end of the window than this many mean distances are taken to have begun or ended there."""


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
