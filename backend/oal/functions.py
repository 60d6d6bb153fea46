"""The functions that turn logs into metrics."""

from enum import IntEnum


class Function(IntEnum):
    """What a metric adds up, and how its value is read (backend/metrics/windows.py)."""

    COUNT = 1
    """Number of logs. Value: the total."""
    CPM = 2
    """Number of logs. Value: the total per minute."""
    SUM = 3
    """Sum of the values. Value: the total."""
    LONG_AVG = 4
    """Sum and number of the values. Value: their mean."""
    PERCENT = 5
    """Number of logs that match, and of all. Value: their ratio in 1/10,000."""
    APDEX = 6
    """Twice the satisfied and once the tolerating calls, and all. Value: half of their ratio in 1/10,000."""
    PERCENTILE = 7
    """Number of calls in each bucket (backend/oal/buckets.py). Values: those at some ranks."""


VALUED = frozenset({Function.SUM, Function.LONG_AVG})
"""Functions whose value has the unit of what they add up."""
NEED_VALUE = VALUED | {Function.APDEX, Function.PERCENTILE}
"""Functions of a value, which is a whole number."""
HAVE_ARGUMENTS = frozenset({Function.PERCENT, Function.APDEX, Function.PERCENTILE})

APDEX_THRESHOLD = 500
"""Milliseconds within which a call that succeeds satisfies; within four times as many it is tolerated. The default of
Apache SkyWalking."""
APDEX_TOLERATED = 4


SUPPORTED = {
    "count": Function.COUNT,
    "cpm": Function.CPM,
    "sum": Function.SUM,
    "longAvg": Function.LONG_AVG,
    "percent": Function.PERCENT,
    "apdex": Function.APDEX,
    "percentile2": Function.PERCENTILE,
}
"""By their name in the language."""

UNSUPPORTED = frozenset(
    {
        "doubleAvg",
        "histogram",
        "labelAvg",
        "labelCount",
        "max",
        "maxDouble",
        "min",
        "minDouble",
        "percentile",
        "rate",
    }
)
"""Functions of the language that are not built yet."""
