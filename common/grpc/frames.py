"""Frames of HTTP/2 out of bytes that end anywhere, each by itself."""

from collections.abc import Iterator

HEAD = 9
"""Bytes before the payload: its length in 24 bits, type, flags, stream (RFC 9113, section 4.1)."""
LARGEST = 16_384
"""Bytes of payload that are accepted: what every receiver must take, and what no setting of ours raises."""
_SETTINGS = 4


class NotHttp2(Exception):  # noqa: N818 - what the bytes are
    """The message says what was found instead."""


class FrameSplitter:
    """Holds the part of a frame that has come.

    h2 can find frames itself, but would hold up to 16 MB before it refuses one that is too long, and forgets what came
    before a frame that it refuses.
    """

    def __init__(self) -> None:
        self._held = b""
        self._begun = False

    def split(self, received: bytes) -> Iterator[bytes]:
        """The frames that are whole now.

        Raises:
            NotHttp2: a frame is too long, or the first one is none of SETTINGS.
        """
        held, at = self._held + received if self._held else received, 0
        try:
            while len(held) - at >= HEAD:
                length = int.from_bytes(held[at : at + 3], "big")
                self._check(held, at, length)
                if len(held) - at < HEAD + length:
                    break
                frame = held[at : at + HEAD + length]
                at += len(frame)
                yield frame
        finally:
            self._held = held[at:]
        if not self._begun and self._held.startswith(b"HTTP/"):
            raise NotHttp2(_describe(self._held))

    def _check(self, held: bytes, at: int, length: int) -> None:
        if not self._begun:
            if held[at + 3] != _SETTINGS or held[at + 4] or length > LARGEST:
                raise NotHttp2(_describe(held))
            self._begun = True
        if length > LARGEST:
            raise NotHttp2(f"it breaks the rules of HTTP/2: a frame of {length} bytes, where {LARGEST} are allowed")


def _describe(beginning: bytes) -> str:
    """What it is that begins otherwise than HTTP/2 (RFC 9113, section 3.4)."""
    if beginning.startswith(b"HTTP/"):
        line = beginning.partition(b"\r\n")[0][:100].decode("ascii", "replace")
        return f"it answers in HTTP/1 instead of HTTP/2: {line!r}"
    return f"it does not speak HTTP/2; it begins with {beginning[:30]!r}"
