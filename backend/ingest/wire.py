"""The protobuf wire format, compiled: varints, tags, skipping, UTF-8. Same limits as protobuf's own parser.

Every function takes the position it starts at and the end it must not pass, and returns a position of -1 for bytes
that protobuf refuses. Source: https://protobuf.dev/programming-guides/encoding/ and, for the limits that it leaves
open (five bytes for a tag or a length, one hundred levels), differential tests against protobuf.
"""

import numpy as np
from numpy.typing import NDArray

from backend.ingest.compiled import Integer, compiled

VARINT, FIXED64, DELIMITED, START_GROUP, END_GROUP, FIXED32 = range(6)
DEPTH_LIMIT = 100
"""Levels of messages and groups that protobuf follows."""
_SHORT = 5  # most bytes of a tag or a length
_TAG_MAXIMUM = (1 << 32) - 1
_LENGTH_MAXIMUM = (1 << 31) - 1


@compiled
def varint(buffer: NDArray[np.uint8], at: Integer, end: Integer) -> tuple[Integer, Integer]:
    """(value modulo 2^64 as a signed number, next position)."""
    value, shift = np.int64(0), 0
    while at < end and shift < 70:
        byte = buffer[at]
        at += 1
        if shift < 64:
            value |= np.int64(byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return np.int64(0), -1


@compiled
def tag(buffer: NDArray[np.uint8], at: Integer, end: Integer) -> tuple[Integer, Integer]:
    """(field number << 3 | wire type, next position). Field number 0 is for the caller to refuse."""
    if at < end and buffer[at] < 0x80:
        return np.int64(buffer[at]), at + 1
    value, after = varint(buffer, at, end)
    if after < 0 or after - at > _SHORT or value < 0 or value > _TAG_MAXIMUM:
        return np.int64(0), -1
    return value, after


@compiled
def length(buffer: NDArray[np.uint8], at: Integer, end: Integer) -> tuple[Integer, Integer]:
    """(length of what follows, its position); what follows ends before `end`."""
    value, after = varint(buffer, at, end)
    if after < 0 or after - at > _SHORT or value < 0 or value > _LENGTH_MAXIMUM or value > end - after:
        return np.int64(0), -1
    return value, after


@compiled
def skip(buffer: NDArray[np.uint8], at: Integer, end: Integer, key: Integer, depth: int) -> Integer:
    """The position behind the value of an unknown field whose tag was `key`.

    `depth` is the number of levels the field is in already.
    """
    if key & 7 == START_GROUP:
        return _skip_group(buffer, at, end, key >> 3, depth)
    return _skip_value(buffer, at, end, key & 7)


@compiled
def _skip_value(buffer: NDArray[np.uint8], at: Integer, end: Integer, kind: Integer) -> Integer:
    if kind == DELIMITED:
        size, after = length(buffer, at, end)
        return after + size if after >= 0 else -1
    if kind == VARINT:
        return varint(buffer, at, end)[1]
    if kind == FIXED64:
        return at + 8 if end - at >= 8 else -1
    if kind == FIXED32:
        return at + 4 if end - at >= 4 else -1
    return -1


@compiled
def _skip_group(buffer: NDArray[np.uint8], at: Integer, end: Integer, number: Integer, depth: int) -> Integer:
    """The position behind a group, and the groups in it. In groups, field number 0 passes, as in protobuf."""
    open_groups = np.empty(DEPTH_LIMIT, np.int64)
    level = 0
    if depth >= DEPTH_LIMIT:
        return -1
    open_groups[0] = number
    while True:
        key, at = tag(buffer, at, end)
        if at < 0:
            return -1
        kind = key & 7
        if kind == START_GROUP:
            level += 1
            if depth + level >= DEPTH_LIMIT:
                return -1
            open_groups[level] = key >> 3
        elif kind == END_GROUP:
            if open_groups[level] != key >> 3:
                return -1
            level -= 1
            if level < 0:
                return at
        else:
            at = _skip_value(buffer, at, end, kind)
            if at < 0:
                return -1


@compiled
def utf8(buffer: NDArray[np.uint8], at: Integer, end: Integer) -> bool:
    """Whether these bytes are UTF-8 (RFC 3629: shortest form, no surrogates, nothing above U+10FFFF)."""
    while at < end:
        first = buffer[at]
        if first < 0x80:
            at += 1
            continue
        if 0xC2 <= first <= 0xDF:
            more, low, high = 1, 0x80, 0xBF
        elif 0xE0 <= first <= 0xEF:
            more = 2
            low = 0xA0 if first == 0xE0 else 0x80
            high = 0x9F if first == 0xED else 0xBF
        elif 0xF0 <= first <= 0xF4:
            more = 3
            low = 0x90 if first == 0xF0 else 0x80
            high = 0x8F if first == 0xF4 else 0xBF
        else:
            return False
        if end - at <= more or not low <= buffer[at + 1] <= high:
            return False
        for behind in range(at + 2, at + 1 + more):
            if not 0x80 <= buffer[behind] <= 0xBF:
                return False
        at += 1 + more
    return True
