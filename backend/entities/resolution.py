"""From a connection to the entities it counts for.

Many connections share their ends and their protocol; what they share is a flow. A connection is resolved once, and
logs are added up per flow, so that ids and names are handled per flow and never per log. Calls that a service answers
have a flow for each of its endpoints.
"""

import copy
from functools import lru_cache
from typing import NamedTuple, Protocol

from backend.entities import ids
from backend.entities.endpoints import EndpointNames, endpoint_name
from backend.entities.names import NameLimits
from backend.ingest.batch import Address, Connection, DetectPoint, Node

UNKNOWN = "Unknown"
"""Service and instance name of an address that nothing is known about."""

LAYER = "K8S_SERVICE"
"""Layer of every service that access logs tell of."""

MAXIMUM_CONNECTIONS = 131_072  # as many as ingest keeps, so that each is resolved once
MAXIMUM_FLOWS = 50_000


class End(NamedTuple):
    """One end of a connection, by name. An empty instance means that only the service is known."""

    service: str
    instance: str


UNKNOWN_END = End(UNKNOWN, UNKNOWN)


class Related(NamedTuple):
    """Ids of a relation and of its two ends."""

    id: str
    source: str
    destination: str


class AddressBook(Protocol):
    """Knows what is behind an IP address."""

    def find(self, host: str, node: Node) -> End | None:
        """The service and instance behind an address, as seen from a node; None when nothing is known."""
        ...


class EmptyAddressBook:
    """Knows no address."""

    def find(self, host: str, node: Node) -> End | None:  # noqa: ARG002 - the interface of AddressBook
        """Nothing."""
        return None


class Flow:
    """What the connections between two ends have in common. Compared by identity.

    Attributes:
        local: the end that was observed.
        source: the end that connected.
        destination: the end that was connected to.
        role: which end reported.
        component: component id of the protocol (49 http, 129 https, 110 tcp, 130 tls, 0 for any other).
        tls: whether the connections are encrypted.
        service: id of the local service; None when it is not known.
        instance: id of the local instance; None when it is not known.
        relation: ids of the relation between the services; None when both are the same.
        instance_relation: ids of the relation between the instances; None when one of them is not known.
        endpoint: id of the endpoint of the local service that was called; None when it is no such call.
        endpoint_name: its name.
    """

    __slots__ = (
        "component",
        "destination",
        "endpoint",
        "endpoint_name",
        "instance",
        "instance_relation",
        "local",
        "relation",
        "role",
        "service",
        "source",
        "tls",
    )

    def __init__(self, local: End, remote: End, role: DetectPoint, component: int, *, tls: bool) -> None:
        self.local = local
        self.role = role
        self.component = component
        self.tls = tls
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

    def at(self, endpoint: str) -> "Flow":
        """What its connections have in common, of the calls of one endpoint; the local service is known."""
        flow = copy.copy(self)
        if flow.service is None:
            raise ValueError("the service of an endpoint must be known")
        flow.endpoint, flow.endpoint_name = ids.endpoint_id(flow.service, endpoint), endpoint
        return flow


class Resolver:
    """Resolves connections to flows, each once. For use from one thread.

    Upstream ignores connections between equal service names. On plain hosts these are ordinary (python3 talks to
    python3 all day), so they count here for the service, the instance and the instance relation; only the relation
    of a service to itself is left out. A connection with both ends unknown counts for nothing.

    Attributes:
        limits: longest names.
    """

    def __init__(
        self,
        addresses: AddressBook | None = None,
        limits: NameLimits | None = None,
        endpoints: EndpointNames | None = None,
        *,
        maximum_connections: int = MAXIMUM_CONNECTIONS,
        maximum_flows: int = MAXIMUM_FLOWS,
    ) -> None:
        self.limits = limits or NameLimits()
        self._addresses = addresses or EmptyAddressBook()
        # The caches hold what was used last. Both may forget: a connection or flow that comes again is resolved
        # again, to the same ids.
        self._flow = lru_cache(maximum_flows)(self._make_flow)
        self._resolved = lru_cache(maximum_connections)(self._resolve)
        self._endpoints = EndpointNames() if endpoints is None else endpoints
        self._served = lru_cache(maximum_flows)(Flow.at)

    def resolve(self, connection: Connection) -> Flow | None:
        """The flow of a connection; None when neither end is known."""
        return self._resolved(connection)

    def serve(self, flow: Flow, method: str, path: str) -> Flow:
        """The flow of calls of a method and a path, by what their end reported; `flow` itself for those of a client.

        Upstream makes endpoints of the service "Unknown"; here only services that are known have any.
        """
        if flow.role is DetectPoint.CLIENT or flow.service is None:
            return flow
        name = endpoint_name(method, path, self.limits.endpoint)
        return self._served(flow, self._endpoints.admit(flow.service, name))

    def _resolve(self, connection: Connection) -> Flow | None:
        local = self._end(connection.local, connection.node)
        remote = self._end(connection.remote, connection.node)
        if local.service == UNKNOWN and remote.service == UNKNOWN:
            return None
        return self._flow(local, remote, connection.role, component_id(connection), connection.tls)

    @staticmethod
    def _make_flow(local: End, remote: End, role: DetectPoint, component: int, tls: bool) -> Flow:  # noqa: FBT001 - the cache's key is by position
        return Flow(local, remote, role, component, tls=tls)

    def _end(self, address: Address, node: Node) -> End:
        if address.service or address.instance or address.process:
            found: End | None = End(address.service, address.instance)
        else:
            found = self._addresses.find(address.host, node) if address.host else None
        if found is None:
            return UNKNOWN_END
        service = found.service if found.service.strip() else ids.BLANK
        instance = found.instance if found.instance.strip() else ""
        return End(service[: self.limits.service], instance[: self.limits.instance])


_COMPONENTS = {
    (0, False): 110,  # tcp
    (0, True): 130,  # tls
    (1, False): 49,  # http
    (1, True): 129,  # https
    (2, False): 49,
    (2, True): 129,
}


def component_id(connection: Connection) -> int:
    """Component id of a connection's protocol; 0 for a protocol that is not known."""
    return _COMPONENTS.get((connection.protocol, connection.tls), 0)
