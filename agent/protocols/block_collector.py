"""Header blocks of HTTP/2 (RFC 9113 4.3) out of HEADERS or PUSH_PROMISE, and CONTINUATION."""

from collections import Counter

from msgspec import Struct

from agent.protocols.exchange import Piece
from agent.protocols.http2_frames import END_HEADERS, END_STREAM, HEADERS, PADDED, PRIORITY, header_fragment
from agent.protocols.http2_losses import Loss

MAXIMUM_BLOCK = 256 * 1024
"""Bytes of a header block that are collected."""

_AROUND = END_HEADERS | PADDED | PRIORITY  # what says that there is more to a frame than a block, or to a block


class BlockHead(Struct, eq=False, gc=False):
    """What the first frame of a header block says beside the block."""

    stream: int
    promised: int | None
    """None with HEADERS; with PUSH_PROMISE the promised stream, 0 when that is not known."""
    ends: bool
    """Whether it ends the flow's half of the stream."""
    began: Piece
    """The piece with its first byte."""


class BlockCollector:
    """Collects the header blocks of one flow, one after the other."""

    __slots__ = ("_fragments", "_losses", "head")

    def __init__(self, losses: Counter[str]) -> None:
        self._losses = losses
        self.head: BlockHead | None = None
        """Of a block that goes on with CONTINUATION."""
        self._fragments: bytearray | None = None  # None also when the block is lost

    @property
    def kept_bytes(self) -> int:
        """Bytes that are kept."""
        return len(self._fragments or b"")

    def clear(self) -> None:
        """Drop a block that will not be completed."""
        self.head = self._fragments = None

    def first(
        self, kind: int, flags: int, stream: int, payload: bytes | None, began: Piece
    ) -> tuple[BlockHead, bytes | None] | None:
        """Take HEADERS or PUSH_PROMISE; as `goes_on`.

        Args:
            kind: Its type.
            flags: Its flags.
            stream: Its stream.
            payload: Its payload; None when that was not captured or too long.
            began: The piece with the first byte of the frame.
        """
        if kind == HEADERS and flags & _AROUND == END_HEADERS and payload is not None:  # nearly every block
            return BlockHead(stream, None, ends=flags & END_STREAM != 0, began=began), payload
        fragment, promised = (None, 0) if payload is None else header_fragment(kind, flags, payload)
        if fragment is None:
            self._losses[Loss.BLOCK_HIDDEN] += 1
        is_headers = kind == HEADERS
        head = BlockHead(
            stream, None if is_headers else promised, ends=is_headers and flags & END_STREAM != 0, began=began
        )
        if flags & END_HEADERS:
            return head, fragment
        self.head = head
        self._fragments = None if fragment is None else bytearray(fragment)
        return None

    def goes_on(self, flags: int, payload: bytes | None) -> tuple[BlockHead, bytes | None] | None:
        """Take CONTINUATION: the block if it ends with that, itself None when a part of it is missing."""
        if self._fragments is not None:
            if payload is not None and len(self._fragments) + len(payload) <= MAXIMUM_BLOCK:
                self._fragments += payload
            else:
                self._losses[Loss.BLOCK_HIDDEN if payload is None else Loss.BLOCK_TOO_LONG] += 1
                self._fragments = None
        if not flags & END_HEADERS or self.head is None:
            return None
        ended = self.head, None if self._fragments is None else bytes(self._fragments)
        self.clear()
        return ended
