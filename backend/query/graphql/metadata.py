"""Questions for services, instances and endpoints."""

from collections.abc import Mapping, Sequence

from backend.entities.ids import decode_endpoint_id, decode_instance_id, service_id
from backend.entities.layers import LAYERS
from backend.query.errors import QueryError
from backend.query.graphql import shapes
from backend.query.graphql.context import Context
from backend.query.graphql.inputs import ALWAYS, Span, SpanText
from backend.query.graphql.questions import Answer, renamed
from backend.query.graphql.service_book import layers_of
from backend.storage.interface import Endpoint, Instance, Service

MAXIMUM_ENDPOINTS = 10_000
"""Most endpoints of one answer."""
SHOWN_LAYERS = sorted(LAYERS - {"UNDEFINED"})


def service_shape(service: Service) -> shapes.Service:
    """A service as it is answered."""
    group, separator, name = service.name.partition("::")
    if not (group and separator and name):
        group, name = "", service.name
    return shapes.Service(service.id, service.name, group, name, layers_of(service), service.normal)


def instance_shape(instance: Instance) -> shapes.ServiceInstance:
    """An instance as it is answered."""
    attributes = [shapes.Attribute(name, value) for name, value in sorted(instance.properties.items())]
    return shapes.ServiceInstance(instance.id, instance.name, attributes, "UNKNOWN", instance.id)


def services_within(context: Context, span: Span) -> list[Service]:
    """Services that were seen in a span, by name."""
    return [
        service
        for service in context.sources.services.all()
        if service.first_minute <= span.last and service.last_minute >= span.first
    ]


def list_services(context: Context, *, layer: str | None = None) -> list[shapes.Service]:
    """Services of a layer, or all."""
    book = context.sources.services
    return [service_shape(service) for service in (book.of_layer(layer) if layer else book.all())]


def get_service(context: Context, *, service_id: str) -> shapes.Service | None:
    """The service of an id."""
    found = context.sources.services.get(service_id)
    return None if found is None else service_shape(found)


def find_service(context: Context, *, service_name: str) -> shapes.Service | None:
    """The service of a name."""
    return get_service(context, service_id=service_id(service_name))


def list_instances(context: Context, *, service_id: str, duration: SpanText) -> list[shapes.ServiceInstance]:
    """Instances of a service that were seen in a span."""
    span = context.span(duration)
    return [instance_shape(found) for found in context.sources.storage.instances(service_id, span.first, span.last)]


def get_instance(context: Context, *, instance_id: str) -> shapes.ServiceInstance | None:
    """The instance of an id."""
    try:
        decode_instance_id(instance_id)
    except ValueError:
        return None
    of = instance_id.partition("_")[0]
    known = context.sources.storage.instances(of, ALWAYS.first, ALWAYS.last)
    return next((instance_shape(instance) for instance in known if instance.id == instance_id), None)


def find_endpoint(
    context: Context, *, service_id: str, limit: int, keyword: str | None = None, duration: SpanText | None = None
) -> list[Endpoint]:
    """Endpoints of a service by a part of their names, the last called first."""
    if not 0 <= limit <= MAXIMUM_ENDPOINTS:
        raise QueryError(f"limit is {limit:,}", f"ask for at most {MAXIMUM_ENDPOINTS:,} endpoints")
    span = ALWAYS if duration is None else context.span(duration)
    wanted = (keyword or "").casefold()
    known = context.sources.storage.endpoints(service_id, span.first, span.last)
    found = [endpoint for endpoint in known if wanted in endpoint.name.casefold()]
    return sorted(found, key=lambda endpoint: (-endpoint.last_minute, endpoint.name))[:limit]


def get_endpoint_info(_context: Context, *, endpoint_id: str) -> shapes.EndpointInfo | None:
    """What an id of an endpoint says; None if it is no such id."""
    try:
        names = decode_endpoint_id(endpoint_id)
    except ValueError:
        return None
    of = endpoint_id.partition("_")[0]
    return shapes.EndpointInfo(endpoint_id, names.endpoint, of, names.service.service)


def get_global_brief(context: Context, *, duration: SpanText) -> dict[str, int]:
    """How much was seen in a span."""
    span = context.span(duration)
    endpoints = context.sources.storage.endpoints(None, span.first, span.last)
    return {
        "num_of_service": len(services_within(context, span)),
        "num_of_endpoint": len(endpoints),
        "num_of_database": 0,
        "num_of_cache": 0,
        "num_of_mq": 0,
    }


def get_all_services(context: Context, *, duration: SpanText, group: str | None = None) -> list[shapes.Service]:
    """Services of a group, or all, that were seen in a span."""
    found = map(service_shape, services_within(context, context.span(duration)))
    return [service for service in found if not group or service.group == group]


def search_services(context: Context, *, duration: SpanText, keyword: str) -> list[shapes.Service]:
    """Services that were seen in a span, by a part of their names."""
    wanted = keyword.casefold()
    return [found for found in get_all_services(context, duration=duration) if wanted in found.name.casefold()]


def _layers(_context: Context) -> Sequence[str]:
    return SHOWN_LAYERS


QUERIES: Mapping[str, Answer] = {
    "listLayers": _layers,
    "listServices": list_services,
    "getService": get_service,
    "findService": find_service,
    "listInstances": list_instances,
    "listInstancesByName": renamed(list_instances, service="service_id"),
    "getInstance": get_instance,
    "findEndpoint": find_endpoint,
    "findEndpointByName": renamed(find_endpoint, service="service_id"),
    "getEndpointInfo": get_endpoint_info,
    "getGlobalBrief": get_global_brief,
    "getAllServices": get_all_services,
    "searchServices": search_services,
    "searchService": renamed(find_service, service_code="service_name"),
    "getServiceInstances": list_instances,
    "searchEndpoint": find_endpoint,
}
"""By operation."""
