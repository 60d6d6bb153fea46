"""What the connections between two ends have in common."""

import copy
from typing import NamedTuple

from backend.entities import ids
from backend.ingest.batch import DetectPoint

UNKNOWN = "Unknown"
"""Service and instance name of an address that nothing is known about."""

LAYER = "K8S_SERVICE"
"""Layer of every service that access logs tell of."""


class End(NamedTuple):
    """One end of a connection, by name. An empty instance means that only the service is known."""

    service: str
    instance: str


UNKNOWN_END = End(UNKNOWN, UNKNOWN)
"""What an address is when nothing is known about it."""


class Related(NamedTuple):
    """Ids of a relation and of its two ends."""

    id: str
    source: str
    destination: str


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
