"""What is kept of a cluster's objects: a few fields of each, whatever else the API server sends of them.

Fields: https://kubernetes.io/docs/reference/kubernetes-api/. Addresses are 4 or 16 bytes, minutes are since 1970-01-01
UTC. Lists that are absent, null or empty on the wire are all empty here.
"""

from datetime import UTC, datetime
from typing import Final

import msgspec

from common.kubernetes import wire
from common.kubernetes.addresses import packed

SERVICE_OF_SLICE: Final = "kubernetes.io/service-name"
"""Label of an endpoint slice that names its service."""
_NO_ADDRESS: Final = frozenset(("", "None"))
_FINISHED: Final = frozenset(("Succeeded", "Failed"))
_NODE_ADDRESSES: Final = frozenset(("InternalIP", "ExternalIP"))
_SECONDS_OF_A_MINUTE: Final = 60


class Pod(msgspec.Struct, frozen=True):
    """A pod. One that has finished has no addresses: they may be another's by now, though its status still has them."""

    namespace: str
    name: str
    labels: dict[str, str]
    addresses: tuple[bytes, ...]
    host_addresses: tuple[bytes, ...]
    """Of the node that it runs on."""
    on_host_network: bool
    ports: tuple[int, ...]
    """Ports that its containers declare; only where it shares the addresses of its node."""
    host_ports: tuple[int, ...]
    """Ports of the node that lead to it."""
    since: int
    """Minute in which its node took it on, and before which it had no address; 0 when not known."""


class Service(msgspec.Struct, frozen=True):
    """A service."""

    namespace: str
    name: str
    selector: dict[str, str]
    cluster_addresses: tuple[bytes, ...]
    outer_addresses: tuple[bytes, ...]
    """Addresses of its load balancers, and its external addresses."""
    ports: tuple[int, ...]
    node_ports: tuple[int, ...]
    since: int
    """Minute in which it was made; 0 when not known."""


class Endpoint(msgspec.Struct, frozen=True):
    """An end of a service."""

    addresses: tuple[bytes, ...]
    pod: str
    """Name of the pod behind it; empty when it is none."""


class EndpointSlice(msgspec.Struct, frozen=True):
    """Some of the ends of a service."""

    namespace: str
    name: str
    service: str
    """Name of the service; empty for a slice of none."""
    endpoints: tuple[Endpoint, ...]
    ports: tuple[int, ...]
    """Ports of each end; empty for all ports."""
    since: int


class Node(msgspec.Struct, frozen=True):
    """A node."""

    namespace: str
    """Always empty: nodes are in no namespace."""
    name: str
    addresses: tuple[bytes, ...]
    pod_networks: tuple[str, ...]
    """The networks whose addresses its pods have, as CIDR."""
    since: int


def pod(said: wire.Pod) -> Pod:
    """What is kept of a pod."""
    status, spec = said.status, said.spec
    containers = [*(spec.containers or ()), *(spec.init_containers or ())]
    ports = [port for container in containers for port in container.ports or ()]
    addresses = _addresses([*(each.ip for each in status.pod_ips or ()), status.pod_ip])
    host_addresses = _addresses([*(each.ip for each in status.host_ips or ()), status.host_ip])
    on_host_network = bool(spec.host_network)
    finished = status.phase in _FINISHED
    return Pod(
        namespace=said.metadata.namespace,
        name=said.metadata.name,
        labels=said.metadata.labels or {},
        addresses=() if finished else addresses,
        host_addresses=() if finished else host_addresses,
        on_host_network=on_host_network,
        ports=_numbers([port.container_port for port in ports]) if on_host_network else (),
        host_ports=() if on_host_network else _numbers([port.host_port for port in ports]),
        since=_minute(status.start_time),
    )


def service(said: wire.Service) -> Service:
    """What is kept of a service. One of type ExternalName only stands for another name."""
    spec = said.spec
    is_name = spec.type == "ExternalName"
    balancers = (said.status.load_balancer.ingress if said.status.load_balancer else None) or ()
    ports = spec.ports or ()
    return Service(
        namespace=said.metadata.namespace,
        name=said.metadata.name,
        selector={} if is_name else spec.selector or {},
        cluster_addresses=() if is_name else _addresses([*(spec.cluster_ips or ()), spec.cluster_ip]),
        outer_addresses=() if is_name else _addresses([*(each.ip for each in balancers), *(spec.external_ips or ())]),
        ports=() if is_name else _numbers([port.port for port in ports]),
        node_ports=() if is_name else _numbers([port.node_port for port in ports]),
        since=_minute(said.metadata.creation_timestamp),
    )


def endpoint_slice(said: wire.EndpointSlice) -> EndpointSlice:
    """What is kept of an endpoint slice. Ends that are names (address type FQDN) have no addresses."""
    ports = [port.port for port in said.ports or ()]
    return EndpointSlice(
        namespace=said.metadata.namespace,
        name=said.metadata.name,
        service=(said.metadata.labels or {}).get(SERVICE_OF_SLICE, ""),
        endpoints=tuple(_endpoint(end) for end in said.endpoints or ()),
        ports=() if None in ports else _numbers(ports),
        since=_minute(said.metadata.creation_timestamp),
    )


def node(said: wire.Node) -> Node:
    """What is kept of a node."""
    addresses = [each.address for each in said.status.addresses or () if each.type in _NODE_ADDRESSES]
    return Node(
        namespace="",
        name=said.metadata.name,
        addresses=_addresses(addresses),
        pod_networks=tuple(said.spec.pod_cidrs or ([said.spec.pod_cidr] if said.spec.pod_cidr else ())),
        since=_minute(said.metadata.creation_timestamp),
    )


def _endpoint(said: wire.Endpoint) -> Endpoint:
    target = said.target_ref
    return Endpoint(
        addresses=_addresses(said.addresses or []),
        pod=target.name if target is not None and target.kind == "Pod" else "",
    )


def _addresses(texts: list[str]) -> tuple[bytes, ...]:
    """The distinct addresses of some texts, in order."""
    found = [packed(text) for text in texts if text not in _NO_ADDRESS]
    return tuple(dict.fromkeys(address for address in found if address is not None))


def _numbers(ports: list[int | None]) -> tuple[int, ...]:
    """The distinct ports, in order."""
    return tuple(dict.fromkeys(port for port in ports if port))


def _minute(time: datetime | None) -> int:
    """0 for what is not known, also where that is written as the year 1, as servers written in Go may."""
    if time is None:
        return 0
    return max(int(time.replace(tzinfo=time.tzinfo or UTC).timestamp()) // _SECONDS_OF_A_MINUTE, 0)
