"""From fragments of calls to the bytes of a stream in their order, with what is missing between them.

Calls of one direction can arrive out of order: two threads read or write the same connection, on two processors. Each
says where in the stream its bytes stand, so they are put in order by that. What does not come within one more look at
the ring was lost, and becomes a piece that was not captured.
"""

from collections import Counter

from agent.events.fragments import Fragment, FragmentFlag
from agent.events.layout import EventKind
from agent.protocols.exchange import Head, Piece

EARLY_CALLS = 64
"""Calls of one direction that may wait for what is missing before them."""
PARTIAL_CALLS = 16
"""Calls of one direction whose last fragment may be outstanding."""
_PLAIN_BITS = 32
_SESSION_BITS = 64
_LAST = int(FragmentFlag.LAST)  # operations on the enumeration cost ten times as much
_WRITE = int(EventKind.WRITE)

ThreadPiece = tuple[int, Piece]
"""A piece, and the thread whose call moved it."""


class Call:
    """One call with all of its fragments."""

    __slots__ = ("fragments", "look", "position")

    def __init__(self, fragments: list[Fragment], look: int) -> None:
        self.fragments = fragments
        """In the order of their bytes."""
        self.position = fragments[0].position
        """Of the first byte in the stream, as far as the stream's numbers reach."""
        self.look = look
        """At which look at the ring it was complete."""

    @property
    def size(self) -> int:
        """Bytes that it moved."""
        return self.fragments[0].call_bytes

    def pieces(self, skipped: int) -> list[ThreadPiece]:
        """Its bytes, without the first `skipped`."""
        first = self.fragments[0]
        thread, end_ns, start_ns = first.thread, first.end_ns, first.start_ns
        first_ns = start_ns if first.kind == _WRITE else end_ns
        at = skipped
        found = []
        for fragment in self.fragments:
            end = fragment.offset + fragment.length
            if end <= at:
                continue
            if fragment.offset > at:
                found.append((thread, Piece(first_ns, end_ns, start_ns, fragment.offset - at, None)))
                at = fragment.offset
            data = fragment.data[at - fragment.offset :] if at > fragment.offset else fragment.data
            found.append((thread, Piece(first_ns, end_ns, start_ns, len(data), data)))
            at = end
        if at < first.call_bytes:
            found.append((thread, Piece(first_ns, end_ns, start_ns, first.call_bytes - at, None)))
        return found


class Stream:
    """One direction of a connection, or of a TLS session: fragments in, pieces in the order of their bytes out."""

    __slots__ = ("_expected", "_losses", "_modulus", "_partial", "early")

    def __init__(self, losses: Counter[str], *, is_session: bool) -> None:
        """Begin with the first call that comes.

        Args:
            losses: Where what is missing is counted, by cause.
            is_session: Whether positions have 64 bits; those of TCP have 32.
        """
        self._losses = losses
        self._modulus = 1 << (_SESSION_BITS if is_session else _PLAIN_BITS)
        self._expected: int | None = None
        self.early: list[Call] = []
        """Calls that wait for what is missing before them."""
        self._partial: dict[tuple[int, int], list[Fragment]] = {}

    def whole(self, fragment: Fragment, head: Head | None) -> Piece | None:
        """Take a fragment, with the head that it begins with, if it is all of a call whose turn has come."""
        start_ns, end_ns, _, _, _, position, size, _, _, _, length, kind, _, _, _, data = fragment
        if position != self._expected or length != size or not size or self.early or self._partial:
            return None
        self._expected = (position + size) % self._modulus
        return Piece(start_ns if kind == _WRITE else end_ns, end_ns, start_ns, size, data, head)

    def add(self, fragment: Fragment, look: int) -> list[ThreadPiece]:
        """Take any fragment; the pieces that are next in the stream. `look` numbers the looks at the ring."""
        call = self._completed(fragment, look)
        if call is None:
            return []
        if self._expected is None:
            self._expected = call.position
        if self._distance(call) > 0:
            self.early.append(call)
            return self.settle(look + 1) if len(self.early) > EARLY_CALLS else []
        return self._pass(call) + self._follow()

    def settle(self, look: int) -> list[ThreadPiece]:
        """Give up what is missing before calls that came before `look`; the pieces that follow."""
        found: list[ThreadPiece] = []
        while self.early:
            self.early.sort(key=self._distance)
            call = self.early[0]
            if call.look >= look:
                break
            missing = self._distance(call)
            thread, first = call.pieces(0)[0]
            self._losses["calls_missing"] += 1
            self._expected = call.position
            found.append((thread, Piece(first.first_ns, first.last_ns, first.call_ns, missing, None)))
            found += self._follow()
        return found

    def _follow(self) -> list[ThreadPiece]:
        """Pass on the early calls whose turn has come."""
        found: list[ThreadPiece] = []
        self.early.sort(key=self._distance)
        while self.early and self._distance(self.early[0]) <= 0:
            found += self._pass(self.early.pop(0))
        return found

    def _pass(self, call: Call) -> list[ThreadPiece]:
        known = -self._distance(call)
        if known >= call.size:
            self._losses["calls_overlapping"] += 1
            return []
        self._expected = (call.position + call.size) % self._modulus
        return call.pieces(known)

    def _distance(self, call: Call) -> int:
        """Bytes between the end of what has been passed on and the call's first one; negative when it begins before."""
        half = self._modulus >> 1
        return (call.position - (self._expected or 0) + half) % self._modulus - half

    def _completed(self, fragment: Fragment, look: int) -> Call | None:
        """The call whose last fragment this is."""
        key = (fragment.thread, fragment.start_ns)
        before = self._partial.pop(key, None)
        fragments = [fragment] if before is None else [*before, fragment]
        if fragment.flags & _LAST:
            return Call(fragments, look)
        self._partial[key] = fragments
        if len(self._partial) > PARTIAL_CALLS:  # its last fragment was lost: what is there is all there will be
            return Call(self._partial.pop(next(iter(self._partial))), look)
        return None
