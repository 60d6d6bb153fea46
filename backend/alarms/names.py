"""What entities are called in rules and in what is told of them, as in Apache SkyWalking."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from backend.entities.ids import (
    decode_endpoint_id,
    decode_instance_id,
    decode_instance_relation_id,
    decode_service_id,
    decode_service_relation_id,
)


@dataclass(frozen=True, slots=True)
class Scope:
    """A kind of entity."""

    number: int
    """Its scopeId."""
    catalog: str
    """As hooks are told, such as SERVICE_RELATION."""
    title: str
    """As GraphQL calls it, such as ServiceRelation."""
    name: Callable[[str], str]
    """From an id to a name. Raises ValueError."""


@dataclass(frozen=True, slots=True)
class Named:
    """An entity and what it is called."""

    scope: Scope
    entity: str
    """Its id."""
    name: str

    @property
    def ends(self) -> tuple[str, str]:
        """Id of the entity and an empty text; of a relation, the ids of its source and destination."""
        # Neither half of an id has the sign between them.
        source, _, destination = self.entity.partition("-")
        return source, destination

    @property
    def services(self) -> tuple[str, ...]:
        """Ids of the services that it is, or is of: of a relation, of the source and of the destination."""
        return tuple(end.partition("_")[0] for end in self.ends if end)


def _service(entity: str) -> str:
    return decode_service_id(entity).service


def _instance(entity: str) -> str:
    found = decode_instance_id(entity)
    return f"{found.instance} of {found.service.service}"


def _endpoint(entity: str) -> str:
    found = decode_endpoint_id(entity)
    return f"{found.endpoint} in {found.service.service}"


def _service_relation(entity: str) -> str:
    found = decode_service_relation_id(entity)
    return f"{found.source.service} to {found.destination.service}"


def _instance_relation(entity: str) -> str:
    source, destination = decode_instance_relation_id(entity)
    return f"{source.instance} of {source.service.service} to {destination.instance} of {destination.service.service}"


SCOPES: Mapping[str, Scope] = {
    "K8SService": Scope(1, "SERVICE", "Service", _service),
    "K8SServiceInstance": Scope(2, "SERVICE_INSTANCE", "ServiceInstance", _instance),
    "K8SEndpoint": Scope(3, "ENDPOINT", "Endpoint", _endpoint),
    "K8SServiceRelation": Scope(4, "SERVICE_RELATION", "ServiceRelation", _service_relation),
    "K8SServiceInstanceRelation": Scope(5, "SERVICE_INSTANCE_RELATION", "ServiceInstanceRelation", _instance_relation),
}
"""By scope of metrics."""


def named(scope: str, entity: str) -> Named:
    """An entity with its name. Raises ValueError when the id is none of this scope."""
    kind = SCOPES[scope]
    return Named(kind, entity, kind.name(entity))


BY_TITLE: Mapping[str, Scope] = {scope.title: scope for scope in SCOPES.values()}
"""By what GraphQL calls them."""
