"""Functions of the samples in windows, each by itself or against the one before it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from backend.query.promql.series import Flags, Numbers, Samples
from backend.query.promql.windows import Result, Window

QUANTILE_CELLS = 4_000_000
"""About how many values are sorted at a time."""


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
