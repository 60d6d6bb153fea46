"""One of the two streams of an HTTP/1 connection, cut into heads and bodies, found again where bytes were missed."""

import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from agent.protocols.exchange import Half, Head, Piece
from agent.protocols.http1_calls import Calls
from agent.protocols.http1_head import CHUNKED, end_of_head
from agent.protocols.http1_losses import Loss
from agent.protocols.message_body import Body, ChunkedBody, CountedBody, EndlessBody

_LINE_ENDS = b"\r\n"
_Head = TypeVar("_Head", bound=Head)


class Syntax(NamedTuple):
    """What tells the messages of a stream, and what their losses are called."""

    start: re.Pattern[bytes]
    """A first line."""
    start_cut: re.Pattern[bytes]
    """What may become one."""
    found: re.Pattern[bytes]
    """One, or what becomes one, so likely that reading may begin with it."""
    gap: Loss
    malformed: Loss
    too_long: Loss


class MessageReader(ABC, Generic[_Head]):
    """Reads a stream. Its subclasses say what its messages are."""

    kind: type[_Head]
    """What their heads say."""
    read: Callable[[bytes], _Head | None]
    """Reads a head; None when it is none."""
    holds_anything = False
    """Whether what has to wait may be something else than a message."""

    def __init__(self, calls: Calls, syntax: Syntax, *, joined: bool) -> None:
        self.calls = calls
        self.half = Half()
        """What the body under way is counted in."""
        self.announces_trailers = False
        """Whether the head before it does."""
        self.held: deque[tuple[Piece, bool]] = deque()
        """What is not read yet, because the other stream has to be known first; and whether it begins a call."""
        self._held_bytes = 0
        self._head_bytes = calls.limits.head_bytes
        self._syntax = syntax
        self._body: Body | None = None
        self._head = bytearray()
        self._head_begins = Piece(0, 0, 0, 0, None)  # that of its first byte
        self._is_lost = joined
        self._call_ns = -1

    @property
    def has_begun(self) -> bool:
        """Whether a part of a head is there."""
        return bool(self._head)

    @abstractmethod
    def may_begin(self, first_ns: int) -> bool:
        """Whether a message that begins then can be read now."""

    @abstractmethod
    def begin(self, head: _Head, first: Piece, last: Piece) -> int:
        """Take a head and the pieces of its first and last byte.

        Returns:
            The length of the body behind it: bytes, CHUNKED or UNTIL_END; 0 when there is none, or nothing follows that
            could be read.
        """

    @abstractmethod
    def finish(self) -> None:
        """The body under way is complete."""

    @abstractmethod
    def doubt(self) -> None:
        """The order of its messages is lost from here on."""

    @abstractmethod
    def miss(self, piece: Piece) -> None:
        """What was in a piece is not known."""

    @abstractmethod
    def estimate(self, piece: Piece) -> None:
        """How much of a piece belongs to the body under way is not known."""

    @abstractmethod
    def wait_no_longer(self) -> None:
        """Go on without what the other stream was to tell."""

    def body(self, length: int) -> Body:
        """What reads the body that `begin` has announced, when not all of it is there yet."""
        if length > 0:
            return CountedBody(length)
        if length == CHUNKED:
            return ChunkedBody(self.calls.losses, announces_trailers=self.announces_trailers)
        return EndlessBody()

    def feed(self, piece: Piece, *, begins_turn: bool) -> None:
        """Read the next piece. A turn begins where the other stream was the last to move."""
        begins_call = piece.call_ns != self._call_ns
        self._call_ns = piece.call_ns
        if self.held:
            self._hold(piece, begins_call=begins_call)
            return
        at = 0
        if self._body is None and not self._is_lost and not self._head:
            at = self._read_small(piece)
        if at < piece.size:
            self._read(piece, at, begins_call=begins_call, begins_turn=begins_turn)

    def begins_with(self, piece: Piece) -> _Head | None:
        """The head that a piece begins with, if it was read before its turn and nothing else is under way here."""
        head = piece.head
        if not isinstance(head, self.kind) or head.size > self._head_bytes:
            return None
        if self._body is not None or self._is_lost or self._head or self.held:
            return None
        return head

    def taken(self, piece: Piece) -> None:
        """All of a piece has been read, and it was a message."""
        self._call_ns = piece.call_ns

    def read_held(self, *, as_lost: bool = False) -> None:
        """Read what was held, from the next beginning of a message when it is lost."""
        held, self.held, self._held_bytes = self.held, deque(), 0
        self._is_lost |= as_lost
        for piece, begins_call in held:
            if self.held:
                self._hold(piece, begins_call=begins_call)
            else:
                self._read(piece, 0, begins_call=begins_call and not as_lost, begins_turn=False)
            as_lost = False

    def lose(self, cause: Loss, piece: Piece) -> None:
        """Look for the beginning of a message from now on."""
        self.calls.losses[cause] += 1
        self.doubt()
        self._is_lost = True
        self._body = None
        self.miss(piece)

    def end(self) -> None:
        """The stream has ended."""
        if self._head:
            self.calls.losses[Loss.HEAD_UNFINISHED] += 1
        self.drop()

    def drop(self) -> None:
        """Forget everything but what is held."""
        self._head = bytearray()
        self._body = None

    def _read_small(self, piece: Piece) -> int:
        """Read the message that a piece begins with, if it is there with its head, as most are; where it ends."""
        data = piece.data
        if not data or data[0] in _LINE_ENDS or not self.may_begin(piece.first_ns):
            return 0
        head = piece.head
        if isinstance(head, self.kind) and head.size <= self._head_bytes:
            return self._take_head(head, piece, piece, head.size)
        end = end_of_head(data, 0)
        return self._take_head(data[:end], piece, piece, end) if end > 0 else 0

    def _read(self, piece: Piece, at: int, *, begins_call: bool, begins_turn: bool) -> None:
        """Read a piece from `at` on."""
        data, size, calls = piece.data, piece.size, self.calls
        while at < size:
            if calls.ended is not None:
                self._hold_from(piece, at, begins_call=begins_call)
                return
            if self._body is not None:
                at = self._read_body(self._body, piece, at, begins_call=begins_call and not at)
            elif self._is_lost:
                if not begins_call or at or data is None or not self._is_found(data):
                    self.miss(piece)
                    if begins_call and not at and data is not None:
                        calls.failed(begins_turn=begins_turn)
                    return
                self._is_lost = False
            elif data is None:
                self._head.clear()
                self.lose(self._syntax.gap, piece)
            else:
                at = self._read_head(piece, data, at, begins_call=begins_call)

    def _is_found(self, data: bytes) -> bool:
        """Whether a message is taken to begin with these bytes of a call."""
        return self._syntax.found.match(data) is not None

    def _may_become_message(self, data: bytes, at: int) -> bool:
        """Whether a message may begin there."""
        start = self._syntax.start if data.find(b"\n", at) >= 0 else self._syntax.start_cut
        return start.match(data, at) is not None

    def _read_body(self, body: Body, piece: Piece, at: int, *, begins_call: bool) -> int:
        data = piece.data
        if begins_call and body.may_be_over and data is not None and self._is_found(data):
            self._body = None
            self.finish()
            return at
        if data is None:
            after = at + body.skip(piece.size - at, self.half)
        else:
            after = body.read(data, at, self.half, begins_call=begins_call)
        if body.is_estimated:
            self.estimate(piece)
        self.half.note(piece)
        if body.is_complete:
            self._body = None
            self.finish()
        return after

    def _read_head(self, piece: Piece, data: bytes, at: int, *, begins_call: bool) -> int:
        if self._head:
            return self._read_more_of_head(piece, data, at)
        size = len(data)
        while data[at] in _LINE_ENDS:  # RFC 9112 2.2: empty lines before a message
            at += 1
            if at == size:
                return at
        if not self.may_begin(piece.first_ns):
            if not self.holds_anything and not self._may_become_message(data, at):
                return self._give_up_head(self._syntax.malformed, piece, size)
            self._hold_from(piece, at, begins_call=begins_call)
            return size
        end = end_of_head(data, at)
        if end >= 0:
            return self._take_head(data[at:end], piece, piece, end)
        return self._keep_head(piece, data, at)

    def _keep_head(self, piece: Piece, data: bytes, at: int) -> int:
        """Begin to collect a head, if it looks like one."""
        size = len(data)
        if not self._may_become_message(data, at):
            return self._give_up_head(self._syntax.malformed, piece, size)
        self._head += data[at:]
        self._head_begins = piece
        if size - at > self._head_bytes:
            return self._give_up_head(self._syntax.too_long, piece, size)
        return size

    def _read_more_of_head(self, piece: Piece, data: bytes, at: int) -> int:
        head = self._head
        before = len(head)
        head += data[at : at + self._head_bytes]
        end = end_of_head(head, max(before - 3, 0))
        if end >= 0:
            taken = bytes(head[:end])
            head.clear()
            return self._take_head(taken, self._head_begins, piece, at + end - before)
        if len(head) > self._head_bytes:
            return self._give_up_head(self._syntax.too_long, piece, len(data))
        return len(data)

    def _take_head(self, head: bytes | _Head, first: Piece, last: Piece, end: int) -> int:
        """Where to read on behind a head: nowhere in this piece when it is not understood."""
        if isinstance(head, bytes):
            if len(head) > self._head_bytes:
                return self._give_up_head(self._syntax.too_long, last, last.size)
            read = self.read(head)
            if read is None:
                return self._give_up_head(self._syntax.malformed, last, last.size)
            head = read
        length = self.begin(head, first, last)
        if self._is_lost:
            return last.size
        if 0 < length <= last.size - end:  # most bodies: all of it is there already
            self.half.body_bytes += length
            self.finish()
            return end + length
        if length:
            self._body = self.body(length)
        return end

    def _give_up_head(self, cause: Loss, piece: Piece, size: int) -> int:
        self._head.clear()
        self.lose(cause, piece)
        if cause is self._syntax.malformed:
            self.calls.failed(begins_turn=True)
        return size

    def _hold_from(self, piece: Piece, at: int, *, begins_call: bool) -> None:
        data = piece.data
        rest = Piece(
            piece.first_ns, piece.last_ns, piece.call_ns, piece.size - at, data[at:] if data is not None else None
        )
        self._hold(rest, begins_call=begins_call and not at)

    def _hold(self, piece: Piece, *, begins_call: bool) -> None:
        self.held.append((piece, begins_call))
        if piece.data is not None:
            self._held_bytes += len(piece.data)
        limits = self.calls.limits
        is_over = len(self.held) > limits.held_pieces or self._held_bytes > limits.held_bytes
        if is_over and self.calls.ended is None:
            self.wait_no_longer()
