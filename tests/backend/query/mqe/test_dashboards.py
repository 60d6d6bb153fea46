"""The expressions of dashboards can be answered."""

import pytest

from backend.entities.ids import (
    endpoint_id,
    instance_id,
)
from backend.query.mqe.entities import entity_id
from backend.query.mqe.evaluator import evaluate
from backend.query.mqe.parser import parse
from backend.query.mqe.reader import Entity, ReadingError
from backend.query.mqe.storage_reader import StorageReader
from backend.storage.interface import (
    Service,
)
from backend.storage.memory import MemoryStorage
from tests.backend.query.mqe import dashboards
from tests.backend.query.mqe.asking import CATALOG, DEFINITIONS, START, WEB, Row, minutes, write

ENTITIES = {
    "services": (dashboards.SERVICES, Entity("web")),
    "tops": (dashboards.TOPS, Entity()),
    "instances": (dashboards.INSTANCES, Entity("web", instance="web-1")),
    "endpoints": (dashboards.ENDPOINTS, Entity("web", endpoint="GET:/")),
    "service relations": (dashboards.SERVICE_RELATIONS, Entity("web", destination_service="api")),
    "instance relations": (
        dashboards.INSTANCE_RELATIONS,
        Entity("web", instance="web-1", destination_service="api", destination_instance="api-1"),
    ),
}


@pytest.mark.parametrize("kind", ENTITIES)
def test_the_dashboards_ask_for_metrics_that_there_are(kind: str) -> None:
    storage = MemoryStorage()
    expressions, entity = ENTITIES[kind]
    scopes = {
        scope: entity_id(scope, entity)
        for scope in (
            "K8SService",
            "K8SServiceInstance",
            "K8SEndpoint",
            "K8SServiceRelation",
            "K8SServiceInstanceRelation",
        )
        if kind != "tops" and _has(scope, entity)
    } or {"K8SService": WEB, "K8SServiceInstance": instance_id(WEB, "i"), "K8SEndpoint": endpoint_id(WEB, "e")}
    rows: list[Row] = [
        (definition.name, "", scopes[definition.scope], START, 100, 5)
        for definition in DEFINITIONS
        if definition.scope in scopes
    ]
    write(storage, rows, services=[Service(WEB, "web", "K8S_SERVICE", START, START)])
    for text in expressions:
        result = evaluate(parse(text), StorageReader(storage, CATALOG, entity), minutes(START, START))
        assert result.has_values, text


def _has(scope: str, entity: Entity) -> bool:
    try:
        entity_id(scope, entity)
    except ReadingError:
        return False
    return True
