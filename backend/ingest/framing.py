"""Length-prefixed gRPC messages out of a request body that arrives in arbitrary chunks.

A body is a run of <1 byte: compressed or not><4 bytes: length, big-endian><message>. Chunks end anywhere. They are
collected, and whole messages are located in one compiled pass, so that thousands of small messages cost no
interpreted loop.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.ingest.compiled import Integer, compiled
from backend.ingest.status import CallError, Status

PREFIX = 5
"""Bytes before each message: the compressed flag and the length."""
DEFAULT_MESSAGE_LIMIT = 50 * 1024 * 1024
"""Bytes; what SkyWalking's backend accepts."""
GROUP_MESSAGES = 8_192
"""Most messages handed on at once."""
GROUP_BYTES = 4 * 1024 * 1024
"""Decompressed bytes after which a group is handed on, so that a small body cannot unfold all at once."""
ACCEPTED_ENCODINGS = ("identity", "gzip")

_WHOLE, _TOO_LONG, _BAD_FLAG = range(3)
_GZIP_WINDOW = 31  # zlib's number for "a gzip header and the largest window"


@dataclass(frozen=True, slots=True)
class Frames:
    """Whole messages, as ranges of one buffer."""

    data: bytes
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @property
    def buffer(self) -> NDArray[np.uint8]:
        """The buffer as compiled functions want it; not a copy."""
        return np.frombuffer(self.data, np.uint8)

    def __len__(self) -> int:
        return len(self.starts)

    def message(self, index: int) -> bytes:
        """A copy of one message."""
        start = int(self.starts[index])
        return self.data[start : start + int(self.lengths[index])]

    @classmethod
    def of(cls, messages: list[bytes]) -> "Frames":
        """Frames over messages that are already apart."""
        lengths = np.array([len(message) for message in messages], np.int64)
        starts = np.cumsum(lengths) - lengths
        return cls(b"".join(messages), starts, lengths)


@compiled
def _split(
    buffer: NDArray[np.uint8],
    at: Integer,
    limit: int,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    flags: NDArray[np.uint8],
) -> tuple[int, Integer, int]:
    """Locate whole messages from `at` on: (how many, the position behind the last, what stopped it)."""
    end = len(buffer)
    count = 0
    while count < len(starts) and end - at >= PREFIX:
        flag = buffer[at]
        if flag > 1:
            return count, at, _BAD_FLAG
        length = (
            (np.int64(buffer[at + 1]) << 24)
            | (np.int64(buffer[at + 2]) << 16)
            | (np.int64(buffer[at + 3]) << 8)
            | np.int64(buffer[at + 4])
        )
        if length > limit:
            return count, at, _TOO_LONG
        if end - at - PREFIX < length:
            break
        starts[count] = at + PREFIX
        lengths[count] = length
        flags[count] = flag
        count += 1
        at += PREFIX + length
    return count, at, _WHOLE


class Framer:
    """Collects the chunks of one body and gives its messages.

    Args:
        encoding: The call's grpc-encoding: "identity" or "gzip".
        message_limit: Most bytes of one message, compressed and decompressed.

    Raises:
        CallError: UNIMPLEMENTED for another encoding.
    """

    def __init__(self, encoding: str = "identity", message_limit: int = DEFAULT_MESSAGE_LIMIT) -> None:
        if encoding not in ACCEPTED_ENCODINGS:
            raise CallError(
                Status.UNIMPLEMENTED,
                f"grpc-encoding {encoding!r} is not supported; use one of {', '.join(ACCEPTED_ENCODINGS)}",
            )
        self._gzip = encoding == "gzip"
        self._limit = message_limit
        self._chunks: list[bytes] = []
        self.held = 0
        """Bytes collected and not yet given."""
        self.needed = PREFIX
        """`take` gives nothing before this many bytes are held."""

    def add(self, chunk: bytes) -> None:
        """Collect one chunk of the body."""
        if chunk:
            self._chunks.append(chunk)
            self.held += len(chunk)

    def drop(self) -> None:
        """Forget what is held."""
        self._keep(b"")

    def take(self) -> Iterator[Frames]:
        """Every whole message held, in order, in groups of bounded size.

        Raises:
            CallError: After the messages before it: RESOURCE_EXHAUSTED for a message over the limit, INTERNAL for
                one that breaks the framing or the compression.
        """
        if self.held < self.needed:
            return
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks = [data]
        buffer = np.frombuffer(data, np.uint8)
        capacity = min(len(data) // PREFIX + 1, GROUP_MESSAGES)
        at: Integer = 0
        while True:
            starts, lengths = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
            flags = np.empty(capacity, np.uint8)
            count, at, stopped = _split(buffer, at, self._limit, starts, lengths, flags)
            if count:
                frames = Frames(data, starts[:count], lengths[:count])
                if flags[:count].any():
                    yield from self._decompressed(frames, flags[:count])
                else:
                    yield frames
            if stopped == _TOO_LONG:
                raise self._too_long(int.from_bytes(data[at + 1 : at + PREFIX], "big"))
            if stopped == _BAD_FLAG:
                raise CallError(Status.INTERNAL, f"the compressed flag of a message is {data[at]}, neither 0 nor 1")
            if count < capacity:
                break
        self._keep(data[at:])

    def finish(self) -> None:
        """The body has ended. Raises CallError INTERNAL when it ended within a message."""
        if self.held:
            raise CallError(Status.INTERNAL, f"the body ended within a message: {self.held} of its bytes had arrived")

    def _keep(self, tail: bytes) -> None:
        self._chunks = [tail] if tail else []
        self.held = len(tail)
        self.needed = PREFIX
        if len(tail) >= PREFIX:
            self.needed += int.from_bytes(tail[1:PREFIX], "big")

    def _too_long(self, length: int) -> CallError:
        return CallError(
            Status.RESOURCE_EXHAUSTED,
            f"a message of {length} bytes is longer than the {self._limit} this server takes; send smaller messages",
        )

    def _decompressed(self, frames: Frames, flags: NDArray[np.uint8]) -> Iterator[Frames]:
        if not self._gzip:
            raise CallError(
                Status.INTERNAL, "a message is marked as compressed, but the call names no grpc-encoding for it"
            )
        group: list[bytes] = []
        size = 0
        for index in range(len(frames)):
            message = frames.message(index)
            if flags[index]:
                message = self._decompress(message)
            group.append(message)
            size += len(message)
            if size >= GROUP_BYTES:
                yield Frames.of(group)
                group, size = [], 0
        if group:
            yield Frames.of(group)

    def _decompress(self, message: bytes) -> bytes:
        inflater = zlib.decompressobj(_GZIP_WINDOW)
        try:
            plain = inflater.decompress(message, self._limit + 1)
        except zlib.error as error:
            raise CallError(Status.INTERNAL, f"a message does not decompress: {error}") from error
        if len(plain) > self._limit:
            raise CallError(
                Status.RESOURCE_EXHAUSTED,
                f"a message decompresses to more than the {self._limit} bytes this server takes; send smaller messages",
            )
        if not inflater.eof or inflater.unused_data:
            raise CallError(Status.INTERNAL, "a message does not decompress: its gzip stream is not exactly whole")
        return plain
