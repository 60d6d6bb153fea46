"""Values as the HTTP API of Prometheus writes them."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from backend.query.promql.errors import impossible
from backend.query.promql.series import Flags, Labels, Numbers, Scalar, Times, Value
from backend.query.promql.windows import Window

MAXIMUM_WRITTEN = 1_000_000
"""Most values of an answer."""
_WHOLE = 1e15
"""Whole numbers below are written without a fraction or an exponent."""

Data = Mapping[str, object]


def number(value: float) -> str:
    """A number as text, from which the same number is read."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value.is_integer() and abs(value) < _WHOLE else repr(value)


def instant(value: Value, times: Times) -> Data:
    """The answer about one time."""
    at = int(times[0]) / 1000
    match value:
        case str():
            return {"resultType": "string", "result": [at, value]}
        case Scalar():
            return {"resultType": "scalar", "result": [at, number(float(value.values[0]))]}
        case _:
            result = [
                {"metric": dict(labels), "value": [at, number(float(value.values[row, 0]))]}
                for row, labels in enumerate(value.labels)
                if value.present[row, 0]
            ]
            return {"resultType": "vector", "result": result}


def over_range(labels: Sequence[Labels], values: Numbers, present: Flags, times: Times) -> Data:
    """The answer about a range: series by their labels. Raises PromqlError."""
    _check(int(present.sum()))
    at = times / 1000
    order = sorted((row for row in range(len(labels)) if present[row].any()), key=lambda row: labels[row])
    return {
        "resultType": "matrix",
        "result": [
            {"metric": dict(labels[row]), "values": _points(at[present[row]], values[row][present[row]])}
            for row in order
        ],
    }


def window(asked: Window) -> Data:
    """The samples of one window. Raises PromqlError."""
    samples, end = asked.samples, int(asked.ends[0])
    at = samples.first + np.arange(samples.values.shape[1], dtype=np.int64) * samples.spacing
    within = (at > end - asked.length) & (at <= end)
    return over_range(samples.labels, samples.values, samples.present & within, at)


def _points(at: Numbers, values: Numbers) -> list[tuple[float, str]]:
    return list(zip(at.tolist(), map(number, values.tolist()), strict=True))


def _check(count: int) -> None:
    if count > MAXIMUM_WRITTEN:
        raise impossible(
            f"the answer has {count:,} values, more than {MAXIMUM_WRITTEN:,}: aggregate, or ask for a longer step"
        )
