"""Services of several layers that are the same, seen from higher and lower.

The layers' levels, and by which names services of two layers are known to be the same, are those of Apache SkyWalking's
hierarchy-definition.yml, as far as they stand on services of Kubernetes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from backend.entities.ids import decode_instance_id
from backend.query.graphql import shapes
from backend.query.graphql.context import Context
from backend.query.graphql.inputs import ALWAYS
from backend.query.graphql.metadata import service_shape
from backend.query.graphql.questions import Answer
from backend.query.graphql.service_book import layers_of
from backend.storage.interface import Instance, Service

MAXIMUM_RELATIONS = 1_000
"""Most relations of one answer."""
POD_ATTRIBUTES = ("pod", "hostname")
"""Attributes of an instance that may say which pod it is in."""

LEVELS = {
    "MESH": 1,
    "MESH_DP": 1,
    "CILIUM_SERVICE": 1,
    "K8S_SERVICE": 0,
    "GENERAL": 2,
    "SO11Y_OAP": 2,
    "MYSQL": 2,
    "POSTGRESQL": 2,
    "APISIX": 2,
    "NGINX": 2,
    "KONG": 2,
    "ROCKETMQ": 2,
    "RABBITMQ": 2,
    "KAFKA": 2,
    "PULSAR": 2,
    "ACTIVEMQ": 2,
    "CLICKHOUSE": 2,
    "ELASTICSEARCH": 2,
    "VIRTUAL_DATABASE": 3,
    "VIRTUAL_MQ": 3,
    "VIRTUAL_GATEWAY": 3,
}
"""By layer; a higher one stands on lower ones."""


def _name(upper: Service, lower: Service) -> bool:
    return upper.name == lower.name


def _short_name(upper: Service, lower: Service) -> bool:
    return _short(upper) == _short(lower)


def _without_namespace(upper: Service, lower: Service) -> bool:
    name, dot, _ = _short(lower).rpartition(".")
    return bool(dot and name) and _short(upper) == name


def _short(service: Service) -> str:
    return service_shape(service).short_name


_LOWEST = "K8S_SERVICE"
_BY_SHORT_NAME = (
    "MESH",
    "MESH_DP",
    "CILIUM_SERVICE",
    "SO11Y_OAP",
    "MYSQL",
    "POSTGRESQL",
    "APISIX",
    "NGINX",
    "KONG",
    "ROCKETMQ",
    "RABBITMQ",
    "KAFKA",
    "PULSAR",
    "ACTIVEMQ",
    "CLICKHOUSE",
    "ELASTICSEARCH",
)
SAME: Mapping[tuple[str, str], Callable[[Service, Service], bool]] = {
    ("MESH", "MESH_DP"): _name,
    ("GENERAL", _LOWEST): _without_namespace,
    **{(upper, _LOWEST): _short_name for upper in _BY_SHORT_NAME},
}
"""By upper and lower layer, whether two services of them are the same."""

_Seen = tuple[Service, str]
"""A service as one layer sees it."""


def related(services: Iterable[Service], service: Service, layer: str) -> list[tuple[_Seen, _Seen]]:
    """The services next to one in the hierarchy: pairs of an upper and a lower one, of which one is `service`."""
    pairs = []
    for other in services:
        for other_layer in layers_of(other):
            if (is_same := SAME.get((other_layer, layer))) and is_same(other, service):
                pairs.append(((other, other_layer), (service, layer)))
            if (is_same := SAME.get((layer, other_layer))) and is_same(service, other):
                pairs.append(((service, layer), (other, other_layer)))
    return pairs


def hierarchy(
    services: Sequence[Service], service: Service, layer: str, check_time: Callable[[], None]
) -> list[tuple[_Seen, _Seen]]:
    """Pairs that are reached from a service by going up and down any number of times; at most MAXIMUM_RELATIONS."""
    pairs: dict[tuple[str, str, str, str], tuple[_Seen, _Seen]] = {}
    waiting: list[_Seen] = [(service, layer)]
    reached = {(service.id, layer)}
    while waiting and len(pairs) < MAXIMUM_RELATIONS:
        check_time()  # all services are looked at for each that was reached
        for upper, lower in related(services, *waiting.pop()):
            pairs[upper[0].id, upper[1], lower[0].id, lower[1]] = (upper, lower)
            for found in (upper, lower):
                if (found[0].id, found[1]) not in reached:
                    reached.add((found[0].id, found[1]))
                    waiting.append(found)
    return [pairs[key] for key in sorted(pairs)][:MAXIMUM_RELATIONS]


def get_service_hierarchy(
    context: Context, *, service_id: str, layer: str
) -> dict[str, Sequence[shapes.ServiceRelation]]:
    """The same service as other layers see it, and what these are related to in turn."""
    book = context.sources.services
    service = book.get(service_id)
    if service is None or layer not in layers_of(service):
        return {"relations": ()}
    found = hierarchy(book.all(), service, layer, context.check_time)
    return {
        "relations": [shapes.ServiceRelation(_service_shape(*upper), _service_shape(*lower)) for upper, lower in found]
    }


def get_instance_hierarchy(
    context: Context, *, instance_id: str, layer: str
) -> dict[str, Sequence[shapes.InstanceRelation]]:
    """The same instance as other layers see it."""
    book, storage = context.sources.services, context.sources.storage
    try:
        decode_instance_id(instance_id)
    except ValueError:
        return {"relations": ()}
    service = book.get(instance_id.partition("_")[0])
    if service is None or layer not in layers_of(service):
        return {"relations": ()}

    def instances(of: Service) -> list[Instance]:
        return storage.instances(of.id, ALWAYS.first, ALWAYS.last)

    asked = [instance for instance in instances(service) if instance.id == instance_id]
    relations = []
    for upper, lower in related(book.all(), service, layer)[:MAXIMUM_RELATIONS]:
        context.check_time()
        is_upper = upper == (service, layer)
        for one in asked:
            for other in instances(lower[0] if is_upper else upper[0]):
                if _pods(one).isdisjoint(_pods(other)):
                    continue
                pair = (one, other) if is_upper else (other, one)
                relations.append(
                    shapes.InstanceRelation(_instance_shape(pair[0], *upper), _instance_shape(pair[1], *lower))
                )
    return {"relations": relations[:MAXIMUM_RELATIONS]}


def list_layer_levels(_context: Context) -> list[shapes.LayerLevel]:
    """How high layers stand."""
    return [shapes.LayerLevel(layer, level) for layer, level in LEVELS.items()]


def _pods(instance: Instance) -> set[str]:
    """What the pod of an instance may be called."""
    told = {name.casefold(): value for name, value in instance.properties.items()}
    return {instance.name, *(told[name] for name in POD_ATTRIBUTES if told.get(name))}


def _service_shape(service: Service, layer: str) -> shapes.HierarchyService:
    return shapes.HierarchyService(service.id, service.name, layer, service.normal)


def _instance_shape(instance: Instance, service: Service, layer: str) -> shapes.HierarchyInstance:
    return shapes.HierarchyInstance(instance.id, instance.name, service.id, service.name, layer, service.normal)


QUERIES: Mapping[str, Answer] = {
    "getServiceHierarchy": get_service_hierarchy,
    "getInstanceHierarchy": get_instance_hierarchy,
    "listLayerLevels": list_layer_levels,
}
"""By operation."""
