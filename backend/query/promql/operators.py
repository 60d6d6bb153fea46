"""Operators between two values, one by one."""

from collections.abc import Callable, Mapping

import numpy as np

from backend.query.promql.series import Flags, Numbers

Arithmetic = Callable[[Numbers, Numbers], Numbers]
Comparison = Callable[[Numbers, Numbers], Flags]

ARITHMETIC: Mapping[str, Arithmetic] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.power,
    "atan2": np.arctan2,
}
COMPARISONS: Mapping[str, Comparison] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    ">": np.greater,
    "<=": np.less_equal,
    ">=": np.greater_equal,
}
SETS = ("and", "or", "unless")


def computed(operator: str, left: Numbers, right: Numbers, *, as_number: bool) -> tuple[Numbers, Flags]:
    """The results of an operator, and which of them are kept.

    Args:
        operator: one of ARITHMETIC or COMPARISONS.
        left: broadcast with `right`.
        right: likewise.
        as_number: whether comparisons give 1 and 0, and not the left value where they hold.
    """
    if operator in ARITHMETIC:
        values = ARITHMETIC[operator](left, right)
        return values, np.ones_like(values, np.bool_)
    holds = COMPARISONS[operator](left, right)
    if as_number:
        return holds.astype(np.float64), np.ones_like(holds)
    return np.broadcast_to(left, holds.shape).astype(np.float64), holds
