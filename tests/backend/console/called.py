"""Services that call one another, as the map of the console shows them."""

from collections.abc import Sequence

from backend.entities.ids import service_id, service_relation_id
from backend.storage.interface import Flush, Relation, Service
from backend.storage.memory import MemoryStorage
from tests.backend.query import world


def storage_of_calls(calls: Sequence[tuple[str, str]]) -> MemoryStorage:
    """A store with these calls in the present minute, and with the services in the order in which they are named."""
    storage, minute = MemoryStorage(), world.NOW_MINUTE
    names = dict.fromkeys(name for call in calls for name in call)
    relations = [
        Relation(service_relation_id(one, other), one, other, "client", 49, minute)
        for one, other in ((service_id(source), service_id(target)) for source, target in calls)
    ]
    rows = [
        (f"kubernetes_service_relation_client_{name}", relation.id, minute, 60, 0)
        for relation in relations
        for name in ("write_cpm", "write_package_size")
    ]
    rows += [("kubernetes_service_write_cpm", service_id(name), minute, 60, 0) for name in names]
    services = [Service(service_id(name), name, world.LAYER, minute, minute) for name in names]
    storage.write(Flush("calls", world.frame(rows), services, service_relations=relations))
    return storage
