"""Asks the host whether views are still there, a few at a time, and whether their processes are.

Some ends of a connection leave no event: dup2 over its descriptor, an event lost to a full ring. Without a look now and
then such views would stay forever.
"""

from collections import defaultdict
from collections.abc import Iterator

from agent.connections.departed import DepartedProcesses
from agent.connections.registry import ViewRegistry
from agent.connections.state import ViewInput, ViewState
from agent.connections.view import View, ViewKey
from agent.discovery.host import Host

IDLE_NS = 30 * 1_000_000_000
"""A view is looked up when nothing was seen of it for this long."""
_PORTION = 128
"""Views looked at per call, of which there is one a second where little happens."""
_LISTINGS = 4
"""Processes per call of which all descriptors are listed; that one is gone is known without."""


class Verification:
    """Walks over idle views in small portions, and looks up views that may have been closed."""

    def __init__(self, registry: ViewRegistry, host: Host) -> None:
        self._registry = registry
        self._host = host
        self._departed = DepartedProcesses(registry, host)
        self._walk: Iterator[ViewKey] = iter(())
        self._walk_began_ns = 0
        self._doubted: dict[int, tuple[View, int]] = {}
        self._listings_left = 0

    def tick(self, now_ns: int) -> None:
        """One portion. Call after every batch of events was tracked; `now_ns` is CLOCK_MONOTONIC."""
        self._settle()
        self._listings_left = _LISTINGS
        self._look_up_closing()
        for view in self._next_idle(now_ns):
            if not any(
                self._host.socket_inode(view.process.pid, descriptor) == view.inode for descriptor in view.descriptors
            ):
                self._look_up([view])
        self._departed.tick(now_ns)

    def _settle(self) -> None:
        """End the views that the previous call did not find.

        Only now, because by now every event from before that look has been tracked: what the view's process did before
        the descriptor went away is not cut off.
        """
        for view, seen_ns in self._doubted.values():
            if view.state is not ViewState.ENDED and view.last_seen_ns == seen_ns:
                if view.state is ViewState.OPEN:
                    self._registry.information["connection gone without a close"] += 1
                self._registry.apply(view, ViewInput.VANISHED)
        self._doubted.clear()

    def _look_up_closing(self) -> None:
        by_process: dict[int, list[View]] = defaultdict(list)
        for view in self._registry.closing.values():
            if view.process.pid not in by_process and len(by_process) >= _LISTINGS:
                continue
            by_process[view.process.pid].append(view)
        for views in by_process.values():
            self._look_up(views)

    def _look_up(self, views: list[View]) -> None:
        """Look for the sockets of views of one process among all its descriptors."""
        if self._listings_left <= 0:
            return  # a later walk comes by again
        descriptors = self._host.socket_descriptors(views[0].process.pid)
        if descriptors is not None:
            self._listings_left -= 1
        by_inode: dict[int, list[int]] = defaultdict(list)
        for descriptor, inode in (descriptors or {}).items():
            by_inode[inode].append(descriptor)
        for view in views:
            found = by_inode.get(view.inode)
            if found is None:
                self._doubted[view.number] = view, view.last_seen_ns
                continue
            view.descriptors = ()
            for descriptor in found:
                self._registry.add_descriptor(view, descriptor)
            self._registry.apply(view, ViewInput.FOUND)

    def _next_idle(self, now_ns: int) -> Iterator[View]:
        """The idle views among the next portion of views; a new walk begins when one is over and it is time."""
        for _ in range(_PORTION):
            key = next(self._walk, None)
            if key is None:
                if now_ns - self._walk_began_ns < IDLE_NS:
                    return
                self._walk_began_ns = now_ns
                self._walk = iter(self._registry.table.keys())
                continue
            view = self._registry.table.get(key)
            if view is not None and view.state is not ViewState.ENDED and now_ns - view.last_seen_ns >= IDLE_NS:
                yield view
