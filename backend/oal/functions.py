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


SUPPORTED = {
    "count": Function.COUNT,
    "cpm": Function.CPM,
    "sum": Function.SUM,
    "longAvg": Function.LONG_AVG,
    "percent": Function.PERCENT,
}
"""By their name in the language."""

UNSUPPORTED = frozenset(
    {
        "apdex",
        "doubleAvg",
        "histogram",
        "labelAvg",
        "labelCount",
        "max",
        "maxDouble",
        "min",
        "minDouble",
        "percentile",
        "percentile2",
        "rate",
    }
)
"""Functions of the language that are not built yet."""
