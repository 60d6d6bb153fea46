"""Functions of the values of a vector, one by one, and of its labels."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import re2

from backend.query.promql.errors import impossible, wrong
from backend.query.promql.matching import pattern
from backend.query.promql.series import Labels, Numbers, Vector, labels_of, vector

MAXIMUM_LABEL = 16_384
"""Longest label that label_replace() and label_join() make, in characters."""
_LABEL_NAME = re2.compile("[a-zA-Z_][a-zA-Z0-9_]*")
_PLACE = re2.compile(r"\$(?:\$|(\w+)|\{(\w+)\})")
_EPOCH = "datetime64[s]"
_LONGEST_NUMBER = 9
"""Digits of a number of a group."""
_FIRST_WEEKDAY = 4  # 1970-01-01 was a Thursday


def rounded(values: Numbers, to: Numbers) -> Numbers:
    """The nearest multiples; halves go up."""
    inverse = 1 / to
    return np.floor(values * inverse + 0.5) / inverse


def clamped(values: Numbers, least: Numbers, greatest: Numbers) -> Numbers:
    """Values within bounds."""
    return np.fmax(least, np.fmin(greatest, values))


ONE_BY_ONE: Mapping[str, Callable[[Numbers], Numbers]] = {
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "deg": np.degrees,
    "exp": np.exp,
    "floor": np.floor,
    "ln": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "rad": np.radians,
    "sgn": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
}
"""Functions of a vector and nothing else, by name."""


def _moments(seconds: Numbers) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Seconds without their fractions, and which of them are within the years that clocks know."""
    known = np.abs(seconds) < 1e11  # noqa: PLR2004 - the year 5138
    return np.trunc(np.where(known, seconds, 0.0)).astype(np.int64), known


def _calendar(part: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]]) -> Callable[[Numbers], Numbers]:
    def of_time(seconds: Numbers) -> Numbers:
        moments, known = _moments(seconds)
        return np.where(known, part(moments).astype(np.float64), np.nan)

    return of_time


def _since(moments: npt.NDArray[np.int64], start: str, unit: str) -> npt.NDArray[np.int64]:
    """Whole units since the start of a longer one."""
    times = moments.astype(_EPOCH)
    distance = times.astype(f"datetime64[{unit}]") - times.astype(f"datetime64[{start}]").astype(f"datetime64[{unit}]")
    units: npt.NDArray[np.int64] = distance.astype(np.int64)
    return units


def _days_in_month(moments: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    month = moments.astype(_EPOCH).astype("datetime64[M]")
    length = (month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")
    days: npt.NDArray[np.int64] = length.astype(np.int64)
    return days


OF_TIME: Mapping[str, Callable[[Numbers], Numbers]] = {
    "day_of_month": _calendar(lambda moments: _since(moments, "M", "D") + 1),
    "day_of_week": _calendar(lambda moments: (moments // 86_400 + _FIRST_WEEKDAY) % 7),
    "day_of_year": _calendar(lambda moments: _since(moments, "Y", "D") + 1),
    "days_in_month": _calendar(_days_in_month),
    "hour": _calendar(lambda moments: moments // 3_600 % 24),
    "minute": _calendar(lambda moments: moments // 60 % 60),
    "month": _calendar(lambda moments: _since(moments, "Y", "M") + 1),
    "year": _calendar(lambda moments: moments.astype(_EPOCH).astype("datetime64[Y]").astype(np.int64) + 1970),
}
"""Functions of seconds since 1970-01-01 UTC, by name."""


def ordered(given: Vector, *, descending: bool) -> Vector:
    """The series by their values where there is one time; a NaN is the last. Over a range the order stays."""
    if given.values.shape[1] != 1:
        return given
    values = given.values[:, 0]
    order = np.lexsort((np.where(np.isnan(values), 0.0, -values if descending else values), np.isnan(values)))
    return Vector([given.labels[row] for row in order], given.values[order], given.present[order])


def replaced(given: Vector, target: str, replacement: str, source: str, expression: str) -> Vector:
    """label_replace(): a label made of what a pattern finds in another. Raises PromqlError."""
    _check_label(target)
    compiled = pattern(expression)

    def replace(labels: Labels) -> Labels:
        known = dict(labels)
        found = compiled.fullmatch(known.get(source, ""))
        return labels if found is None else labels_of({**known, target: _bounded(_expanded(replacement, found))})

    return vector([replace(labels) for labels in given.labels], given.values, given.present)


def joined(given: Vector, target: str, separator: str, sources: Sequence[str]) -> Vector:
    """label_join(): a label made of others. Raises PromqlError."""
    _check_label(target)

    def join(labels: Labels) -> Labels:
        known = dict(labels)
        return labels_of({**known, target: _bounded(separator.join(known.get(source, "") for source in sources))})

    return vector([join(labels) for labels in given.labels], given.values, given.present)


def _bounded(value: str) -> str:
    """A label that was made. Raises PromqlError at once: all of them together may take more memory than there is."""
    if len(value) > MAXIMUM_LABEL:
        raise impossible(f"a label would be longer than {MAXIMUM_LABEL:,} characters: take less of the others")
    return value


def _check_label(name: str) -> None:
    if _LABEL_NAME.fullmatch(name) is None:
        raise wrong(f"{name!r} is not a name of a label: use letters, digits and underscores, and no digit first")


def _expanded(replacement: str, found: "re2._Match[str]") -> str:
    """A text with what groups found in the places of $1, ${1} and ${name}; what there is no group of is empty."""
    result, end = [], 0
    for place in _PLACE.finditer(replacement):
        result.append(replacement[end : place.start()])
        end = place.end()
        name = place[1] or place[2]
        result.append("$" if name is None else _group(found, name))
    return "".join([*result, replacement[end:]])


def _group(found: "re2._Match[str]", name: str) -> str:
    # A number with more digits is of no group, and int() refuses thousands of them.
    group: int | str = int(name) if name.isdigit() and len(name) <= _LONGEST_NUMBER else name
    try:
        return found[group] or ""
    except (IndexError, KeyError):
        return ""
