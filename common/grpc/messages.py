"""Messages of gRPC as the body of a request."""

from collections.abc import Iterable, Iterator

CHUNK = 65_536
"""Bytes of messages that are joined before they are cut into frames, unless told otherwise."""
LARGE = 65_536
"""Bytes of a message that is not copied to be joined with others."""
_UNITS = (("m", 1e-3), ("S", 1.0), ("M", 60.0), ("H", 3600.0))
_LARGEST_TIMEOUT = 99_999_999


def frame_messages(messages: Iterable[bytes], chunk: int = CHUNK) -> Iterator[bytes]:
    """The body that messages make, in pieces of about `chunk` bytes.

    Each message stands behind a flag (not compressed) and its length. Small ones are joined, as a frame for each would
    cost more than the message. Large ones are not copied.
    """
    parts: list[bytes] = []
    size = 0
    for message in messages:
        parts.append(b"\0" + len(message).to_bytes(4, "big"))
        size += 5 + len(message)
        if len(message) >= LARGE:
            yield b"".join(parts)
            yield message
        else:
            parts.append(message)
            if size < chunk:
                continue
            yield b"".join(parts)
        parts.clear()
        size = 0
    if parts:
        yield b"".join(parts)


def encode_timeout(seconds: float) -> str:
    """The value of grpc-timeout: at most eight digits and a unit, rounded up, in milliseconds where they suffice."""
    for unit, length in _UNITS:
        count = -int(-seconds // length)
        if count <= _LARGEST_TIMEOUT:
            return f"{count}{unit}"
    return f"{_LARGEST_TIMEOUT}H"
