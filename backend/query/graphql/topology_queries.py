"""Questions for who calls whom."""

from collections.abc import Mapping, Sequence

from backend.entities.ids import decode_endpoint_id, decode_service_id
from backend.query.graphql import shapes
from backend.query.graphql.context import Context
from backend.query.graphql.inputs import SpanText
from backend.query.graphql.questions import Answer, renamed
from backend.query.graphql.service_book import layers_of
from backend.query.graphql.topology import (
    endpoint_topology,
    endpoints_as_services,
    instance_topology,
    service_topology,
)

EMPTY = shapes.Topology((), ())


def get_global_topology(context: Context, *, duration: SpanText, layer: str | None = None) -> shapes.Topology:
    """Calls from and to services of a layer, or of all."""
    if not layer:
        return _services(context, duration, None)
    return _services(context, duration, [service.id for service in context.sources.services.of_layer(layer)])


def get_services_topology(context: Context, *, duration: SpanText, service_ids: Sequence[str]) -> shapes.Topology:
    """Calls from and to services."""
    return _services(context, duration, service_ids)


def get_service_topology(context: Context, *, duration: SpanText, service_id: str) -> shapes.Topology:
    """Calls from and to a service."""
    return _services(context, duration, [service_id])


def get_service_instance_topology(
    context: Context, *, duration: SpanText, client_service_id: str, server_service_id: str
) -> shapes.Topology:
    """Calls between instances of two services, in both directions."""
    span, storage = context.span(duration), context.sources.storage
    if not all(map(_is_service, (client_service_id, server_service_id))):
        return EMPTY
    relations = storage.instance_relations(client_service_id, server_service_id, span.first, span.last)
    if client_service_id != server_service_id:
        relations += storage.instance_relations(server_service_id, client_service_id, span.first, span.last)
    return instance_topology(relations)


def get_endpoint_dependencies(context: Context, *, duration: SpanText, endpoint_id: str) -> shapes.Topology:
    """Calls from and to an endpoint."""
    span = context.span(duration)
    try:
        decode_endpoint_id(endpoint_id)
    except ValueError:
        return EMPTY
    return endpoint_topology(context.sources.storage.endpoint_relations(endpoint_id, span.first, span.last))


def get_endpoint_topology(context: Context, *, duration: SpanText, endpoint_id: str) -> shapes.Topology:
    """As get_endpoint_dependencies(), in the older shape."""
    return endpoints_as_services(get_endpoint_dependencies(context, duration=duration, endpoint_id=endpoint_id))


def _services(context: Context, duration: SpanText, of: Sequence[str] | None) -> shapes.Topology:
    span, book = context.span(duration), context.sources.services
    if of is not None and not of:
        return EMPTY

    def layers(identity: str) -> Sequence[str]:
        service = book.get(identity)
        return () if service is None else layers_of(service)

    relations = context.sources.storage.service_relations(span.first, span.last)
    return service_topology(relations, layers, None if of is None else frozenset(of))


def _is_service(identity: str) -> bool:
    try:
        decode_service_id(identity)
    except ValueError:
        return False
    return True


QUERIES: Mapping[str, Answer] = {
    "getGlobalTopology": get_global_topology,
    "getServicesTopology": get_services_topology,
    "getServicesTopologyByNames": renamed(get_services_topology, services="service_ids"),
    "getServiceTopology": get_service_topology,
    "getServiceTopologyByName": renamed(get_service_topology, service="service_id"),
    "getServiceInstanceTopology": get_service_instance_topology,
    "getServiceInstanceTopologyByName": renamed(
        get_service_instance_topology, client_service="client_service_id", server_service="server_service_id"
    ),
    "getEndpointDependencies": get_endpoint_dependencies,
    "getEndpointDependenciesByName": renamed(get_endpoint_dependencies, endpoint="endpoint_id"),
    "getEndpointTopology": get_endpoint_topology,
}
"""By operation."""
