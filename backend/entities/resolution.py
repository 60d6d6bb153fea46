"""From a connection to the entities it counts for.

Many connections share their ends and their protocol; what they share is a flow. A connection is resolved once, and
logs are added up per flow, so that ids and names are handled per flow and never per log. Calls that a service answers
have a flow for each of its endpoints.
"""

import copy
from collections.abc import Set as AbstractSet
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, Protocol

from backend.entities import ids
from backend.entities.components import component_ids
from backend.entities.endpoints import ABANDONED, MAXIMUM_ENDPOINTS, EndpointNames, endpoint_name
from backend.entities.grouping import Grouping
from backend.entities.names import NameLimits, namespace_of
from backend.ingest.batch import Address, Connection, DetectPoint, Node
from backend.ingest.interning import RecentCache

UNKNOWN = "Unknown"
"""Service and instance name of an address that nothing is known about."""

LAYER = "K8S_SERVICE"
"""Layer of every service that access logs tell of."""

MAXIMUM_CONNECTIONS = 131_072  # as many as ingest keeps, so that each is resolved once
MAXIMUM_FLOWS = 50_000
MAXIMUM_NAMES = 65_536
"""Names of endpoints whose group is remembered, so that grouping costs per name and not per log."""


class End(NamedTuple):
    """One end of a connection, by name. An empty instance means that only the service is known."""

    service: str
    instance: str


UNKNOWN_END = End(UNKNOWN, UNKNOWN)
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


class Related(NamedTuple):
    """Ids of a relation and of its two ends."""

    id: str
    source: str
    destination: str


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


class Flow:
    """What the connections between two ends have in common. Compared by identity.

    Attributes:
        local: the end that was observed.
        source: the end that connected.
        destination: the end that was connected to.
        role: which end reported.
        components: component ids of the protocol and what carries it (backend/entities/components.py).
        tls: whether the observed end itself encrypts.
        tls_mode: "mTLS" where a mesh encrypts between its nodes, else "TLS" where the end does, else "Plain".
        service: id of the local service; None when it is not known.
        instance: id of the local instance; None when it is not known.
        relation: ids of the relation between the services; None when both are the same.
        instance_relation: ids of the relation between the instances; None when one of them is not known.
        endpoint: id of the endpoint of the local service that was called; None when it is no such call.
        endpoint_name: its name.
        endpoint_relation: ids of the relation between the endpoint that a client was serving when it called, and the
            endpoint that it called; None when it is no such call.
        source_endpoint_name: name of the former.
        destination_endpoint_name: name of the latter.
    """

    __slots__ = (
        "components",
        "destination",
        "destination_endpoint_name",
        "endpoint",
        "endpoint_name",
        "endpoint_relation",
        "instance",
        "instance_relation",
        "local",
        "relation",
        "role",
        "service",
        "source",
        "source_endpoint_name",
        "tls",
        "tls_mode",
    )

    def __init__(
        self, local: End, remote: End, role: DetectPoint, components: tuple[int, ...], *, tls: bool, mutual: bool
    ) -> None:
        self.local = local
        self.role = role
        self.components = components
        self.tls = tls
        self.tls_mode = "mTLS" if mutual else "TLS" if tls else "Plain"
        self.source, self.destination = (remote, local) if role is DetectPoint.SERVER else (local, remote)
        known = local.service != UNKNOWN
        local_service = ids.service_id(local.service)
        self.service = local_service if known else None
        self.instance = ids.instance_id(local_service, local.instance) if known and local.instance else None
        source = ids.service_id(self.source.service)
        destination = ids.service_id(self.destination.service)
        self.relation: Related | None = None
        if source != destination:
            self.relation = Related(ids.service_relation_id(source, destination), source, destination)
        self.instance_relation: Related | None = None
        if self.source.instance and self.destination.instance:
            source = ids.instance_id(source, self.source.instance)
            destination = ids.instance_id(destination, self.destination.instance)
            self.instance_relation = Related(ids.instance_relation_id(source, destination), source, destination)
        self.endpoint: str | None = None
        self.endpoint_name: str | None = None
        self.endpoint_relation: Related | None = None
        self.source_endpoint_name: str | None = None
        self.destination_endpoint_name: str | None = None

    def at(self, endpoint: str) -> "Flow":
        """What its connections have in common, of the calls of one endpoint; the local service is known."""
        flow = copy.copy(self)
        if flow.service is None:
            raise ValueError("the service of an endpoint must be known")
        flow.endpoint, flow.endpoint_name = ids.endpoint_id(flow.service, endpoint), endpoint
        return flow

    def between(self, source: str, destination: str) -> "Flow":
        """What its connections have in common, of the calls from one endpoint to another; both services are known."""
        flow = copy.copy(self)
        if UNKNOWN in {flow.source.service, flow.destination.service}:
            raise ValueError("the services of two related endpoints must be known")
        services = ids.service_id(flow.source.service), ids.service_id(flow.destination.service)
        flow.source_endpoint_name, flow.destination_endpoint_name = source, destination
        flow.endpoint_relation = Related(
            ids.endpoint_relation_id(services[0], source, services[1], destination),
            ids.endpoint_id(services[0], source),
            ids.endpoint_id(services[1], destination),
        )
        return flow


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
            excluded_namespaces: namespaces whose services are not wanted, besides those that each node excludes.
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
        self._endpoints = EndpointNames() if endpoints is None else endpoints
        self._relations = EndpointNames(maximum_relations)
        self.use(grouping or Grouping())
        self._served = lru_cache(maximum_flows)(Flow.at)
        self._related = lru_cache(maximum_flows)(Flow.between)

    def use(self, grouping: Grouping) -> None:
        """Name endpoints by other rules from now on. May be called from any thread."""
        limit = self.limits.endpoint

        def name(service: str, method: str, path: str) -> str:
            return grouping.group(service, endpoint_name(method, path))[:limit]

        self._name = lru_cache(MAXIMUM_NAMES)(name)

    def resolve(self, connection: Connection, minute: int = 0) -> Flow | Unusable:
        """The flow of a connection's logs of a minute, or why there is none.

        Args:
            connection: the connection.
            minute: since 1970-01-01 UTC; matters only where an end is an address.
        """
        version = self._addresses.version
        known = self._resolved.get(connection)
        if known is None or (known.version is not None and (known.version != version or known.minute != minute)):
            lasting = connection.local.is_process and connection.remote.is_process
            known = _Resolved(self._resolve(connection, minute), None if lasting else version, minute)
            self._resolved.put(connection, known)
        return known.flow

    def serve(self, flow: Flow, method: str, path: str, caller: str = "") -> Flow:
        """The flow of calls of a method and a path; `flow` itself where they concern no endpoints.

        What a server or a proxy reports has an endpoint. Upstream makes endpoints of the service "Unknown"; here only
        services that are known have any. What a client reports has two when it says which one it was serving itself.

        Args:
            flow: of the connection.
            method: such as "Get".
            path: as it was asked for.
            caller: name of the endpoint that a client was serving, such as "GET:/cart"; empty when it does not say.
        """
        if flow.role is not DetectPoint.CLIENT:
            if flow.service is None:
                return flow
            return self._served(flow, self._endpoint(flow.local.service, method, path))
        if not caller or UNKNOWN in {flow.source.service, flow.destination.service}:
            return flow
        source_method, _, source_path = caller.partition(":")
        source = self._endpoint(flow.source.service, source_method, source_path)
        destination = self._endpoint(flow.destination.service, method, path)
        # Each pair of names that are known is a relation, so pairs have a bound of their own.
        pair = f"{source}\0{flow.destination.service}\0{destination}"
        if self._relations.admit(flow.source.service, pair) == ABANDONED:
            source = destination = ABANDONED
        return self._related(flow, source, destination)

    def _endpoint(self, service: str, method: str, path: str) -> str:
        return self._endpoints.admit(service, self._name(service, method, path))

    def _resolve(self, connection: Connection, minute: int) -> Flow | Unusable:
        local = self._end(connection.local, connection.node, minute)
        remote = self._end(connection.remote, connection.node, minute)
        if EXCLUDED in {local, remote}:
            return Unusable.EXCLUDED
        if local.service == UNKNOWN and remote.service == UNKNOWN:
            return Unusable.UNKNOWN
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
        if found is None or found == EXCLUDED:
            return UNKNOWN_END if found is None else EXCLUDED
        namespace = namespace_of(found.service)
        if namespace in self._excluded_namespaces or namespace in node.excluded_namespaces:
            return EXCLUDED
        service = found.service if found.service.strip() else ids.BLANK
        instance = found.instance if found.instance.strip() else ""
        return End(service[: self.limits.service], instance[: self.limits.instance])
