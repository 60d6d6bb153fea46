"""From the names of an entity to its id, and back."""

from collections.abc import Callable, Mapping
from typing import TypeGuard

from backend.entities.ids import (
    decode_endpoint_id,
    decode_instance_id,
    decode_service_id,
    endpoint_id,
    endpoint_relation_id,
    instance_id,
    instance_relation_id,
    service_id,
    service_relation_id,
)
from backend.query.mqe.reader import Entity, ReadingError
from backend.query.mqe.results import Owner

RANKED = {"K8SService": "Service", "K8SServiceInstance": "ServiceInstance", "K8SEndpoint": "Endpoint"}
"""Scopes whose entities top_n() can rank, and what SkyWalking calls them."""


def entity_id(scope: str, entity: Entity) -> str:
    """The id that an entity has in a scope.

    Raises:
        ReadingError: the entity lacks a name that it needs, or no entity of this scope has names.
    """
    make = _IDS.get(scope)
    if make is None:
        raise ReadingError(f"metrics of {scope} cannot be asked for by names")
    return make(entity)


def owner_of(scope: str, entity: str, *, within_service: bool) -> Owner:
    """The entity of an id, named without its service when the list is `within_service`.

    Args:
        scope: one of RANKED.
        entity: an id of this scope.
        within_service: whether all entities of the list are of one service.
    """
    kind = RANKED[scope]
    if kind == "Service":
        name = decode_service_id(entity)
        return Owner(entity, kind, entity, name.service, name.normal, name=name.service)
    parent, own, instance, endpoint = _parts(kind, entity)
    name = decode_service_id(parent)
    shown = own if within_service else f"{name.service} - {own}"
    return Owner(entity, kind, parent, name.service, name.normal, instance, endpoint, shown)


def _parts(kind: str, entity: str) -> tuple[str, str, str | None, str | None]:
    """Id of the service, own name, name as an instance, name as an endpoint."""
    parent = entity.partition("_")[0]
    if kind == "Endpoint":
        endpoint = decode_endpoint_id(entity).endpoint
        return parent, endpoint, None, endpoint
    instance = decode_instance_id(entity).instance
    return parent, instance, instance, None


def is_named(name: str | None) -> TypeGuard[str]:
    """Whether a name is given: some clients send an empty one for none."""
    return name is not None and bool(name.strip())


def _named(name: str | None, what: str) -> str:
    if not is_named(name):
        raise ReadingError(f"this is a metric of {what}, which the entity asked about does not name")
    return name


def _service(entity: Entity) -> str:
    return service_id(_named(entity.service, "a service"), normal=entity.normal)


def _destination(entity: Entity) -> str:
    name = _named(entity.destination_service, "a relation and needs the service that is called (destServiceName)")
    return service_id(name, normal=entity.destination_normal)


def _instance(entity: Entity) -> str:
    return instance_id(_service(entity), _named(entity.instance, "an instance (serviceInstanceName)"))


def _endpoint(entity: Entity) -> str:
    return endpoint_id(_service(entity), _named(entity.endpoint, "an endpoint (endpointName)"))


def _instance_relation(entity: Entity) -> str:
    name = _named(
        entity.destination_instance, "a relation and needs the instance that is called (destServiceInstanceName)"
    )
    return instance_relation_id(_instance(entity), instance_id(_destination(entity), name))


def _endpoint_relation(entity: Entity) -> str:
    return endpoint_relation_id(
        _service(entity),
        _named(entity.endpoint, "an endpoint (endpointName)"),
        _destination(entity),
        _named(entity.destination_endpoint, "a relation and needs the endpoint that is called (destEndpointName)"),
    )


_IDS: Mapping[str, Callable[[Entity], str]] = {
    "K8SService": _service,
    "K8SServiceInstance": _instance,
    "K8SEndpoint": _endpoint,
    "K8SServiceRelation": lambda entity: service_relation_id(_service(entity), _destination(entity)),
    "K8SServiceInstanceRelation": _instance_relation,
    "K8SEndpointRelation": _endpoint_relation,
}
