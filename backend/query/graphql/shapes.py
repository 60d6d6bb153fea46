"""Answers, in the shapes of the schema: its field names, written as this language writes them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Service:
    """A service."""

    id: str
    name: str
    group: str
    short_name: str
    layers: Sequence[str]
    normal: bool


@dataclass(frozen=True, slots=True)
class Attribute:
    """Something that an instance says of itself."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class ServiceInstance:
    """An instance."""

    id: str
    name: str
    attributes: Sequence[Attribute]
    language: str
    instance_uuid: str


@dataclass(frozen=True, slots=True)
class EndpointInfo:
    """An endpoint and its service."""

    id: str
    name: str
    service_id: str
    service_name: str


@dataclass(frozen=True, slots=True)
class Node:
    """A service or an endpoint in a topology of services."""

    id: str
    name: str
    type: str | None
    is_real: bool
    layers: Sequence[str]


@dataclass(frozen=True, slots=True)
class MemberNode:
    """An instance or an endpoint in a topology of its kind."""

    id: str
    name: str
    service_id: str
    service_name: str
    type: str
    is_real: bool


@dataclass(frozen=True, slots=True)
class Call:
    """Calls from one node to another."""

    id: str
    source: str
    target: str
    source_components: Sequence[str]
    target_components: Sequence[str]
    detect_points: Sequence[str]


@dataclass(frozen=True, slots=True)
class Topology:
    """Who calls whom."""

    nodes: Sequence[Node | MemberNode]
    calls: Sequence[Call]


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """A metric."""

    name: str
    type: str
    catalog: str


@dataclass(frozen=True, slots=True)
class HierarchyService:
    """A service as one layer sees it."""

    id: str
    name: str
    layer: str
    normal: bool


@dataclass(frozen=True, slots=True)
class HierarchyInstance:
    """An instance as one layer sees it."""

    id: str
    name: str
    service_id: str
    service_name: str
    layer: str
    normal: bool


@dataclass(frozen=True, slots=True)
class ServiceRelation:
    """The same service in two layers."""

    upper_service: HierarchyService
    lower_service: HierarchyService


@dataclass(frozen=True, slots=True)
class InstanceRelation:
    """The same instance in two layers."""

    upper_instance: HierarchyInstance
    lower_instance: HierarchyInstance


@dataclass(frozen=True, slots=True)
class LayerLevel:
    """How high a layer stands."""

    layer: str
    level: int


@dataclass(frozen=True, slots=True)
class MenuItem:
    """A line of the web client's menu."""

    title: str
    icon: str
    layer: str
    activate: bool
    description: str
    document_link: str
    translation_key: str
    sub_items: Sequence["MenuItem"] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a change of a template."""

    id: str
    status: bool
    message: str | None = None
