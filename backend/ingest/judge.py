"""Which logs may enter a sum, and in which minute: one compiled pass over a run of decoded logs."""

import numpy as np
from numpy.typing import NDArray

from backend.ingest.batch import LogKind
from backend.ingest.compiled import compiled
from backend.ingest.counts import LogLoss

MINUTE_NS = 60_000_000_000
LARGEST_VALUE = 1 << 53
"""A count, size or duration above this (104 days in nanoseconds, 9 petabytes in one call) is a defect of its sender.
A thousand of them still add up within 64 bits."""

NONE = int(LogLoss.NONE)
UNKNOWN_OPERATION = int(LogLoss.UNKNOWN_OPERATION)
NODE_MISSING = int(LogLoss.NODE_MISSING)
TIME_MISSING = int(LogLoss.TIME_MISSING)
TIME_INVERTED = int(LogLoss.TIME_INVERTED)
TIME_FUTURE = int(LogLoss.TIME_FUTURE)
TIME_EXPIRED = int(LogLoss.TIME_EXPIRED)
VALUE_OUT_OF_RANGE = int(LogLoss.VALUE_OUT_OF_RANGE)

LARGEST_KIND = int(max(LogKind))


@compiled
def judge(
    message: NDArray[np.int32],
    operation: NDArray[np.int8],
    values: NDArray[np.int64],
    start_column: int,
    counted: NDArray[np.bool_],
    connection_of: NDArray[np.int32],
    boot_of: NDArray[np.int64],
    earliest: int,
    latest: int,
    cause: NDArray[np.int8],
    minute: NDArray[np.int32],
    duration: NDArray[np.int64],
) -> int:
    """Decide about each log; returns how many may pass.

    Args:
        message: Per log, its message.
        operation: Per log, its kind.
        values: Decoded columns; the times are the four columns from `start_column` on.
        start_column: See `values`.
        counted: [kind, column]: whether the column holds a count, a size or a duration in logs of the kind.
        connection_of: Per message, the index of its connection, or minus the LogLoss for which it has none.
        boot_of: Per message, Unix time in ns at offset 0 of its node; 0 if not known.
        earliest: Unix time in ns before which nothing is kept.
        latest: Unix time in ns after which nothing can have happened yet.
        cause: Filled per log with a LogLoss.
        minute: Filled per log with minutes since 1970-01-01 UTC.
        duration: Filled per log with nanoseconds.
    """
    passed = 0
    for row in range(len(message)):
        owner = message[row]
        boot = boot_of[owner]
        start, end = values[start_column, row], values[start_column + 1, row]
        why = NONE
        if connection_of[owner] < 0:
            why = -connection_of[owner]
        elif operation[row] < 1 or operation[row] > LARGEST_KIND:
            why = UNKNOWN_OPERATION
        elif boot == 0:
            why = NODE_MISSING
        elif values[start_column + 2, row] == 0 or values[start_column + 3, row] == 0:
            why = TIME_MISSING
        elif end < start:
            why = TIME_INVERTED
        elif end > latest - boot:
            why = TIME_FUTURE
        elif start < earliest - boot:
            why = TIME_EXPIRED
        cause[row] = why
        if why == NONE:
            minute[row] = (boot + start) // MINUTE_NS
            duration[row] = end - start
            passed += 1
    for column in range(start_column):
        for row in range(len(message)):
            if (
                (values[column, row] < 0 or values[column, row] > LARGEST_VALUE)
                and cause[row] == NONE
                and counted[operation[row], column]
            ):
                cause[row] = VALUE_OUT_OF_RANGE
                passed -= 1
    return passed
