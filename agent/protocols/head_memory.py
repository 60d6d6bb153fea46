"""What was read of heads that come again: looking one up takes a tenth of the time that reading it takes.

A head is remembered when it comes for the second time. Where each one is of one exchange alone, as with a trace of its
own, nothing is kept but a number: keeping them all makes reading a fifth slower (bench/agent_http.py).
"""

from collections.abc import Callable
from typing import Generic, TypeVar

_Head = TypeVar("_Head")


class HeadMemory(Generic[_Head]):
    """Remembers what one kind of heads says."""

    __slots__ = ("_half", "_longest", "_older", "_read", "_recent", "_seen")

    def __init__(self, read: Callable[[bytes], _Head | None], capacity: int, longest: int) -> None:
        """Remember nothing yet.

        Args:
            read: Reads a head; None when it is none, which is not remembered. The same bytes always say the same, and
                nobody changes what they say.
            capacity: Heads that are remembered at most.
            longest: Bytes of one of them.
        """
        self._read = read
        self._half = capacity // 2
        self._longest = longest
        # Two generations: the older one is forgotten as a whole, but for what was asked for again meanwhile.
        self._recent: dict[bytes, _Head] = {}
        self._older: dict[bytes, _Head] = {}
        self._seen = [0] * capacity  # hashes of heads that came once, at places that are given by them

    def __len__(self) -> int:
        return len(self._recent) + len(self._older)

    def read(self, head: bytes) -> _Head | None:
        """What a head says, from memory or by reading it."""
        return self._recent.get(head) or self._look_further(head)

    def _look_further(self, head: bytes) -> _Head | None:
        known = self._older.pop(head, None)
        if known is None:
            known = self._read(head)
            seen, number = self._seen, hash(head)
            place = number % len(seen)
            if seen[place] != number:  # it comes for the first time, or another one took its place since
                seen[place] = number
                return known
            if known is None or len(head) > self._longest:
                return known
        if len(self._recent) >= self._half:
            self._older, self._recent = self._recent, {}
        self._recent[head] = known
        return known
