"""The views that are known: bounded, and found by socket, by process and by both ends."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from agent.connections.state import ViewState
from agent.connections.view import View, ViewKey

ENDED_NS = 60 * 1_000_000_000
"""How long an ended view stays at least: what it sent last may wait that long for its acknowledgement."""
_ENDED_SHARE = 8
"""At most one in so many of the views that fit stays for that reason alone."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """A view that has ended."""

    view: View
    flushes: int
    """How many there had been."""
    now_ns: int
    """When that was noticed, to the time between two flushes."""


class ViewTable:
    """Views by key, the one seen longest ago first.

    An ended view stays until `forget_ended` was called twice: transfers that were under way when it was closed, and
    the other end's name, still need it. A limited number of them stays longer, because the kernel tells of the last
    packages of a connection when it lets go of the socket. When the table is full, ended views make room first.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._ended_capacity = capacity // _ENDED_SHARE
        self._views: OrderedDict[ViewKey, View] = OrderedDict()
        self._by_process: dict[int, dict[int, View]] = {}
        self._by_ends: dict[tuple[bytes, bytes], list[View]] = {}
        self._datagrams: dict[int, dict[int, View]] = {}
        self._ended: OrderedDict[int, _Ended] = OrderedDict()
        self._flushes = 0
        self._now_ns = 0
        self.evicted = 0
        """Views that had to make room while they were open."""

    def __len__(self) -> int:
        return len(self._views)

    @property
    def live(self) -> int:
        """Views that have not ended."""
        return len(self._views) - len(self._ended)

    def get(self, key: ViewKey) -> View | None:
        """The view of a key, ended or not."""
        return self._views.get(key)

    def keys(self) -> list[ViewKey]:
        """The keys of every view, the one seen longest ago first."""
        return list(self._views)

    def of_process(self, pid: int) -> list[View]:
        """The views of a process that have not ended, in the order in which they were first seen."""
        return list(self._by_process.get(pid, {}).values())

    def of_socket(self, key: int) -> list[View]:
        """The views of one socket of a process: one, or one per remote end of a UDP socket."""
        view = self._views.get(key)
        if view is not None and view.state is not ViewState.ENDED:
            return [view]
        datagrams = self._datagrams.get(key)
        if datagrams:
            return list(datagrams.values())
        return [] if view is None else [view]

    def between(self, local: bytes, remote: bytes) -> Iterator[View]:
        """The views with these ends, in the order in which they were first seen."""
        return iter(self._by_ends.get((local, remote), ()))

    def add(self, view: View) -> list[View]:
        """Add a view, in place of one that has the same key; returns the views that had to make room for it."""
        old = self._views.pop(view.key, None)
        if old is not None:
            self._unlink(old)
            if old.state is ViewState.ENDED:
                del self._ended[old.number]
            old.state = ViewState.ENDED
        self._views[view.key] = view
        self._now_ns = view.last_seen_ns
        self._by_process.setdefault(view.process.pid, {})[view.number] = view
        self._by_ends.setdefault((view.local, view.remote), []).append(view)
        if isinstance(view.key, tuple):
            self._datagrams.setdefault(view.key[0], {})[view.number] = view
        return self._make_room()

    def translate(self, view: View, local: bytes, remote: bytes) -> None:
        """Note the ends of a view as its far end has them; from now on it is found by these too."""
        self._unlink_translated(view)
        view.translated = (local, remote)
        self._by_ends.setdefault(view.translated, []).append(view)

    def touch(self, view: View, now_ns: int) -> None:
        """Note that a view was seen."""
        view.last_seen_ns = self._now_ns = now_ns
        self._views.move_to_end(view.key)

    def ended(self, view: View) -> None:
        """Note that a view of the table has come to ViewState.ENDED."""
        self._unlink_live(view)
        self._ended[view.number] = _Ended(view, self._flushes, self._now_ns)

    def forget_ended(self, now_ns: int) -> None:
        """Forget views that had ended before the previous call: the old ones, and those that are too many."""
        self._now_ns = now_ns
        while self._ended:
            oldest = next(iter(self._ended.values()))
            recent = now_ns - oldest.now_ns < ENDED_NS and len(self._ended) <= self._ended_capacity
            if recent or oldest.flushes == self._flushes:
                break
            self._forget_oldest()
        self._flushes += 1

    def _make_room(self) -> list[View]:
        evicted = []
        while len(self._views) > self._capacity:
            if self._ended:
                self._forget_oldest()
                continue
            view = next(iter(self._views.values()))
            view.state = ViewState.ENDED
            self._unlink_live(view)
            self._forget(view)
            evicted.append(view)
        self.evicted += len(evicted)
        return evicted

    def _forget_oldest(self) -> None:
        self._forget(self._ended.popitem(last=False)[1].view)

    def _forget(self, view: View) -> None:
        if self._views.get(view.key) is view:
            del self._views[view.key]
        self._unlink_ends(view)

    def _unlink(self, view: View) -> None:
        self._unlink_live(view)
        self._unlink_ends(view)

    def _unlink_live(self, view: View) -> None:
        _discard(self._by_process, view.process.pid, view.number)
        if isinstance(view.key, tuple):
            _discard(self._datagrams, view.key[0], view.number)

    def _unlink_ends(self, view: View) -> None:
        self._unlink_from((view.local, view.remote), view)
        self._unlink_translated(view)

    def _unlink_translated(self, view: View) -> None:
        if view.translated is not None:
            self._unlink_from(view.translated, view)

    def _unlink_from(self, ends: tuple[bytes, bytes], view: View) -> None:
        views = self._by_ends.get(ends)
        if views and view in views:
            views.remove(view)
            if not views:
                del self._by_ends[ends]


def _discard(index: dict[int, dict[int, View]], key: int, number: int) -> None:
    views = index.get(key)
    if views is not None:
        views.pop(number, None)
        if not views:
            del index[key]
