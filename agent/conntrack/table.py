"""The translations that are known: bounded, and found by the ends they translate."""

from collections import OrderedDict, deque
from dataclasses import dataclass

from agent.conntrack.translation import Translation

KEEP_ENDED_NS = 300 * 1_000_000_000
"""An ended translation stays this long: connections that had it may still have logs to send."""

Ends = tuple[int, bytes, bytes]
"""Protocol, source and destination."""


@dataclass(slots=True, eq=False)
class Entry:
    """A translation and what became of it."""

    translation: Translation
    ended_ns: int = 0
    """When the kernel forgot it; 0 while it has not."""
    view: int = 0
    """Number of the view whose connection it is; 0 while that is not known."""


class TranslationTable:
    """Translations by their ends, in order of arrival.

    The same ends come again when a port is used again: those are entries of their own, because each may lead to
    another far end. When the table is full, ended translations make room first, then the oldest.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._live: OrderedDict[tuple[int, int, Ends], Entry] = OrderedDict()
        self._by_ends: dict[Ends, list[Entry]] = {}
        self._ended: deque[Entry] = deque()
        self.evicted = 0
        """Translations that had to make room before they ended."""

    def __len__(self) -> int:
        return len(self._live) + len(self._ended)

    def find(self, ends: Ends) -> list[Entry]:
        """The translations of these ends, in whatever namespace, in order of arrival."""
        return self._by_ends.get(ends, [])

    def add(self, translation: Translation) -> bool:
        """Take a translation on; False when it is known already."""
        key = _key(translation)
        if key in self._live:
            return False
        entry = self._live[key] = Entry(translation)
        self._by_ends.setdefault(key[2], []).append(entry)
        self._make_room()
        return True

    def end(self, translation: Translation) -> None:
        """Note that the kernel has forgotten a translation."""
        entry = self._live.pop(_key(translation), None)
        if entry is not None:
            entry.ended_ns = translation.seen_ns
            self._ended.append(entry)

    def forget_ended(self, now_ns: int) -> None:
        """Forget what ended long ago."""
        while self._ended and now_ns - self._ended[0].ended_ns >= KEEP_ENDED_NS:
            self._forget(self._ended.popleft())

    def _make_room(self) -> None:
        while len(self) > self._capacity:
            if self._ended:
                self._forget(self._ended.popleft())
            else:
                _, entry = self._live.popitem(last=False)
                self._forget(entry)
                self.evicted += 1

    def _forget(self, entry: Entry) -> None:
        ends = _ends(entry.translation)
        entries = self._by_ends[ends]
        entries.remove(entry)
        if not entries:
            del self._by_ends[ends]


def _ends(translation: Translation) -> Ends:
    return translation.protocol, translation.source, translation.destination


def _key(translation: Translation) -> tuple[int, int, Ends]:
    return translation.namespace, translation.id, _ends(translation)
