"""What was read of heads that come again: looking one up takes a tenth of the time that reading it takes.

A head is remembered when it comes for the second time. Where each one is of one exchange alone, as with a trace of its
own, nothing is kept but a number: keeping them all makes reading a fifth slower (bench/agent_http.py).
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

_Head = TypeVar("_Head")

MANY = 100
"""Heads from which on they are read together: for fewer, the steps that do so cost more than they save."""


class HeadMemory(Generic[_Head]):
    """Remembers what one kind of heads says."""

    __slots__ = ("_half", "_longest", "_older", "_read", "_read_many", "_recent", "_seen")

    def __init__(
        self,
        read: Callable[[bytes], _Head | None],
        read_many: Callable[[Sequence[bytes]], Sequence[_Head | None]],
        *,
        capacity: int,
        longest: int,
    ) -> None:
        """Remember nothing yet.

        Args:
            read: Reads a head; None when it is none, which is not remembered. The same bytes always say the same, and
                nobody changes what they say.
            read_many: Reads several at a time, and says of each the same.
            capacity: Heads that are remembered at most.
            longest: Bytes of one of them.
        """
        self._read = read
        self._read_many = read_many
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

    def read_all(self, heads: Sequence[bytes]) -> list[_Head | None]:
        """What some heads say, from memory or by reading them."""
        found: list[_Head | None] = list(map(self._recent.get, heads))
        missing = [number for number, head in enumerate(found) if head is None]
        if len(missing) < MANY:
            for number in missing:
                found[number] = self._look_further(heads[number])
            return found
        seen, places = self._seen, len(self._seen)
        unknown = [heads[number] for number in missing]
        for at, head, known in zip(missing, unknown, self._read_many(unknown), strict=True):
            found[at] = known
            number = hash(head)
            if seen[number % places] == number:
                self._older.pop(head, None)
                self._remember(head, known)
            else:
                seen[number % places] = number
        return found

    def _look_further(self, head: bytes) -> _Head | None:
        known = self._older.pop(head, None)
        if known is None:
            known = self._read(head)
            seen, number = self._seen, hash(head)
            place = number % len(seen)
            if seen[place] != number:  # it comes for the first time, or another one took its place since
                seen[place] = number
                return known
        self._remember(head, known)
        return known

    def _remember(self, head: bytes, known: _Head | None) -> None:
        if known is None or len(head) > self._longest:
            return
        if len(self._recent) >= self._half:
            self._older, self._recent = self._recent, {}
        self._recent[head] = known
