"""From a connection to the entities it counts for.

Many connections share their ends and their protocol; what they share is a flow. A connection is resolved once, and
logs are added up per flow, so that ids and names are handled per flow and never per log. Calls that a service answers
have a flow for each of its endpoints.
"""

from collections.abc import Set as AbstractSet
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, Protocol

from backend.entities import ids
from backend.entities.called import MAXIMUM_FLOWS, Calls
from backend.entities.components import component_ids
from backend.entities.endpoints import MAXIMUM_ENDPOINTS, EndpointNames
from backend.entities.flows import LAYER, UNKNOWN, UNKNOWN_END, End, Flow, Related
from backend.entities.grouping import Grouping
from backend.entities.names import NameLimits, namespace_of
from backend.ingest.batch import Address, Connection, DetectPoint, Node
from backend.ingest.interning import RecentCache

__all__ = [
    "EXCLUDED",
    "LAYER",
    "MAXIMUM_CONNECTIONS",
    "MAXIMUM_FLOWS",
    "UNKNOWN",
    "UNKNOWN_END",
    "AddressBook",
    "EmptyAddressBook",
    "End",
    "Flow",
    "Related",
    "Resolver",
    "Unusable",
]

MAXIMUM_CONNECTIONS = 262_144  # as many as ingest keeps, so that each is resolved once

EXCLUDED = End("\0excluded", "")
"""What an address book answers for an end in a namespace that is not wanted. No name has this content."""


class Unusable(StrEnum):
    """Why a connection counts for nothing; the causes under which its logs are counted."""

    UNKNOWN = "unknown"
    """Neither end is known."""
    EXCLUDED = "excluded"
    """One end is in a namespace that is not wanted."""
    SAME_SERVICE = "same_service"
    """Both ends are of one service, and such connections are not wanted."""


class AddressBook(Protocol):
    """Knows what is behind an IP address. Asked from one thread, and may change from others."""

    @property
    def version(self) -> int:
        """Grows whenever an answer may differ from the one before."""
        ...

    def find(self, host: str, port: int, node: Node, minute: int) -> End | None:
        """The service and instance behind an address, as seen from a node at a time. It never waits.

        Args:
            host: The address, as the agent wrote it.
            port: Its port; 0 where that is not known.
            node: Where the connection was observed.
            minute: When, in minutes since 1970-01-01 UTC.

        Returns:
            None when nothing is known; EXCLUDED for what is not wanted.
        """
        ...


class EmptyAddressBook:
    """Knows no address."""

    version = 0

    def find(self, host: str, port: int, node: Node, minute: int) -> End | None:  # noqa: ARG002 - the interface of AddressBook
        """Nothing."""
        return None


class _Resolved(NamedTuple):
    """What a connection was resolved to, and for how long that holds."""

    flow: Flow | Unusable
    version: int | None
    """Of the address book that was asked; None when none was, so that it holds for good."""
    minute: int


class Resolver:
    """Resolves connections to flows. For use from one thread.

    A connection between two processes that agents know is resolved once. One with an address is resolved again when
    the address book changes, and for each minute that it has logs of, as addresses pass from one pod to the next.

    Upstream ignores connections between equal service names. On plain hosts these are ordinary (python3 talks to
    python3 all day), so they count here for the service, the instance and the instance relation; only the relation
    of a service to itself is left out. `ignore_same_service` ignores them as upstream does.

    Attributes:
        limits: longest names.
    """

    def __init__(
        self,
        addresses: AddressBook | None = None,
        limits: NameLimits | None = None,
        endpoints: EndpointNames | None = None,
        *,
        grouping: Grouping | None = None,
        excluded_namespaces: AbstractSet[str] = frozenset(),
        ignore_same_service: bool = False,
        maximum_connections: int = MAXIMUM_CONNECTIONS,
        maximum_flows: int = MAXIMUM_FLOWS,
        maximum_relations: int = MAXIMUM_ENDPOINTS,
    ) -> None:
        """Set up.

        Args:
            addresses: what is behind plain addresses.
            limits: longest names.
            endpoints: which endpoints there are.
            grouping: which names of endpoints are one.
            excluded_namespaces: namespaces whose services are not wanted, at either end.
            ignore_same_service: whether connections between equal services count for nothing.
            maximum_connections: most connections remembered.
            maximum_flows: most flows remembered.
            maximum_relations: most relations from endpoints of a service; others are between ABANDONED.
        """
        self.limits = limits or NameLimits()
        self._addresses = EmptyAddressBook() if addresses is None else addresses
        self._excluded_namespaces = frozenset(excluded_namespaces)
        self._ignore_same_service = ignore_same_service
        # The caches hold what was used last. Each may forget: a connection or flow that comes again is resolved
        # again, to the same ids.
        self._flow = lru_cache(maximum_flows)(self._make_flow)
        self._resolved: RecentCache[Connection, _Resolved] = RecentCache(maximum_connections)
        self._calls = Calls(
            self.limits.endpoint,
            grouping,
            endpoints,
            maximum_flows=maximum_flows,
            maximum_relations=maximum_relations,
        )

    def use(self, grouping: Grouping) -> None:
        """Name endpoints by other rules from now on. May be called from any thread."""
        self._calls.use(grouping)

    @property
    def naming_version(self) -> int:
        """Grows when endpoints are named by other rules."""
        return self._calls.version

    def resolve(self, connection: Connection, minute: int = 0) -> Flow | Unusable:
        """The flow of a connection's logs of a minute, or why there is none.

        Args:
            connection: the connection.
            minute: since 1970-01-01 UTC; matters only where an end is an address.
        """
        version = self._addresses.version
        known = self._resolved.get(connection)
        if known is None or (known.version is not None and (known.version != version or known.minute != minute)):
            resolved = self._resolve(connection, minute)
            known = _Resolved(resolved, None if connection.is_between_processes else version, minute)
            self._resolved.put(connection, known)
        return known.flow

    def serve(self, flow: Flow, method: str, path: str, caller: str = "") -> Flow:
        """The flow of calls of a method and a path, as Calls.serve."""
        return self._calls.serve(flow, method, path, caller)

    def _resolve(self, connection: Connection, minute: int) -> Flow | Unusable:
        node = connection.node
        local = self._end(connection.local, node, minute)
        remote = self._end(connection.remote, node, minute)
        if namespace_of(local.service) in node.excluded_namespaces:
            return Unusable.EXCLUDED
        if namespace_of(remote.service) in node.excluded_namespaces:
            # The node leaves these out, and means what runs on it: calls of others by them still happened.
            remote = UNKNOWN_END
        if EXCLUDED in {local, remote}:
            return Unusable.EXCLUDED
        if local.service == UNKNOWN and remote.service == UNKNOWN:
            return Unusable.UNKNOWN
        local, remote = self._cut(local), self._cut(remote)
        if self._ignore_same_service and local.service == remote.service:
            return Unusable.SAME_SERVICE
        mutual = connection.ztunnel is not None and connection.ztunnel.is_mutual
        return self._flow(local, remote, connection.role, component_ids(connection), connection.tls, mutual)

    @staticmethod
    def _make_flow(  # noqa: PLR0917 - the cache's key is by position
        local: End,
        remote: End,
        role: DetectPoint,
        components: tuple[int, ...],
        tls: bool,  # noqa: FBT001 - same
        mutual: bool,  # noqa: FBT001 - same
    ) -> Flow:
        return Flow(local, remote, role, components, tls=tls, mutual=mutual)

    def _end(self, address: Address, node: Node, minute: int) -> End:
        if address.is_process:
            found: End | None = End(address.service, address.instance)
        else:
            found = self._addresses.find(address.host, address.port, node, minute) if address.host else None
        if found is None:
            return UNKNOWN_END
        return EXCLUDED if namespace_of(found.service) in self._excluded_namespaces else found

    def _cut(self, end: End) -> End:
        """The end as it is called: blank names are told from empty ones, and long ones cut."""
        if end is UNKNOWN_END:
            return end
        service = end.service if end.service.strip() else ids.BLANK
        instance = end.instance if end.instance.strip() else ""
        return End(service[: self.limits.service], instance[: self.limits.instance])
