"""Who had an address when.

Addresses of pods are used again, within seconds where a network has few of them, and logs come late. So whoever gives
up an address stays known for a while, with the minutes in which it was theirs.
"""

from collections import deque
from collections.abc import Hashable, Iterator
from enum import Enum
from typing import Final, Generic, NamedTuple, TypeVar

LASTING: Final = 2**31 - 1
"""End of what has not ended."""


class Missing(Enum):
    """Why nobody is known for an address at a minute."""

    NEVER = "never seen"
    BEFORE = "not yet in use"
    AFTER = "no longer in use"


K = TypeVar("K", bound=Hashable)
A = TypeVar("A")


class Holding(NamedTuple, Generic[A]):
    """From which minute to which a key stood for something."""

    begin: int
    end: int
    answer: A


class Timeline(Generic[K, A]):
    """What each key stood for, by the minute.

    One thread at a time may change it; any number may read meanwhile, without a lock: what is known of a key is one
    tuple that is replaced as a whole.

    Minutes are those of this machine's clock. Within a minute the last one who had the key counts for all of it.

    Attributes:
        forgotten_early: ends of holdings that had to make room before their time.
        keys_without_room: changes that were not taken because there were too many keys.
    """

    def __init__(
        self, *, kept: int = 60, grace: int = 5, maximum_keys: int = 1_000_000, maximum_ended: int = 200_000
    ) -> None:
        """Begin with nothing.

        Args:
            kept: minutes for which what has ended stays known.
            grace: minutes after its end for which it still answers, where nobody came after it: connections outlive
                the address of an end of theirs, and attempts to reach it go on.
            maximum_keys: keys that are known at once.
            maximum_ended: ended holdings that are known at once.
        """
        self._kept = kept
        self._grace = grace
        self._maximum_keys = maximum_keys
        self._maximum_ended = maximum_ended
        self._holdings: dict[K, tuple[Holding[A], ...]] = {}
        self._ended: deque[tuple[int, K]] = deque()
        self.forgotten_early = 0
        self.keys_without_room = 0

    def __len__(self) -> int:
        return len(self._holdings)

    def current(self) -> Iterator[tuple[K, A]]:
        """What every key stands for now. Not while another thread changes it."""
        for key, holdings in self._holdings.items():
            if holdings[-1].end == LASTING:
                yield key, holdings[-1].answer

    def find(self, key: K, minute: int, *, late: bool = True) -> A | Missing:
        """What a key stood for in a minute.

        A minute too early still has an answer, as clocks of nodes differ by some seconds. So has, for a while, what had
        ended before that minute, unless `late` is false.
        """
        grace = self._grace if late else 0
        holdings = self._holdings.get(key)
        if holdings is None:
            return Missing.NEVER
        for holding in reversed(holdings):
            if holding.begin <= minute:
                return holding.answer if minute - grace <= holding.end else Missing.AFTER
        return holdings[0].answer if holdings[0].begin == minute + 1 else Missing.BEFORE

    def set(self, key: K, answer: A | None, *, since: int, now: int) -> bool:
        """From now on the key stands for this; None for nothing.

        Args:
            key: the key.
            answer: what it stands for.
            since: minute since which that may be so at the earliest; what was missed is put right with it. It is now
                for what has a key already and only changed.
            now: this minute.

        Returns:
            Whether that changes anything.
        """
        holdings = self._holdings.get(key, ())
        last = holdings[-1] if holdings else None
        lasts = last is not None and last.end == LASTING
        if (lasts and last is not None and last.answer == answer) or (not lasts and answer is None):
            return False
        if answer is None:
            self._end(key, holdings, now)
            return True
        if last is None and len(self._holdings) >= self._maximum_keys:
            self.keys_without_room += 1
            return False
        begin = _begin(last, since, now)
        if last is not None and last.begin == begin:
            holdings = holdings[:-1]
        elif lasts:
            holdings = self._end(key, holdings, begin)
        self._holdings[key] = (*holdings, Holding(begin, LASTING, answer))
        return True

    def forget(self, now: int) -> bool:
        """Forget what has ended too long ago; whether there was any of that."""
        forgot = False
        while self._ended and (self._ended[0][0] < now - self._kept or len(self._ended) > self._maximum_ended):
            end, key = self._ended.popleft()
            self.forgotten_early += end >= now - self._kept
            holdings = self._holdings.get(key, ())
            left = tuple(holding for holding in holdings if holding.end > end)
            if left == holdings:
                continue  # taken up again in the minute in which it ended
            forgot = True
            if left:
                self._holdings[key] = left
            else:
                del self._holdings[key]
        return forgot

    def _end(self, key: K, holdings: tuple[Holding[A], ...], end: int) -> tuple[Holding[A], ...]:
        ended = (*holdings[:-1], holdings[-1]._replace(end=end))
        self._holdings[key] = ended
        self._ended.append((end, key))
        return ended


def _begin(last: Holding[A] | None, since: int, now: int) -> int:
    """When the next holding begins: as early as it may have, but not before the last one."""
    if last is None or last.end != LASTING:
        return min(max(since or now, last.end if last is not None else 0), now)
    # Both are there, so that the end of the last one was not seen.
    return since if last.begin < since <= now else now
