"""The fields of the API server's JSON that are read. Everything else in it is skipped unseen.

An absent list may be missing or null: servers written in Go send both.
"""

from datetime import datetime

import msgspec


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """ObjectMeta."""

    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    creation_timestamp: datetime | None = None


class ContainerPort(msgspec.Struct, frozen=True, rename="camel"):
    """A port that a container declares."""

    container_port: int | None = None
    host_port: int | None = None


class Container(msgspec.Struct, frozen=True):
    """A container of a pod."""

    ports: list[ContainerPort] | None = None


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """PodSpec."""

    host_network: bool | None = None
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None


class Ip(msgspec.Struct, frozen=True):
    """PodIP, HostIP and LoadBalancerIngress."""

    ip: str = ""


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """PodStatus."""

    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: list[Ip] | None = msgspec.field(default=None, name="podIPs")
    host_ip: str = msgspec.field(default="", name="hostIP")
    host_ips: list[Ip] | None = msgspec.field(default=None, name="hostIPs")
    start_time: datetime | None = None


class Pod(msgspec.Struct, frozen=True):
    """Pod, v1."""

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class ServicePort(msgspec.Struct, frozen=True, rename="camel"):
    """A port of a service."""

    port: int | None = None
    node_port: int | None = None


class ServiceSpec(msgspec.Struct, frozen=True, rename="camel"):
    """ServiceSpec."""

    type: str = ""
    selector: dict[str, str] | None = None
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: list[str] | None = msgspec.field(default=None, name="clusterIPs")
    external_ips: list[str] | None = msgspec.field(default=None, name="externalIPs")
    ports: list[ServicePort] | None = None


class LoadBalancer(msgspec.Struct, frozen=True):
    """LoadBalancerStatus."""

    ingress: list[Ip] | None = None


class ServiceStatus(msgspec.Struct, frozen=True, rename="camel"):
    """ServiceStatus."""

    load_balancer: LoadBalancer | None = None


class Service(msgspec.Struct, frozen=True):
    """Service, v1."""

    metadata: Metadata
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class Reference(msgspec.Struct, frozen=True):
    """ObjectReference."""

    kind: str = ""
    name: str = ""


class Endpoint(msgspec.Struct, frozen=True, rename="camel"):
    """An end in an endpoint slice."""

    addresses: list[str] | None = None
    target_ref: Reference | None = None


class EndpointPort(msgspec.Struct, frozen=True):
    """A port in an endpoint slice; None stands for all ports."""

    port: int | None = None


class EndpointSlice(msgspec.Struct, frozen=True):
    """EndpointSlice, discovery.k8s.io/v1."""

    metadata: Metadata
    endpoints: list[Endpoint] | None = None
    ports: list[EndpointPort] | None = None


class NodeSpec(msgspec.Struct, frozen=True, rename="camel"):
    """NodeSpec."""

    pod_cidr: str = msgspec.field(default="", name="podCIDR")
    pod_cidrs: list[str] | None = msgspec.field(default=None, name="podCIDRs")


class NodeAddress(msgspec.Struct, frozen=True):
    """An address of a node."""

    type: str = ""
    address: str = ""


class NodeStatus(msgspec.Struct, frozen=True):
    """NodeStatus."""

    addresses: list[NodeAddress] | None = None


class Node(msgspec.Struct, frozen=True):
    """Node, v1."""

    metadata: Metadata
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class ListMetadata(msgspec.Struct, frozen=True, rename={"resource_version": "resourceVersion", "more": "continue"}):
    """ListMeta."""

    resource_version: str = ""
    more: str = ""
    """What to ask for to get the next page; empty on the last one."""


class Page(msgspec.Struct, frozen=True):
    """A page of a list."""

    metadata: ListMetadata
    items: list[msgspec.Raw] | None = None


class Event(msgspec.Struct, frozen=True):
    """A line of a watch."""

    type: str
    object: msgspec.Raw


class Bookmark(msgspec.Struct, frozen=True):
    """What an object of a bookmark says; the versions of all objects are read with it too."""

    metadata: Metadata


class Status(msgspec.Struct, frozen=True):
    """Status: why something was refused."""

    code: int = 0
    reason: str = ""
    message: str = ""
