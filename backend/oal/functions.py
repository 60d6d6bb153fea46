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
    """Sum and number of the values. Value: their mean, cut to a whole number."""
    PERCENT = 5
    """Number of logs that match, and of all. Value: their ratio in 1/10,000."""
    APDEX = 6
    """Twice the satisfied and once the tolerating calls, and all. Value: half of their ratio in 1/10,000."""
    PERCENTILE = 7
    """Number of calls in each bucket (backend/oal/buckets.py). Values: those at some ranks."""
    RATE = 8
    """Number of logs that meet a first condition, and of those that meet a second. Value: their ratio in 1/10,000."""
    DOUBLE_AVG = 9
    """Sum and number of the values. Value: their mean."""
    MAX = 10
    """The greatest value, cut to a whole number of its unit when it is read."""
    MIN = 11
    """The least value, likewise."""
    MAX_DOUBLE = 12
    """The greatest value."""
    MIN_DOUBLE = 13
    """The least value."""
    INDEXED_PERCENTILE = 14
    """As PERCENTILE, with the labels 0 to 4: what upstream has as `percentile`, and no longer advises."""
    HISTOGRAM = 15
    """Number of values in each of some steps of one width. Values: those numbers."""
    LABEL_COUNT = 16
    """Number of logs by label. Values: those numbers."""
    LABEL_AVG = 17
    """Sum and number of the values by label. Values: their means, cut to whole numbers."""


FUNCTIONS = {
    "count": Function.COUNT,
    "cpm": Function.CPM,
    "sum": Function.SUM,
    "longAvg": Function.LONG_AVG,
    "doubleAvg": Function.DOUBLE_AVG,
    "percent": Function.PERCENT,
    "rate": Function.RATE,
    "max": Function.MAX,
    "min": Function.MIN,
    "maxDouble": Function.MAX_DOUBLE,
    "minDouble": Function.MIN_DOUBLE,
    "apdex": Function.APDEX,
    "percentile": Function.INDEXED_PERCENTILE,
    "percentile2": Function.PERCENTILE,
    "histogram": Function.HISTOGRAM,
    "labelCount": Function.LABEL_COUNT,
    "labelAvg": Function.LABEL_AVG,
}
"""By their name in the language."""

EXTREMES = frozenset({Function.MAX, Function.MIN, Function.MAX_DOUBLE, Function.MIN_DOUBLE})
"""Functions that are stored as measures."""
BUCKETED = frozenset({Function.PERCENTILE, Function.INDEXED_PERCENTILE})
"""Functions that are stored by bucket."""
NUMBERED = BUCKETED | {Function.HISTOGRAM}
"""Functions whose labels are whole numbers."""
BY_LABEL = frozenset({Function.LABEL_COUNT, Function.LABEL_AVG})
"""Functions whose labels come from the logs, and so are limited in number."""
LABELLED = NUMBERED | BY_LABEL
"""Functions that are stored with a row for each label."""
VALUED = EXTREMES | {Function.SUM, Function.LONG_AVG, Function.DOUBLE_AVG, Function.LABEL_AVG}
"""Functions whose value has the unit of what they add up."""
DECIMAL = frozenset({Function.DOUBLE_AVG, Function.MAX_DOUBLE, Function.MIN_DOUBLE})
"""Functions whose value may have a fraction."""
NEED_VALUE = (VALUED - {Function.LABEL_AVG}) | {Function.APDEX, Function.HISTOGRAM} | BUCKETED
"""Functions of the value that from() names, which is a number."""
WITHOUT_ARGUMENTS = frozenset(
    {Function.COUNT, Function.CPM, Function.SUM, Function.LONG_AVG, Function.DOUBLE_AVG} | EXTREMES
)

APDEX_TOLERATED = 4
"""A call that takes up to this many times what satisfies is tolerated."""
MAXIMUM_STEPS = 1_000
"""Most steps that a histogram can have."""
MAXIMUM_LABELS = 50
"""Most labels of a metric and entity in a day, where the script does not say."""
LARGEST_MAXIMUM_LABELS = 10_000
"""The most that a script can say."""
