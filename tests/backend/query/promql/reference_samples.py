"""What the slow evaluator makes of several numbers, and of the samples in a window."""

import math
import statistics
from collections.abc import Callable, Mapping
from itertools import pairwise


def quantile(share: float, numbers: list[float]) -> float:
    if share < 0 or share > 1:
        return math.copysign(math.inf, share)
    ordered = _ordered(numbers)
    rank = share * (len(ordered) - 1)
    below = int(rank)
    above = min(below + 1, len(ordered) - 1)
    weight = rank - below
    return ordered[below] * (1 - weight) + ordered[above] * weight


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)


def _variance(numbers: list[float]) -> float:
    mean = _mean(numbers)
    return _mean([(number - mean) * (number - mean) for number in numbers])


def _ordered(numbers: list[float]) -> list[float]:
    """A NaN is less than all others."""
    return sorted(numbers, key=lambda number: (not math.isnan(number), 0.0 if math.isnan(number) else number))


def _some(numbers: list[float]) -> list[float]:
    """Numbers, or NaN where there are none."""
    return [number for number in numbers if not math.isnan(number)] or [math.nan]


AGGREGATIONS: Mapping[str, Callable[[list[float]], float]] = {
    "sum": sum,
    "avg": _mean,
    "min": lambda numbers: min(_some(numbers)),
    "max": lambda numbers: max(_some(numbers)),
    "count": lambda numbers: float(len(numbers)),
    "group": lambda _: 1.0,
    "stddev": lambda numbers: math.sqrt(_variance(numbers)),
    "stdvar": _variance,
}


Samples = list[tuple[int, float]]


def _grown(samples: Samples, start: int, end: int, *, counter: bool) -> float | None:
    if len(samples) < 2:
        return None
    (first_at, first), (last_at, last) = samples[0], samples[-1]
    result = last - first
    if counter:
        result += sum(before for (_, before), (_, after) in pairwise(samples) if after < before)
    sampled = (last_at - first_at) / 1000
    mean = sampled / (len(samples) - 1)
    to_start, to_end = (first_at - start) / 1000, (end - last_at) / 1000
    if counter and result > 0 and first >= 0:
        to_start = min(to_start, sampled * (first / result))
    reached = sampled
    for rest in (to_start, to_end):
        reached += rest if rest < mean * 1.1 else mean / 2
    return result * (reached / sampled)


def _rate(samples: Samples, start: int, end: int) -> float | None:
    grown = _grown(samples, start, end, counter=True)
    return None if grown is None else grown / ((end - start) / 1000)


def _slope(samples: Samples, _start: int, _end: int) -> float | None:
    if len(samples) < 2:
        return None
    return statistics.linear_regression([at / 1000 for at, _ in samples], [number for _, number in samples]).slope


def _irate(samples: Samples, _start: int, _end: int) -> float | None:
    if len(samples) < 2:
        return None
    (before_at, before), (after_at, after) = samples[-2:]
    return (after if after < before else after - before) / ((after_at - before_at) / 1000)


def _pairs(samples: Samples) -> list[tuple[float, float]]:
    numbers = [number for _, number in samples]
    return list(pairwise(numbers))


def _plain(function: Callable[[list[float]], float]) -> Callable[[Samples, int, int], float | None]:
    return lambda samples, _start, _end: float(function([number for _, number in samples]))


OVER_TIME: Mapping[str, Callable[[Samples, int, int], float | None]] = {
    **{
        f"{name}_over_time": _plain(AGGREGATIONS[name])
        for name in ("sum", "avg", "min", "max", "count", "stddev", "stdvar")
    },
    "last_over_time": _plain(lambda numbers: numbers[-1]),
    "present_over_time": _plain(lambda _: 1.0),
    "rate": _rate,
    "increase": lambda samples, start, end: _grown(samples, start, end, counter=True),
    "delta": lambda samples, start, end: _grown(samples, start, end, counter=False),
    "irate": _irate,
    "idelta": lambda samples, *_: samples[-1][1] - samples[-2][1] if len(samples) > 1 else None,
    "deriv": _slope,
    "changes": lambda samples, *_: float(sum(before != after for before, after in _pairs(samples))),
    "resets": lambda samples, *_: float(sum(after < before for before, after in _pairs(samples))),
}
