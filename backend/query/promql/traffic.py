"""The series that say which services, instances and endpoints there are: 1 while one was seen.

Apache SkyWalking has them under these names; Grafana fills the lists of its variables from them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from backend.query.promql.budget import Budget
from backend.query.promql.entity_labels import LAYER, SERVICE, EntityLabels, ids_of
from backend.query.promql.matching import Selector
from backend.query.promql.series import NAME, Labels, Samples, labels_of
from backend.storage.interface import Endpoint, Instance, Service, Storage

SERVICES, INSTANCES, ENDPOINTS = "service_traffic", "instance_traffic", "endpoint_traffic"
NAMES: Mapping[str, str] = {SERVICES: "K8SService", INSTANCES: "K8SServiceInstance", ENDPOINTS: "K8SEndpoint"}
"""Names of the series, and the scope of the entities."""

Entity = Service | Instance | Endpoint


def samples(selector: Selector, grid: Samples, storage: Storage, labels: EntityLabels, budget: Budget) -> Samples:
    """The series that a selector selects, at the times of a grid. Blocks."""
    minutes = grid.first // 60_000, (grid.first + grid.values.shape[1] * grid.spacing) // 60_000 - 1
    named: list[Labels] = []
    spans: list[tuple[int, int]] = []
    for name, scope in NAMES.items():
        if not selector.accepts({NAME: name}, names=(NAME,)):
            continue
        for entity in _READERS[name](selector, storage, labels, minutes):
            found = {**labels.of(scope, entity.id), NAME: name}
            if selector.accepts(found):
                named.append(labels_of(found))
                spans.append((entity.first_minute, entity.last_minute))
        budget.hold(len(named), grid.values.shape[1])
    ends = np.array(spans, np.int64).reshape(-1, 2) * 60_000
    at = grid.first + np.arange(grid.values.shape[1], dtype=np.int64) * grid.spacing
    present = (at + grid.spacing > ends[:, :1]) & (at <= ends[:, 1:])
    return Samples(named, present.astype(np.float64), present, grid.first, grid.spacing)


def _services(_selector: Selector, storage: Storage, _labels: EntityLabels, minutes: tuple[int, int]) -> list[Service]:
    return [
        service
        for service in storage.services()
        if service.first_minute <= minutes[1] and service.last_minute >= minutes[0]
    ]


def _of_services(selector: Selector, storage: Storage, labels: EntityLabels, minutes: tuple[int, int]) -> Iterable[str]:
    """Ids of the services whose own labels the selector accepts."""
    return [
        service.id
        for service in _services(selector, storage, labels, minutes)
        if selector.accepts(labels.of("K8SService", service.id), names=(SERVICE, LAYER))
    ]


def _instances(
    selector: Selector, storage: Storage, labels: EntityLabels, minutes: tuple[int, int]
) -> Sequence[Instance]:
    services = frozenset(_of_services(selector, storage, labels, minutes))
    return [found for found in storage.instances(None, *minutes) if found.service_id in services]


def _endpoints(
    selector: Selector, storage: Storage, _labels: EntityLabels, minutes: tuple[int, int]
) -> Sequence[Endpoint]:
    if not (service := selector.exact(SERVICE)):
        return storage.endpoints(None, *minutes)
    return [found for each in ids_of(service) for found in storage.endpoints(each, *minutes)]


_READERS: Mapping[str, Callable[[Selector, Storage, EntityLabels, tuple[int, int]], Sequence[Entity]]] = {
    SERVICES: _services,
    INSTANCES: _instances,
    ENDPOINTS: _endpoints,
}
