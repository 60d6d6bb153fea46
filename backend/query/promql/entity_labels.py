"""From the ids of entities to the labels of their series, with the names that Apache SkyWalking gives them."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from backend.entities.ids import (
    EndpointName,
    InstanceName,
    ServiceName,
    decode_endpoint_id,
    decode_endpoint_relation_id,
    decode_instance_id,
    decode_instance_relation_id,
    decode_service_id,
    decode_service_relation_id,
    endpoint_id,
    instance_id,
    service_id,
    service_relation_id,
)
from backend.query.graphql.service_book import ServiceBook, layers_of
from backend.query.promql.matching import Selector
from backend.storage.interface import Storage

LAYER, SERVICE, INSTANCE, ENDPOINT, CONJECTURED = "layer", "service", "service_instance", "endpoint", "conjectured"
DESTINATION = "dest_"
"""What the labels of the other end of a relation begin with."""
USUAL_LAYER = "K8S_SERVICE"
"""The layer that is told of services that have several."""
UNSUPPORTED = {
    "top_n": "write topk(10, name)",
    "order": "write topk() or bottomk()",
    "parent_service": "select by the label service",
}
"""Labels that mean something in Apache SkyWalking, and how that is said in PromQL."""


class EntityLabels:
    """Labels by the id of an entity.

    Args:
        services: Knows layers.
    """

    def __init__(self, services: ServiceBook) -> None:
        self._services = services

    def of(self, scope: str, entity: str) -> Mapping[str, str]:
        """The labels of an entity of a scope. Raises ValueError if the id is none of this scope."""
        return dict(_READERS[scope](entity, self._layer))

    def _layer(self, service: str) -> str:
        found = self._services.get(service)
        if found is None:
            return ""
        layers = layers_of(found)
        return USUAL_LAYER if USUAL_LAYER in layers else layers[0]


def candidates(
    scope: str, selector: Selector, storage: Storage, first_minute: int, last_minute: int
) -> list[str] | None:
    """Ids of the entities that a selector can mean, and of few others; None where that could be any. Blocks."""
    service, other = selector.exact(SERVICE), selector.exact(DESTINATION + SERVICE)
    name = selector.exact(INSTANCE if scope == "K8SServiceInstance" else ENDPOINT)
    ids = ids_of(service) if service else []
    match scope:
        case "K8SService" if ids:
            return ids
        case "K8SServiceInstance" | "K8SEndpoint" if ids and name:
            make = instance_id if scope == "K8SServiceInstance" else endpoint_id
            return [make(each, name) for each in ids]
        case "K8SServiceInstance" if ids:
            return [found.id for each in ids for found in storage.instances(each, first_minute, last_minute)]
        case "K8SEndpoint" if ids:
            return [found.id for each in ids for found in storage.endpoints(each, first_minute, last_minute)]
        case "K8SServiceRelation" if ids and other:
            return [service_relation_id(each, called) for each in ids for called in ids_of(other)]
    return None


def ids_of(service: str) -> list[str]:
    """The ids that a service of a name can have."""
    return [service_id(service, normal=normal) for normal in (True, False)]


Pairs = Iterator[tuple[str, str]]
LayerOf = Callable[[str], str]


def _service(name: ServiceName, layer_of: LayerOf, prefix: str = "") -> Pairs:
    yield prefix + SERVICE, name.service
    if layer := layer_of(service_id(name.service, normal=name.normal)):
        yield prefix + LAYER, layer
    if not name.normal:
        # Else a service and a conjectured one of its name would have the same labels.
        yield prefix + CONJECTURED, "true"


def _instance(name: InstanceName, layer_of: LayerOf, prefix: str = "") -> Pairs:
    yield prefix + INSTANCE, name.instance
    yield from _service(name.service, layer_of, prefix)


def _endpoint(name: EndpointName, layer_of: LayerOf, prefix: str = "") -> Pairs:
    yield prefix + ENDPOINT, name.endpoint
    yield from _service(name.service, layer_of, prefix)


def _relation(
    entity: str, layer_of: LayerOf, decode: Callable[[str], tuple[object, object]], end: Callable[..., Pairs]
) -> Pairs:
    source, destination = decode(entity)
    yield from end(source, layer_of)
    yield from end(destination, layer_of, DESTINATION)


_READERS: Mapping[str, Callable[[str, LayerOf], Pairs]] = {
    "K8SService": lambda entity, layer_of: _service(decode_service_id(entity), layer_of),
    "K8SServiceInstance": lambda entity, layer_of: _instance(decode_instance_id(entity), layer_of),
    "K8SEndpoint": lambda entity, layer_of: _endpoint(decode_endpoint_id(entity), layer_of),
    "K8SServiceRelation": partial(_relation, decode=decode_service_relation_id, end=_service),
    "K8SServiceInstanceRelation": partial(_relation, decode=decode_instance_relation_id, end=_instance),
    "K8SEndpointRelation": partial(_relation, decode=decode_endpoint_relation_id, end=_endpoint),
}

LABELS_OF_SCOPES: Mapping[str, frozenset[str]] = {
    scope: frozenset(
        prefix + name
        for prefix in (("", DESTINATION) if "Relation" in scope else ("",))
        for name in (*names, SERVICE, LAYER)
    )
    for scope, names in {
        "K8SService": (),
        "K8SServiceInstance": (INSTANCE,),
        "K8SEndpoint": (ENDPOINT,),
        "K8SServiceRelation": (),
        "K8SServiceInstanceRelation": (INSTANCE,),
        "K8SEndpointRelation": (ENDPOINT,),
    }.items()
}
"""Names of the labels of the metrics of a scope."""
