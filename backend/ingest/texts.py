"""Byte ranges that have the same content, found by one compiled pass: paths and hosts come again in most logs."""

import numpy as np
from numpy.typing import NDArray

from backend.ingest.compiled import compiled

_PROBES = 8
"""Places of the table that are looked at. A range that finds none counts as another content, so that no choice of
contents makes this slow; who asks has to expect the same content twice."""
_BASIS, _PRIME = np.int64(-3_750_763_034_362_895_579), np.int64(1_099_511_628_211)
"""Of the hash FNV-1a with 64 bits."""


def alike(
    data: bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Which of some byte ranges have the same content.

    Args:
        data: What they are ranges of; each lies within.
        starts: Per range.
        lengths: Per range.

    Returns:
        Ranges that have all contents among them, and per range, which of these has its content.
    """
    table = np.full(1 << max(2 * len(starts) - 1, 1).bit_length(), -1, np.int32)
    firsts, found = np.empty(len(starts), np.int32), np.empty(len(starts), np.int32)
    count = _alike(np.frombuffer(data, np.uint8), starts, lengths, table, firsts, found)
    return firsts[:count], found


@compiled
def _alike(
    buffer: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    table: NDArray[np.int32],
    firsts: NDArray[np.int32],
    found: NDArray[np.int32],
) -> int:
    """Fill `firsts` and `found`; returns how many `firsts` there are. The table has -1s, a power of two of them."""
    count, last = 0, len(table) - 1
    for i in range(len(starts)):
        start, length = starts[i], lengths[i]
        found[i] = -1
        if 0 <= start <= len(buffer) and 0 <= length <= len(buffer) - start:
            key = _BASIS
            for at in range(start, start + length):
                key = (key ^ np.int64(buffer[at])) * _PRIME
            place = (key ^ (key >> 32)) & last
            for _ in range(_PROBES):
                other = table[place]
                if other < 0:
                    table[place] = count
                    break
                first = starts[firsts[other]]
                if lengths[firsts[other]] == length:
                    same = 0
                    while same < length and buffer[first + same] == buffer[start + same]:
                        same += 1
                    if same == length:
                        found[i] = other
                        break
                place = (place + 1) & last
        if found[i] < 0:
            firsts[count] = i
            found[i] = count
            count += 1
    return count
