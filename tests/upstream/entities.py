"""What there is of entities in a backend, as GraphQL's Entity, by the catalogue of their metrics."""

from collections.abc import Iterator
from typing import Final

from tests.backend.query.graphql.documents import (
    SWCTL_ENDPOINTS_WITHOUT_DURATION,
    SWCTL_GLOBAL_TOPOLOGY,
    SWCTL_INSTANCE_TOPOLOGY,
    SWCTL_INSTANCES,
    SWCTL_SERVICES,
)
from tests.upstream.asking import Asked

LAYER: Final = "K8S_SERVICE"
MOST_ENDPOINTS: Final = 1_000
Entity = dict[str, object]


def entities(backend: Asked, duration: dict[str, str]) -> Iterator[tuple[str, Entity]]:
    """Services, their instances and endpoints, and the relations of services and of instances."""
    for service in backend.result(SWCTL_SERVICES, layer=LAYER):
        of_service: Entity = {"serviceName": service["name"], "normal": True}
        yield "SERVICE", of_service
        for instance in backend.result(SWCTL_INSTANCES, serviceId=service["id"], duration=duration):
            yield "SERVICE_INSTANCE", of_service | {"serviceInstanceName": instance["name"]}
        for endpoint in endpoints(backend, service["id"]):
            yield "ENDPOINT", of_service | {"endpointName": endpoint}
    for source, target, names in relations(backend, duration):
        between: Entity = {
            "serviceName": names[source],
            "normal": True,
            "destServiceName": names[target],
            "destNormal": True,
        }
        yield "SERVICE_RELATION", between
        topology = backend.result(
            SWCTL_INSTANCE_TOPOLOGY, clientServiceId=source, serverServiceId=target, duration=duration
        )
        instances = {node["id"]: node["name"] for node in topology["nodes"]}
        for call in topology["calls"]:
            yield (
                "SERVICE_INSTANCE_RELATION",
                between
                | {
                    "serviceInstanceName": instances[call["source"]],
                    "destServiceInstanceName": instances[call["target"]],
                },
            )


def endpoints(backend: Asked, service: str) -> set[str]:
    """Names of the endpoints of a service, by its id."""
    found = backend.result(SWCTL_ENDPOINTS_WITHOUT_DURATION, keyword="", serviceId=service, limit=MOST_ENDPOINTS)
    return {endpoint["name"] for endpoint in found}


def relations(backend: Asked, duration: dict[str, str]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Ids of the services that call each other, and the names of all."""
    topology = backend.result(SWCTL_GLOBAL_TOPOLOGY, layer=LAYER, duration=duration)
    names = {node["id"]: node["name"] for node in topology["nodes"]}
    for call in topology["calls"]:
        yield call["source"], call["target"], names
