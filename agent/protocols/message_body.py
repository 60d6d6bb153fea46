"""Bodies of HTTP/1 messages, whose bytes may be missing: how much of them has passed, and where they end.

Source: RFC 9112 6 and 7.1.
"""

import re
from abc import ABC, abstractmethod
from collections import Counter

from agent.protocols.exchange import Half
from agent.protocols.http1_losses import Loss

_CHUNK_LINE = re.compile(rb"(\r?\n)?([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\n]*)?\r?\n")
"""Size and extensions of a chunk, behind the end of the chunk before."""
_CHUNK_END = re.compile(rb"\r?\n")
_CHUNK_LINE_CUT = re.compile(rb"(?:\r?\n)?[0-9A-Fa-f]{0,16}[ \t]*(?:;[^\n]*)?\r?\Z")
_LAST_CHUNK = re.compile(rb"(?:\r\n|\A)0+[ \t]*(?:;[^\n]*)?\r\n((?:[!-9;-~]+:[^\n]*\r\n)*)\r\n\Z")
"""The end of a chunked body at the end of a call: the chunk of size 0, trailers, the empty line."""
_LONGEST_LINE = 4096
_LAST_CHUNK_BYTES = 1024
_LARGEST_LIKELY_CHUNK = 1 << 24
_LINE_END = 2
_EMPTY_LINES = (b"\n", b"\r\n")


class Body(ABC):
    """What is left of a body."""

    __slots__ = ("is_complete", "is_estimated", "may_be_over")

    def __init__(self) -> None:
        self.is_complete = False
        self.is_estimated = False
        """True once the size that was counted is only about right."""
        self.may_be_over = False
        """True while the beginning of the next message would be no surprise: if a call begins with one, it ended."""

    @abstractmethod
    def read(self, data: bytes, at: int, half: Half, *, begins_call: bool) -> int:
        """Count its next bytes, which begin at `at`; where they end, at the latest with the data."""

    @abstractmethod
    def skip(self, size: int, half: Half) -> int:
        """Count bytes that were not captured, of which it is known that they passed; how many of them were its own."""


class CountedBody(Body):
    """A body whose length is known."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        super().__init__()
        self._left = length

    def read(self, data: bytes, at: int, half: Half, *, begins_call: bool) -> int:  # noqa: ARG002 - not asked here
        """See Body."""
        return at + self.skip(len(data) - at, half)

    def skip(self, size: int, half: Half) -> int:
        """See Body."""
        passed = min(size, self._left)
        half.body_bytes += passed
        self._left -= passed
        self.is_complete = not self._left
        self.may_be_over = False
        return passed


class EndlessBody(Body):
    """A body that ends with its connection."""

    __slots__ = ()

    def read(self, data: bytes, at: int, half: Half, *, begins_call: bool) -> int:  # noqa: ARG002 - not asked here
        """See Body."""
        half.body_bytes += len(data) - at
        return len(data)

    def skip(self, size: int, half: Half) -> int:
        """See Body."""
        half.body_bytes += size
        return size


class ChunkedBody(Body):
    """A body in chunks. Trailers count as header bytes; lines of chunks and their ends count as nothing.

    Where chunk lines were not captured, everything counts as body until the end is seen: at the end of a call the last
    chunk, at its beginning a chunk line (from there on chunks are read again) or the next message.
    """

    __slots__ = ("_announces_trailers", "_in_trailers", "_is_adrift", "_kept", "_left", "_line_end", "_losses")

    def __init__(self, losses: Counter[str], *, announces_trailers: bool) -> None:
        super().__init__()
        self._losses = losses
        self._announces_trailers = announces_trailers
        self._left = 0  # bytes of the chunk under way
        self._line_end = 0  # bytes of the line end behind it
        self._kept = b""  # a line that is not complete
        self._in_trailers = False
        self._is_adrift = False  # where the chunk under way ends is not known

    def read(self, data: bytes, at: int, half: Half, *, begins_call: bool) -> int:
        """See Body."""
        self.may_be_over = self.is_estimated
        if self._is_adrift and not (begins_call and self._finds_chunk(data, at)):
            return self._drift(data, at, half)
        before = at - len(self._kept)
        if self._kept:
            data, at = self._kept + data[at:], 0
            self._kept = b""
        else:
            before = 0
        size = len(data)
        while at < size and not self.is_complete:
            if self._left:
                passed = min(self._left, size - at)
                half.body_bytes += passed
                self._left -= passed
                at += passed
            elif self._in_trailers:
                at = self._trailer(data, at, half)
            else:
                at = self._chunk_line(data, at, half)
        return at + before

    def skip(self, size: int, half: Half) -> int:
        """See Body. All of them: where a gap hides the end of a body, what follows in it is not to be told apart."""
        self.may_be_over = self.is_estimated
        passed = min(size, self._left)
        half.body_bytes += passed
        self._left -= passed
        unknown = size - passed
        if unknown <= self._line_end and not self._kept and not self._left:
            self._line_end -= unknown
        elif unknown:
            self._estimate(half)
            half.body_bytes += unknown
        return size

    def _chunk_line(self, data: bytes, at: int, half: Half) -> int:
        line = _CHUNK_LINE.match(data, at)
        if line and (line[1] is not None) == (self._line_end > 0):
            self._begin_chunk(int(line[2], 16))
            return line.end()
        if self._line_end and (line_end := _CHUNK_END.match(data, at)):
            self._line_end = 0
            return line_end.end()
        if line is None and len(data) - at <= _LONGEST_LINE and _CHUNK_LINE_CUT.match(data, at):
            self._kept = data[at:]
            return len(data)
        self._estimate(half)
        return self._drift(data, at, half)

    def _begin_chunk(self, size: int) -> None:
        self._left = size
        self._line_end = _LINE_END if size else 0
        self._in_trailers = not size

    def _trailer(self, data: bytes, at: int, half: Half) -> int:
        end = data.find(b"\n", at) + 1
        if end:
            if data[at:end] in _EMPTY_LINES:
                self.is_complete = True
            else:
                half.header_bytes += end - at
            return end
        if len(data) - at <= _LONGEST_LINE:
            self._kept = data[at:]
            return len(data)
        self._estimate(half)
        return self._drift(data, at, half)

    def _estimate(self, half: Half) -> None:
        """Go on without knowing where chunks end."""
        half.body_bytes += len(self._kept)
        self._kept, self._left, self._line_end, self._in_trailers = b"", 0, 0, False
        self._is_adrift = self.may_be_over = True
        if not self.is_estimated:
            self.is_estimated = True
            self._losses[Loss.CHUNKED_BODY_ESTIMATED] += 1

    def _finds_chunk(self, data: bytes, at: int) -> bool:
        """Whether a call begins with a chunk line, so likely that chunks are read again from there on."""
        line = _CHUNK_LINE.match(data, at)
        size = int(line[2], 16) if line else 0
        if not line or not 0 < size <= _LARGEST_LIKELY_CHUNK:
            return False
        end = line.end() + size
        if data[end : end + _LINE_END] not in (b"\r\n", b"\r", b""):
            return False
        self._is_adrift = False
        self._line_end = _LINE_END if line[1] else 0
        return True

    def _drift(self, data: bytes, at: int, half: Half) -> int:
        size = len(data)
        last = _LAST_CHUNK.search(data, max(at, size - _LAST_CHUNK_BYTES))
        if last:
            half.body_bytes += last.start() - at
            half.header_bytes += len(last[1])
            self.is_complete = True
        else:
            half.body_bytes += size - at
            # All that may be there of trailers that are longer than what is captured of a call's end.
            self.is_complete = self._announces_trailers and data.endswith(b"\r\n\r\n")
        return size
