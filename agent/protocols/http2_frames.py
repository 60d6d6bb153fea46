"""Frames of HTTP/2 (RFC 9113 4 and 6): their kinds, what a frame of each kind must look like, and parts of payloads."""

import struct
from enum import IntEnum, IntFlag

from agent.protocols.exchange import REQUESTS, RESPONSES, Flow

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends before its frames."""
MAXIMUM_STREAM = (1 << 31) - 1
"""The last stream that a connection can have."""
FRAME_HEADER = 9
"""Bytes of a frame header."""
DEFAULT_FRAME_SIZE = 16_384
"""Most bytes of a payload before SETTINGS_MAX_FRAME_SIZE says more."""
MAXIMUM_FRAME_SIZE = (1 << 24) - 1
"""Most bytes of a payload that a frame can have."""


class FrameKind(IntEnum):
    """Values of a frame's type. Types beside these are skipped."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class FrameFlag(IntFlag):
    """Bits of a frame's flags."""

    ACK = 0x1
    END_STREAM = 0x1
    END_HEADERS = 0x4
    PADDED = 0x8
    PRIORITY = 0x20


class Setting(IntEnum):
    """Identifiers of the settings that matter to a reader."""

    HEADER_TABLE_SIZE = 1
    MAX_FRAME_SIZE = 5


# Plain integers: comparing with members of enumerations costs several times as much, for every frame.
DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, CONTINUATION = 0, 1, 3, 4, 5, 9
END_STREAM, END_HEADERS, PADDED, PRIORITY = 0x1, 0x4, 0x8, 0x20

FrameHeader = tuple[int, int, int, int]
"""Length of the payload, type, flags and stream."""

PLAIN_HEADER = struct.Struct(">HBHL")
"""A frame header as it is: the length's upper and lower part, type and flags as one number, and the stream with the
reserved bit before it."""
_HEADER = struct.Struct(">HBBBL")
_SETTING = struct.Struct(">HL")
_NUMBER = struct.Struct(">L")

_SIZES: dict[int, tuple[int, int]] = {
    FrameKind.PRIORITY: (5, 5),
    FrameKind.RST_STREAM: (4, 4),
    FrameKind.PUSH_PROMISE: (4, MAXIMUM_FRAME_SIZE),
    FrameKind.PING: (8, 8),
    FrameKind.GOAWAY: (8, MAXIMUM_FRAME_SIZE),
    FrameKind.WINDOW_UPDATE: (4, 4),
}
_OF_CONNECTION = frozenset((FrameKind.SETTINGS, FrameKind.PING, FrameKind.GOAWAY))
_OF_STREAM = frozenset(FrameKind) - _OF_CONNECTION - {FrameKind.WINDOW_UPDATE}
_LARGEST_SETTINGS = _SETTING.size * 256
_FLAGS: dict[int, int] = {
    FrameKind.DATA: END_STREAM | PADDED,
    FrameKind.HEADERS: END_STREAM | END_HEADERS | PADDED | PRIORITY,
    FrameKind.SETTINGS: FrameFlag.ACK,
    FrameKind.PUSH_PROMISE: END_HEADERS | PADDED,
    FrameKind.PING: FrameFlag.ACK,
    FrameKind.CONTINUATION: END_HEADERS,
}


def frame_header(data: bytes | bytearray, at: int = 0) -> FrameHeader:
    """The frame header at a place that has all of it."""
    high, low, kind, flags, stream = _HEADER.unpack_from(data, at)
    return high << 8 | low, kind, flags, stream & MAXIMUM_STREAM


def is_valid(flow: Flow, length: int, kind: int, flags: int, stream: int) -> bool:
    """Whether a reader that knows where frames begin may take this for one (RFC 9113 6); all unknown types are."""
    if kind <= HEADERS:
        least = (1 if flags & PADDED else 0) + (5 if kind and flags & PRIORITY else 0)
        return length >= least and (stream & 1 == 1 or (flow is RESPONSES and stream != 0))
    if kind > CONTINUATION:
        return True
    if (kind in _OF_STREAM and not stream) or (kind in _OF_CONNECTION and stream):
        return False
    if kind == PUSH_PROMISE and flow is REQUESTS:
        return False
    if kind == SETTINGS:
        return length <= (0 if flags & FrameFlag.ACK else _LARGEST_SETTINGS) and length % _SETTING.size == 0
    least, most = _SIZES.get(kind, (0, MAXIMUM_FRAME_SIZE))
    return least <= length <= most


def is_plausible(flow: Flow, header: bytes, maximum_stream: int, *, first: bool) -> bool:
    """Whether bytes that may be anything look like a frame header.

    Stricter than `is_valid`: known types, defined flags and a clear reserved bit alone, no CONTINUATION as the first
    of a run, no messages on streams of the server, which are rare, and no empty DATA frame that ends nothing, which is
    what a run of zeros looks like.

    Args:
        flow: Whose bytes these are.
        header: As many as a frame header has.
        maximum_stream: The last stream that there may be.
        first: Whether nothing is known of what was before.
    """
    length, kind, flags, stream = frame_header(header)
    if kind > CONTINUATION or flags & ~_FLAGS.get(kind, 0) or header[5] & 0x80:
        return False
    if stream > maximum_stream or (kind <= HEADERS and not stream & 1):
        return False
    if (kind == CONTINUATION and first) or (kind == DATA and not length and not flags & END_STREAM):
        return False
    return is_valid(flow, length, kind, flags, stream)


def header_fragment(kind: int, flags: int, payload: bytes) -> tuple[bytes | None, int]:
    """The part of a header block in a HEADERS or PUSH_PROMISE payload, and the promised stream (0 with HEADERS).

    The part is None when the padding is longer than the payload.
    """
    begin, end, promised = 0, len(payload), 0
    if flags & PADDED:
        begin, end = 1, end - payload[0]
    if kind == PUSH_PROMISE:
        if end - begin < _NUMBER.size:
            return None, 0
        promised = _NUMBER.unpack_from(payload, begin)[0] & MAXIMUM_STREAM
        begin += _NUMBER.size
    elif flags & PRIORITY:
        begin += 5
    return payload[begin:end] if begin <= end else None, promised


def settings_of(payload: bytes) -> list[tuple[int, int]]:
    """Identifiers and values of a SETTINGS payload, in order."""
    return list(_SETTING.iter_unpack(payload))


def last_stream_of(payload: bytes) -> int:
    """The last stream that the sender of a GOAWAY has taken on."""
    return int(_NUMBER.unpack_from(payload)[0]) & MAXIMUM_STREAM
