"""Who calls whom, as the JSON API tells it of the little world."""

import httpx

from backend.entities.ids import instance_id, instance_relation_id, service_relation_id
from tests.backend.query.api import OBSERVED, get, refused
from tests.backend.query.world import API, DB, FRONTEND, UNKNOWN


async def test_topology_has_the_edges_of_the_world(api: httpx.AsyncClient) -> None:
    answer = await get(api, "/api/topology")
    assert [(node["name"], node["observed"]) for node in answer["nodes"]] == [
        ("Unknown", False),
        ("api", True),
        ("db", True),
        ("frontend", True),
    ]
    calls = {(call["source"], call["target"]): call for call in answer["calls"]}
    assert calls.keys() == {(UNKNOWN, FRONTEND), (FRONTEND, API), (API, DB)}
    assert calls[FRONTEND, API] == {
        "id": service_relation_id(FRONTEND, API),
        "source": FRONTEND,
        "target": API,
        "detect_points": ["client", "server"],
        "protocols": ["http"],
        "connects": 300,
        "connects_failed": 0,
        "accepts": None,
        "closes": None,
        "client": {"writes": 3000, "reads": 3000, "bytes_sent": 614_400, "bytes_received": 3_072_000},
        "server": {"writes": 1500, "reads": 1500, "bytes_sent": 614_400, "bytes_received": 3_072_000},
        "rates": {
            "writes_per_minute": 3000 / OBSERVED,
            "reads_per_minute": 3000 / OBSERVED,
            "bytes_sent_per_second": 614_400 / OBSERVED / 60,
            "bytes_received_per_second": 3_072_000 / OBSERVED / 60,
            "connects_per_minute": 300 / OBSERVED,
        },
    }


async def test_a_call_that_only_the_server_reports_is_measured_there(api: httpx.AsyncClient) -> None:
    calls = (await get(api, "/api/topology"))["calls"]
    (call,) = (call for call in calls if call["source"] == UNKNOWN)
    assert call["protocols"] == ["https"]
    assert call["detect_points"] == ["server"]
    assert set(call["client"].values()) == {None}
    assert call["rates"]["bytes_sent_per_second"] == 60_000 / OBSERVED / 60
    assert call["rates"]["bytes_received_per_second"] == 1_200_000 / OBSERVED / 60


async def test_calls_between_instances_in_both_directions(api: httpx.AsyncClient) -> None:
    frontend, api_1, api_2 = (
        instance_id(service, name) for service, name in ((FRONTEND, "frontend-1"), (API, "api-1"), (API, "api-2"))
    )
    expected = {instance_relation_id(frontend, api_1), instance_relation_id(frontend, api_2)}
    for source, target in ((FRONTEND, API), (API, FRONTEND)):
        answer = await get(api, "/api/instance-topology", source=source, target=target)
        assert {call["id"] for call in answer["calls"]} == expected
        assert [node["name"] for node in answer["nodes"]] == ["api-1", "api-2", "frontend-1"]
        assert {call["protocols"] == [] for call in answer["calls"]} == {True}


async def test_instance_topology_refuses_what_is_no_id(api: httpx.AsyncClient) -> None:
    await refused(api, "/api/instance-topology", 400, source="frontend", target=API)
    failure = await refused(api, "/api/instance-topology", 400, source=API)
    assert "'target'" in failure["error"]
