"""Services, instances and endpoints, as clients ask for them: document in, answer out."""

import pytest

from backend.entities.ids import endpoint_id, instance_id, service_id
from backend.entities.layers import LAYERS
from backend.storage.interface import Endpoint, Flush, Instance, Service
from backend.storage.memory import MemoryStorage
from tests.backend.query.graphql import documents
from tests.backend.query.graphql.asking import NOW, Client, asking
from tests.backend.query.world import frame
from tests.backend.server.bookinfo import POD

MINUTE = int(NOW) // 60
LAST_HOUR = {"start": "2027-01-15 0701", "end": "2027-01-15 0800", "step": "MINUTE"}
BEFORE = {"start": "2027-01-13", "end": "2027-01-13", "step": "DAY"}


def expected_service(name: str) -> dict[str, object]:
    full = f"{name}.default"
    return {
        "id": service_id(full),
        "name": full,
        "group": "",
        "shortName": full,
        "layers": ["K8S_SERVICE"],
        "normal": True,
    }


SERVICES = [expected_service(name) for name in ("details", "productpage", "ratings", "reviews")]
DETAILS = service_id("details.default")
POD_OF_DETAILS = {
    "id": instance_id(DETAILS, POD.format("details")),
    "name": POD.format("details"),
    "language": "UNKNOWN",
    "instanceUUID": instance_id(DETAILS, POD.format("details")),
    "attributes": [],
}
ENDPOINT_OF_DETAILS = {"id": endpoint_id(DETAILS, "GET:/details/0"), "name": "GET:/details/0"}


async def test_swctl_lists_services_with_and_without_a_layer(client: Client) -> None:
    assert await client.answer(documents.SWCTL_ALL_SERVICES, duration=LAST_HOUR) == {"result": SERVICES}
    assert await client.answer(documents.SWCTL_SERVICES, layer="K8S_SERVICE") == {"result": SERVICES}
    assert await client.answer(documents.SWCTL_SERVICES, layer="MESH") == {"result": []}


async def test_services_of_a_span_are_those_that_were_seen_in_it(client: Client) -> None:
    assert await client.answer(documents.SWCTL_ALL_SERVICES, duration=BEFORE) == {"result": []}


async def test_the_web_client_lists_services_under_names_of_its_own(client: Client) -> None:
    answer = await client.answer(documents.BOOSTER_SERVICES, layer="K8S_SERVICE")
    assert answer["services"][0] == {
        "id": DETAILS,
        "value": "details.default",
        "label": "details.default",
        "group": "",
        "layers": ["K8S_SERVICE"],
        "normal": True,
        "shortName": "details.default",
    }
    assert [service["id"] for service in answer["services"]] == [service["id"] for service in SERVICES]


async def test_horizon_asks_for_several_layers_at_once(client: Client) -> None:
    answer = await client.answer(documents.HORIZON_LAYERS)
    assert answer == {"_0": [{"name": service["name"]} for service in SERVICES], "_1": []}


async def test_a_service_is_found_by_name_and_by_id_and_else_is_null(client: Client) -> None:
    found = await client.answer(documents.SWCTL_FIND_SERVICE, serviceName="details.default")
    assert found == {"result": expected_service("details")}
    assert await client.answer(documents.SWCTL_FIND_SERVICE, serviceName="nobody") == {"result": None}
    by_id = "query ($id: String!) { getService(serviceId: $id) { name } }"
    assert await client.answer(by_id, id=DETAILS) == {"getService": {"name": "details.default"}}
    assert await client.answer(by_id, id="no id") == {"getService": None}
    older = 'query { searchService(serviceCode: "details.default") { id } }'
    assert await client.answer(older) == {"searchService": {"id": DETAILS}}


async def test_the_older_search_finds_parts_of_names_in_any_case(client: Client) -> None:
    query = (
        "query ($duration: Duration!, $word: String!) { searchServices(duration: $duration, keyword: $word) { name } }"
    )
    answer = await client.answer(query, duration=LAST_HOUR, word="R")
    assert [service["name"] for service in answer["searchServices"]] == [
        "productpage.default",
        "ratings.default",
        "reviews.default",
    ]
    assert await client.answer(query, duration=LAST_HOUR, word="VIEW") == {
        "searchServices": [{"name": "reviews.default"}]
    }


async def test_instances_are_the_pods(client: Client) -> None:
    found = await client.answer(documents.SWCTL_INSTANCES, serviceId=DETAILS, duration=LAST_HOUR)
    assert found == {"result": [POD_OF_DETAILS]}
    assert await client.answer(documents.SWCTL_INSTANCES, serviceId=DETAILS, duration=BEFORE) == {"result": []}
    assert await client.answer(documents.SWCTL_INSTANCES, serviceId="x", duration=LAST_HOUR) == {"result": []}
    shown = await client.answer(documents.BOOSTER_INSTANCES, serviceId=DETAILS, duration=LAST_HOUR)
    assert shown["pods"][0]["label"] == POD.format("details")


async def test_an_instance_is_found_by_id(client: Client) -> None:
    found = await client.answer(documents.SWCTL_INSTANCE, instanceId=POD_OF_DETAILS["id"])
    assert found == {"result": POD_OF_DETAILS}
    for unknown in ("no id", instance_id(DETAILS, "nobody"), instance_id(service_id("nobody"), "nobody")):
        assert await client.answer(documents.SWCTL_INSTANCE, instanceId=unknown) == {"result": None}


@pytest.mark.parametrize(
    ("keyword", "duration", "found"),
    [
        ("", LAST_HOUR, [ENDPOINT_OF_DETAILS]),
        ("DETAILS", LAST_HOUR, [ENDPOINT_OF_DETAILS]),
        ("reviews", LAST_HOUR, []),
        ("", BEFORE, []),
        ("", None, [ENDPOINT_OF_DETAILS]),
    ],
)
async def test_endpoints_by_keyword_and_span(
    client: Client, keyword: str, duration: dict[str, str] | None, found: list[dict[str, str]]
) -> None:
    asked = {"keyword": keyword, "serviceId": DETAILS, "limit": 100}
    assert await client.answer(documents.SWCTL_ENDPOINTS, **asked, duration=duration) == {"result": found}


async def test_endpoints_without_a_span_are_those_of_all_times(client: Client) -> None:
    swctl = await client.answer(documents.SWCTL_ENDPOINTS_WITHOUT_DURATION, keyword="", serviceId=DETAILS, limit=1)
    assert swctl == {"result": [ENDPOINT_OF_DETAILS]}
    booster = await client.answer(documents.BOOSTER_ENDPOINTS, keyword="", serviceId=DETAILS)
    assert booster == {
        "pods": [{"id": ENDPOINT_OF_DETAILS["id"], "value": "GET:/details/0", "label": "GET:/details/0"}]
    }
    older = 'query ($id: ID!) { searchEndpoint(keyword: "0", serviceId: $id, limit: 5) { name } }'
    assert await client.answer(older, id=DETAILS) == {"searchEndpoint": [{"name": "GET:/details/0"}]}


async def test_an_endpoint_is_read_from_its_id(client: Client) -> None:
    answer = await client.answer(documents.BOOSTER_ENDPOINT, endpointId=ENDPOINT_OF_DETAILS["id"])
    assert answer["endpoint"] == {
        "id": ENDPOINT_OF_DETAILS["id"],
        "value": "GET:/details/0",
        "label": "GET:/details/0",
        "serviceId": DETAILS,
        "serviceName": "details.default",
    }
    assert await client.answer(documents.BOOSTER_ENDPOINT, endpointId="x") == {"endpoint": None}


async def test_operations_by_name_answer_as_those_by_id(client: Client) -> None:
    query = """query ($service: ServiceCondition!, $duration: Duration!) {
      listInstancesByName(duration: $duration, service: $service) { id }
      findEndpointByName(keyword: "", service: $service, limit: 10, duration: $duration) { id name }
    }"""
    answer = await client.answer(query, service={"serviceName": "details.default"}, duration=LAST_HOUR)
    assert answer == {
        "listInstancesByName": [{"id": POD_OF_DETAILS["id"]}],
        "findEndpointByName": [ENDPOINT_OF_DETAILS],
    }
    conjectured = {"serviceName": "details.default", "layer": "VIRTUAL_DATABASE"}
    assert await client.answer(query, service=conjectured, duration=LAST_HOUR) == {
        "listInstancesByName": [],
        "findEndpointByName": [],
    }


async def test_the_older_operations_of_instances_and_counts(client: Client) -> None:
    query = """query ($id: ID!, $duration: Duration!) {
      getServiceInstances(duration: $duration, serviceId: $id) { name }
      getGlobalBrief(duration: $duration) { numOfService numOfEndpoint numOfDatabase numOfCache numOfMQ }
      getAllDatabases(duration: $duration) { id }
      getAllBrowserServices(duration: $duration) { id }
    }"""
    assert await client.answer(query, id=DETAILS, duration=LAST_HOUR) == {
        "getServiceInstances": [{"name": POD.format("details")}],
        "getGlobalBrief": {"numOfService": 4, "numOfEndpoint": 4, "numOfDatabase": 0, "numOfCache": 0, "numOfMQ": 0},
        "getAllDatabases": [],
        "getAllBrowserServices": [],
    }


async def test_layers_are_all_but_the_undefined_one(client: Client) -> None:
    answer = await client.answer("query { layers: listLayers }")
    assert answer == {"layers": sorted(LAYERS - {"UNDEFINED"})}


async def test_groups_layers_and_what_instances_say_of_themselves() -> None:
    storage = MemoryStorage()
    service = Service(
        service_id("east::cart.shop"), "east::cart.shop", "K8S_SERVICE", MINUTE, MINUTE, more_layers=("MESH",)
    )
    odd = Service(service_id("::x", normal=False), "::x", "VIRTUAL_DATABASE", MINUTE, MINUTE, normal=False)
    instance = Instance(
        instance_id(service.id, "cart-1"), service.id, "cart-1", MINUTE, MINUTE, {"pod": "cart-1", "host": "n1"}
    )
    storage.write(Flush("one", frame([]), services=[service, odd], instances=[instance]))
    async with asking(storage) as client:
        mesh = await client.answer(documents.SWCTL_SERVICES, layer="MESH")
        assert mesh["result"][0] | {"id": ""} == {
            "id": "",
            "name": "east::cart.shop",
            "group": "east",
            "shortName": "cart.shop",
            "layers": ["K8S_SERVICE", "MESH"],
            "normal": True,
        }
        virtual = await client.answer(documents.SWCTL_SERVICES, layer="VIRTUAL_DATABASE")
        assert [(of["group"], of["shortName"], of["normal"]) for of in virtual["result"]] == [("", "::x", False)]
        grouped = """query ($duration: Duration!, $group: String) {
          getAllServices(duration: $duration, group: $group) { name }
        }"""
        of_group = await client.answer(grouped, duration=LAST_HOUR, group="east")
        assert of_group == {"getAllServices": [{"name": "east::cart.shop"}]}
        told = await client.answer(documents.SWCTL_INSTANCES, serviceId=service.id, duration=LAST_HOUR)
        assert told["result"][0]["attributes"] == [{"name": "host", "value": "n1"}, {"name": "pod", "value": "cart-1"}]


async def test_the_endpoint_called_last_comes_first_and_the_limit_cuts_the_rest() -> None:
    storage = MemoryStorage()
    called = [
        Endpoint(endpoint_id(DETAILS, name), DETAILS, name, MINUTE - 9, MINUTE - age)
        for name, age in (("GET:/b", 1), ("GET:/a", 1), ("GET:/old", 2), ("GET:/new", 0))
    ]
    storage.write(Flush("one", frame([]), endpoints=called))
    async with asking(storage) as client:
        answer = await client.answer(documents.SWCTL_ENDPOINTS_WITHOUT_DURATION, keyword="", serviceId=DETAILS, limit=3)
    assert [endpoint["name"] for endpoint in answer["result"]] == ["GET:/new", "GET:/a", "GET:/b"]


@pytest.mark.parametrize("limit", [-1, 10_001])
async def test_a_limit_without_sense_is_refused(client: Client, limit: int) -> None:
    (error,) = await client.errors(
        documents.SWCTL_ENDPOINTS_WITHOUT_DURATION, keyword="", serviceId=DETAILS, limit=limit
    )
    assert error["message"] == f"limit is {limit:,}: ask for at most 10,000 endpoints"
    assert error["path"] == ["result"]
    assert error["extensions"] == {"code": "BAD_REQUEST"}
