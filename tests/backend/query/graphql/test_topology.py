"""Who calls whom, as clients ask for it: document in, answer out."""

from typing import Any

import pytest

from backend.entities.ids import (
    endpoint_id,
    endpoint_relation_id,
    instance_id,
    instance_relation_id,
    service_id,
    service_relation_id,
)
from backend.query.graphql.topology import service_topology
from backend.storage.interface import Relation
from tests.backend.query.graphql import documents
from tests.backend.query.graphql.asking import CALLER, Client
from tests.backend.server.bookinfo import HOPS, POD

LAST_HOUR = {"start": "2027-01-15 0701", "end": "2027-01-15 0800", "step": "MINUTE"}
DAYS = {"start": "2027-01-14", "end": "2027-01-15", "step": "DAY"}
BEFORE = {"start": "2027-01-13", "end": "2027-01-13", "step": "DAY"}


def service(name: str | None) -> str:
    return service_id("Unknown" if name is None else f"{name}.default")


def instance(name: str) -> str:
    return instance_id(service(name), POD.format(name))


def node(name: str | None) -> dict[str, Any]:
    return {
        "id": service(name),
        "name": "Unknown" if name is None else f"{name}.default",
        "type": None if name is None else "http",
        "layers": ["UNDEFINED" if name is None else "K8S_SERVICE"],
        "isReal": True,
    }


def call(source: str | None, destination: str) -> dict[str, Any]:
    return {
        "id": service_relation_id(service(source), service(destination)),
        "source": service(source),
        "target": service(destination),
        "detectPoints": ["SERVER"] if source is None else ["CLIENT", "SERVER"],
        "sourceComponents": [] if source is None else ["http"],
        "targetComponents": ["http"],
    }


WHOLE = {
    "nodes": [node(name) for name in (None, "details", "productpage", "ratings", "reviews")],
    "calls": [
        call(None, "productpage"),
        call("productpage", "details"),
        call("productpage", "reviews"),
        call("reviews", "ratings"),
    ],
}
EMPTY: dict[str, list[object]] = {"nodes": [], "calls": []}


@pytest.mark.parametrize("duration", [LAST_HOUR, DAYS], ids=["minutes", "days"])
@pytest.mark.parametrize("layer", ["K8S_SERVICE", None])
async def test_swctl_draws_everything(client: Client, layer: str | None, duration: dict[str, str]) -> None:
    assert len(HOPS) == len(WHOLE["calls"])
    answer = await client.answer(documents.SWCTL_GLOBAL_TOPOLOGY, duration=duration, layer=layer)
    assert answer == {"result": WHOLE}


@pytest.mark.parametrize(("layer", "duration"), [("MESH", LAST_HOUR), ("K8S_SERVICE", BEFORE)])
async def test_a_layer_or_a_time_without_services_is_empty(
    client: Client, layer: str, duration: dict[str, str]
) -> None:
    answer = await client.answer(documents.SWCTL_GLOBAL_TOPOLOGY, duration=duration, layer=layer)
    assert answer == {"result": EMPTY}


async def test_a_service_is_drawn_with_its_neighbours(client: Client) -> None:
    expected = {
        "nodes": [node("productpage"), node("ratings"), node("reviews")],
        "calls": [call("productpage", "reviews"), call("reviews", "ratings")],
    }
    by_id = await client.answer(documents.SWCTL_SERVICE_TOPOLOGY, serviceId=service("reviews"), duration=LAST_HOUR)
    assert by_id == {"result": expected}
    by_name = f"""query ($service: ServiceCondition!, $duration: Duration!) {{
      getServiceTopologyByName(service: $service, duration: $duration, debug: true) {documents.TOPOLOGY_FIELDS}
    }}"""
    answer = await client.answer(by_name, service={"serviceName": "reviews.default"}, duration=LAST_HOUR)
    assert answer == {"getServiceTopologyByName": expected}


async def test_the_web_client_and_horizon_draw_services_they_name(client: Client) -> None:
    ids = [service("details"), service("ratings"), "no id"]
    answer = await client.answer(documents.BOOSTER_TOPOLOGY, serviceIds=ids, duration=LAST_HOUR)
    expected = [call("productpage", "details"), call("reviews", "ratings")]
    shown = ("id", "source", "target", "detectPoints")
    assert answer["topology"]["calls"] == [{name: one[name] for name in shown} for one in expected]
    assert [one["name"] for one in answer["topology"]["nodes"]] == [
        "details.default",
        "productpage.default",
        "ratings.default",
        "reviews.default",
    ]
    by_names = """query ($services: [ServiceCondition!]!, $duration: Duration!) {
      getServicesTopologyByNames(services: $services, duration: $duration) { calls { id } debuggingTrace { traceId } }
    }"""
    names = [{"serviceName": "details.default"}, {"serviceName": "ratings.default"}]
    named = await client.answer(by_names, services=names, duration=LAST_HOUR)
    assert named == {
        "getServicesTopologyByNames": {"calls": [{"id": one["id"]} for one in expected], "debuggingTrace": None}
    }
    nothing = await client.answer(documents.BOOSTER_TOPOLOGY, serviceIds=[], duration=LAST_HOUR)
    assert nothing == {"topology": EMPTY}


def member(identity: str, name: str, of: str) -> dict[str, Any]:
    return {
        "id": identity,
        "name": name,
        "type": "",
        "isReal": True,
        "serviceName": f"{of}.default",
        "serviceId": service(of),
    }


async def test_instances_of_two_services_are_drawn_from_either_end(client: Client) -> None:
    relation = instance_relation_id(instance("productpage"), instance("reviews"))
    expected = {
        "nodes": [member(instance(name), POD.format(name), name) for name in ("productpage", "reviews")],
        "calls": [
            {
                "id": relation,
                "source": instance("productpage"),
                "target": instance("reviews"),
                "detectPoints": ["CLIENT", "SERVER"],
                "sourceComponents": [],
                "targetComponents": [],
            }
        ],
    }
    ends = service("productpage"), service("reviews")
    for one, other in (ends, ends[::-1]):
        asked = {"clientServiceId": one, "serverServiceId": other, "duration": LAST_HOUR}
        assert await client.answer(documents.SWCTL_INSTANCE_TOPOLOGY, **asked) == {"result": expected}
    by_name = """query ($one: ServiceCondition!, $other: ServiceCondition!, $duration: Duration!) {
      getServiceInstanceTopologyByName(clientService: $one, serverService: $other, duration: $duration) { calls { id } }
    }"""
    names = {"one": {"serviceName": "productpage.default"}, "other": {"serviceName": "reviews.default"}}
    assert await client.answer(by_name, **names, duration=LAST_HOUR) == {
        "getServiceInstanceTopologyByName": {"calls": [{"id": relation}]}
    }
    strangers = {"clientServiceId": "x", "serverServiceId": service("reviews"), "duration": LAST_HOUR}
    assert await client.answer(documents.SWCTL_INSTANCE_TOPOLOGY, **strangers) == {"result": EMPTY}


async def test_endpoints_are_drawn_when_callers_say_what_they_serve(client: Client) -> None:
    caller = endpoint_id(service("productpage"), CALLER)
    called = endpoint_id(service("reviews"), "GET:/reviews/0")
    relation = endpoint_relation_id(service("productpage"), CALLER, service("reviews"), "GET:/reviews/0")
    expected = {
        "nodes": [member(caller, CALLER, "productpage"), member(called, "GET:/reviews/0", "reviews")],
        "calls": [
            {
                "id": relation,
                "source": caller,
                "target": called,
                "detectPoints": ["CLIENT"],
                "sourceComponents": [],
                "targetComponents": [],
            }
        ],
    }
    for endpoint in (caller, called):
        answer = await client.answer(documents.SWCTL_ENDPOINT_DEPENDENCY, endpointId=endpoint, duration=LAST_HOUR)
        assert answer == {"result": expected}
    others = """query ($endpoint: EndpointCondition!, $id: ID!, $duration: Duration!) {
      getEndpointDependenciesByName(endpoint: $endpoint, duration: $duration) { calls { id } }
      getEndpointTopology(endpointId: $id, duration: $duration) { nodes { id name isReal layers } calls { id } }
    }"""
    name = {"serviceName": "reviews.default", "endpointName": "GET:/reviews/0"}
    assert await client.answer(others, endpoint=name, id=caller, duration=LAST_HOUR) == {
        "getEndpointDependenciesByName": {"calls": [{"id": relation}]},
        "getEndpointTopology": {
            "nodes": [
                {"id": caller, "name": CALLER, "isReal": True, "layers": ["UNDEFINED"]},
                {"id": called, "name": "GET:/reviews/0", "isReal": True, "layers": ["UNDEFINED"]},
            ],
            "calls": [{"id": relation}],
        },
    }


async def test_an_endpoint_that_nobody_is_known_to_call_is_empty(client: Client) -> None:
    for endpoint in (endpoint_id(service("ratings"), "GET:/ratings/0"), "no id"):
        answer = await client.answer(documents.SWCTL_ENDPOINT_DEPENDENCY, endpointId=endpoint, duration=LAST_HOUR)
        assert answer == {"result": EMPTY}


async def test_processes_are_not_drawn(client: Client) -> None:
    answer = await client.answer(
        documents.BOOSTER_PROCESS_TOPOLOGY, serviceInstanceId=instance("reviews"), duration=LAST_HOUR
    )
    assert answer == {"topology": EMPTY}
    by_name = """query ($instance: InstanceCondition!, $duration: Duration!) {
      getProcessTopologyByName(instance: $instance, duration: $duration) { nodes { id } calls { id } }
    }"""
    name = {"serviceName": "reviews.default", "instanceName": POD.format("reviews")}
    assert await client.answer(by_name, instance=name, duration=LAST_HOUR) == {"getProcessTopologyByName": EMPTY}


def relation(source: str, destination: str, side: str, component: int) -> Relation:
    ends = service_id(source), service_id(destination)
    return Relation(service_relation_id(*ends), *ends, side, component, 1)


def test_a_node_is_what_it_is_reached_by_also_where_it_only_calls() -> None:
    relations = [
        relation("a", "b", "server", 49),
        relation("a", "b", "server", 129),
        relation("b", "c", "client", 110),
        relation("b", "c", "client", 130),
    ]
    topology = service_topology(relations, lambda _: ("MESH",), frozenset({service_id("c")}))
    assert [(of.name, of.type, of.layers) for of in topology.nodes if hasattr(of, "layers")] == [
        ("b", "https", ("MESH",)),
        ("c", None, ("MESH",)),
    ]
    (one,) = topology.calls
    assert (list(one.source_components), list(one.target_components)) == (["tls", "tcp"], [])
    assert list(one.detect_points) == ["CLIENT"]


def test_a_conjectured_service_is_not_real() -> None:
    ends = service_id("a"), service_id("db", normal=False)
    topology = service_topology([Relation(service_relation_id(*ends), *ends, "client", 110, 1)], lambda _: (), None)
    assert [(of.name, of.is_real) for of in topology.nodes] == [("a", True), ("db", False)]
