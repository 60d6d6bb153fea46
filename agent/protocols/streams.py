"""From fragments of calls to the bytes of a stream in their order, with what is missing between them.

Calls of one direction can arrive out of order: two threads read or write the same connection, on two processors. Each
says where in the stream its bytes stand, so they are put in order by that. What does not come within one more look at
the ring was lost, and becomes a piece that was not captured.
"""

from collections import Counter
from collections.abc import Iterator

from agent.events.fragments import Fragment, FragmentFlag
from agent.events.layout import EventKind
from agent.protocols.exchange import Piece

EARLY_CALLS = 64
"""Calls of one direction that may wait for what is missing before them."""
PARTIAL_CALLS = 16
"""Calls of one direction whose last fragment may be outstanding."""
_PLAIN_BITS = 32
_SESSION_BITS = 64


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

    @property
    def thread(self) -> int:
        """The thread that made it."""
        return self.fragments[0].thread

    def pieces(self, skipped: int) -> Iterator[Piece]:
        """Its bytes, without the first `skipped`."""
        first = self.fragments[0]
        first_ns = first.start_ns if first.kind == EventKind.WRITE else first.end_ns
        at = skipped
        for fragment in self.fragments:
            end = fragment.offset + fragment.length
            if end <= at:
                continue
            if fragment.offset > at:
                yield Piece(first_ns, first.end_ns, first.start_ns, fragment.offset - at, None)
                at = fragment.offset
            data = fragment.data[at - fragment.offset :] if at > fragment.offset else fragment.data
            yield Piece(first_ns, first.end_ns, first.start_ns, len(data), data)
            at = end
        if at < first.call_bytes:
            yield Piece(first_ns, first.end_ns, first.start_ns, first.call_bytes - at, None)


class Stream:
    """One direction of a connection, or of a TLS session: fragments in, pieces in the order of their bytes out."""

    __slots__ = ("_early", "_expected", "_losses", "_modulus", "_partial")

    def __init__(self, losses: Counter[str], *, is_session: bool) -> None:
        """Begin with the first call that comes.

        Args:
            losses: Where what is missing is counted, by cause.
            is_session: Whether positions have 64 bits; those of TCP have 32.
        """
        self._losses = losses
        self._modulus = 1 << (_SESSION_BITS if is_session else _PLAIN_BITS)
        self._expected: int | None = None
        self._early: list[Call] = []
        self._partial: dict[tuple[int, int], list[Fragment]] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether calls wait for what is missing before them."""
        return bool(self._early)

    def add(self, fragment: Fragment, look: int) -> Iterator[tuple[Call, Piece]]:
        """Take a fragment; the pieces that are next in the stream, each with its call."""
        call = self._completed(fragment, look)
        if call is None:
            return
        if self._expected is None:
            self._expected = call.position
        if self._distance(call) > 0:
            self._early.append(call)
            if len(self._early) > EARLY_CALLS:
                yield from self.settle(look + 1)
            return
        yield from self._pass(call)
        if self._early:
            yield from self._follow()

    def settle(self, look: int) -> Iterator[tuple[Call, Piece]]:
        """Give up what is missing before calls that came before `look`; the pieces that follow."""
        while self._early:
            self._early.sort(key=self._distance)
            call = self._early[0]
            if call.look >= look:
                return
            missing = self._distance(call)
            first = next(call.pieces(0))
            self._losses["calls_missing"] += 1
            self._expected = call.position
            yield call, Piece(first.first_ns, first.last_ns, first.call_ns, missing, None)
            yield from self._follow()

    def _follow(self) -> Iterator[tuple[Call, Piece]]:
        """Pass on the early calls whose turn has come."""
        self._early.sort(key=self._distance)
        while self._early and self._distance(self._early[0]) <= 0:
            yield from self._pass(self._early.pop(0))

    def _pass(self, call: Call) -> Iterator[tuple[Call, Piece]]:
        known = -self._distance(call)
        if known >= call.size:
            self._losses["calls_overlapping"] += 1
            return
        self._expected = (call.position + call.size) % self._modulus
        for piece in call.pieces(known):
            yield call, piece

    def _distance(self, call: Call) -> int:
        """Bytes between the end of what has been passed on and the call's first one; negative when it begins before."""
        half = self._modulus >> 1
        return (call.position - (self._expected or 0) + half) % self._modulus - half

    def _completed(self, fragment: Fragment, look: int) -> Call | None:
        """The call whose last fragment this is."""
        key = (fragment.thread, fragment.start_ns)
        is_last = fragment.flags & FragmentFlag.LAST
        before = self._partial.pop(key, None)
        fragments = [fragment] if before is None else [*before, fragment]
        if is_last:
            return Call(fragments, look)
        self._partial[key] = fragments
        if len(self._partial) > PARTIAL_CALLS:  # its last fragment was lost: what is there is all there will be
            return Call(self._partial.pop(next(iter(self._partial))), look)
        return None
