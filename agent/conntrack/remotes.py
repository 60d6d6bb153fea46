"""Which translation belongs to which connection: tells each client view its real far end.

A package that a process sends passes the connection tracking of its socket's own network namespace first, and then that
of the namespaces on its way, as a rule just the host's. The socket's own ends are what the first of them sees, so
(protocol, local end, remote end) is the key, in whatever namespace the translation is made; what leaves it is the key
in the next one. Where two foreign namespaces know the same ends (two private networks with the same addresses), the
host's counts, because every container's packages come by there; without one and with different answers the connection
stays as it is.

Ends are used again: the next connection from the same port to the same service may reach another far end. A
translation that was seen before a connection began is not its own, and none is given to two TCP connections. So the
answer does not hang on how quickly events and translations are read.
"""

import itertools
from collections.abc import Iterable

from agent.connections.grouping import UDP
from agent.connections.logs import TrackedLogs
from agent.connections.table import ViewTable
from agent.connections.view import View, endpoint_port
from agent.conntrack.table import Entry, TranslationTable
from agent.conntrack.translation import Translation
from agent.discovery.socket_table import is_loopback
from agent.events.layout import ADDRESS_BYTES, EventKind, Role

_MESH_PORTS = frozenset((15001, 15006, 15008, 15053))
"""On which Istio's proxies take what is redirected to them within a pod: sidecars, and ztunnel of an ambient mesh
(https://istio.io/latest/docs/ops/deployment/application-requirements/, "Ports used by Istio")."""
_HOPS = 4
"""Namespaces on the way of a package that translate it, at most."""


class Remotes:
    """Matches views and translations, whichever of the two comes first."""

    def __init__(self, views: ViewTable, capacity: int) -> None:
        """Keep at most `capacity` translations."""
        self._views = views
        self.table = TranslationTable(capacity)
        self.ambiguous = 0
        """Times that translations in several namespaces disagreed, so that none was used."""
        self._namespaces: dict[int, int] = {}

    def losses(self) -> dict[str, int]:
        """Why far ends may not be the real ones, by cause, since the start."""
        return {"translations without room": self.table.evicted, "contradictory translations": self.ambiguous}

    def namespaces(self) -> dict[int, int]:
        """The network namespaces of views that began since the last call, each with a process in it."""
        namespaces, self._namespaces = self._namespaces, {}
        return namespaces

    def learn(self, translations: Iterable[Translation], now_ns: int) -> None:
        """Take translations on, and give them to the views that have waited for them."""
        for translation in translations:
            if translation.ended:
                self.table.end(translation)
            elif self.table.add(translation):
                # A copy, because a view that is translated changes its place among them. The one that began last
                # comes last: the earlier one chooses first.
                for view in list(self._views.between(translation.source, translation.destination)):
                    if view.protocol == translation.protocol:
                        self._translate(view)
        self.table.forget_ended(now_ns)

    def follow(self, tracked: TrackedLogs) -> None:
        """Look up the views that begin with these logs."""
        connects = tracked.logs[tracked.logs["kind"] == EventKind.CONNECT]
        for number, start_ns in zip(connects["view"].tolist(), connects["start_ns"].tolist(), strict=True):
            view = tracked.views[number]
            view.connected_ns = start_ns
            self._begin(view)
        for view in tracked.views.values():
            if not view.followed:
                self._begin(view)

    def _begin(self, view: View) -> None:
        view.followed = True
        self._namespaces[view.network_namespace] = view.process.pid
        self._translate(view)

    def _translate(self, view: View) -> None:
        """Follow the packages of a view from its own ends to the last translation that is known."""
        if view.role is not Role.CLIENT:
            return
        ends = view.local, view.remote
        passed: set[int] = set()
        for _ in range(_HOPS):
            entry = self._next(view, ends, passed)
            if entry is None or _is_redirection(entry.translation):
                break
            passed.add(entry.translation.namespace)
            ends = entry.translation.new_source, entry.translation.new_destination
        if passed:
            self._views.translate(view, *ends)

    def _next(self, view: View, ends: tuple[bytes, bytes], passed: set[int]) -> Entry | None:
        """The translation that packages with these ends meet next, in a namespace that they have not passed."""
        entries = [
            entry for entry in self.table.find((view.protocol, *ends)) if entry.translation.namespace not in passed
        ]
        if not entries:
            return None
        own = [entry for entry in entries if entry.translation.namespace == view.network_namespace]
        if own or is_loopback(ends[0][:ADDRESS_BYTES]):
            return _own_entry(view, own)
        found = []
        by_namespace = sorted(entries, key=lambda entry: entry.translation.namespace)
        for _, group in itertools.groupby(by_namespace, lambda entry: entry.translation.namespace):
            entry = _own_entry(view, list(group))
            if entry is not None and entry.translation.of_host:
                return entry
            if entry is not None:
                found.append(entry)
        if len({entry.translation.new_destination for entry in found}) > 1:
            self.ambiguous += 1
            return None
        return found[0] if found else None


def _is_redirection(translation: Translation) -> bool:
    """True when a connection is turned to a proxy beside one of its ends: the original end is meant.

    At the process that connects, the proxy is on the loopback interface. At the one that is connected to, the address
    stays what it was, and the port is one of a mesh; a port that is another one for other reasons is the real one.
    """
    to, instead_of = translation.new_destination[:ADDRESS_BYTES], translation.destination[:ADDRESS_BYTES]
    if is_loopback(to):
        return not is_loopback(instead_of)
    return to == instead_of and not translation.of_host and endpoint_port(translation.new_destination) in _MESH_PORTS


def _own_entry(view: View, entries: list[Entry]) -> Entry | None:
    """Of the translations of the same ends in one namespace, in order of arrival, the one of this view."""
    if view.protocol != UDP and view.connected_ns:
        for entry in entries:
            if entry.view in {0, view.number} and entry.translation.seen_ns >= view.connected_ns:
                entry.view = view.number
                return entry
        # One that is older and still there: the kernel goes on with it when the first attempt never had an answer.
        return next((entry for entry in reversed(entries) if not entry.ended_ns), None)
    # Without a connect there is no telling when it began, and one translation serves all sockets of a UDP port.
    return next((entry for entry in reversed(entries) if not entry.ended_ns), entries[-1] if entries else None)
