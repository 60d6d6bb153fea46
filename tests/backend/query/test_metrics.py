"""Metrics over time, as the JSON API tells them of the little world."""

import httpx
import pytest

from backend.entities.ids import instance_id, service_relation_id
from tests.backend.query.api import get, refused
from tests.backend.query.world import API, DB, FRONTEND


async def test_minutes_without_data_are_null(api: httpx.AsyncClient) -> None:
    answer = await get(
        api, "/api/metrics", name="kubernetes_service_read_cpm", entity=API, start="2027-01-15T07:49:00Z"
    )
    assert answer["step"] == "minute"
    assert answer["incomplete_from"] == "2027-01-15T08:00:00Z"
    (series,) = answer["series"]
    assert (series["entity"], series["unit"]) == (API, "per minute")
    assert series["points"][:3] == [
        {"time": "2027-01-15T07:49:00Z", "value": None},
        {"time": "2027-01-15T07:50:00Z", "value": None},
        {"time": "2027-01-15T07:51:00Z", "value": 300},
    ]
    assert [point["value"] for point in series["points"]] == [None, None, *[300] * 10]


@pytest.mark.parametrize(
    ("name", "values", "unit"),
    [
        ("kubernetes_service_read_cpm", [9 * 600 // 60, 600 // 60], "per minute"),
        ("kubernetes_service_read_package_size", [9 * 1_228_800, 1_228_800], "bytes"),
        ("kubernetes_service_read_time", [1_000_000, 1_000_000], "ns"),
    ],
)
async def test_hours_are_read_as_each_function_says(
    api: httpx.AsyncClient, name: str, values: list[int], unit: str
) -> None:
    answer = await get(api, "/api/metrics", name=name, entity=FRONTEND, step="hour", start="-1h")
    (series,) = answer["series"]
    assert series["unit"] == unit
    assert series["points"] == [
        {"time": "2027-01-15T07:00:00Z", "value": values[0]},
        {"time": "2027-01-15T08:00:00Z", "value": values[1]},
    ]


async def test_several_metrics_at_once(api: httpx.AsyncClient) -> None:
    names = ["kubernetes_service_write_cpm", "kubernetes_service_read_cpm"]
    answer = await get(api, "/api/metrics", name=names, entity=DB, start="now")
    assert [(series["name"], series["points"][0]["value"]) for series in answer["series"]] == [
        (names[0], 50),
        (names[1], 100),
    ]


async def test_metrics_of_relations_and_instances(api: httpx.AsyncClient) -> None:
    relation = await get(
        api,
        "/api/metrics",
        name="kubernetes_service_relation_client_write_package_size",
        entity=service_relation_id(API, DB),
        start="now",
    )
    assert relation["series"][0]["points"] == [{"time": "2027-01-15T08:00:00Z", "value": 6000}]
    instance = await get(
        api,
        "/api/metrics",
        name="kubernetes_service_instance_write_cpm",
        entity=instance_id(API, "api-1"),
        start="now",
    )
    assert instance["series"][0]["points"][0]["value"] == 300


async def test_refused_metrics(api: httpx.AsyncClient) -> None:
    name = "kubernetes_service_read_cpm"
    unknown = await refused(api, "/api/metrics", 404, name="kubernetes_service_reed_cpm", entity=API)
    assert name in unknown["hint"]
    for wrong in (service_relation_id(API, DB), "api", "", instance_id(API, "api-1")):
        await refused(api, "/api/metrics", 400, name=name, entity=wrong)
    await refused(api, "/api/metrics", 400, entity=API)
    await refused(api, "/api/metrics", 400, name=[f"{name}{number}" for number in range(21)], entity=API)
    await refused(api, "/api/metrics", 400, name=name, entity=[API, DB])


async def test_five_hundred_buckets_are_answered(api: httpx.AsyncClient) -> None:
    name = "kubernetes_service_read_cpm"
    exact = await get(api, "/api/metrics", name=name, entity=API, step="minute", start="-500m")
    assert len(exact["series"][0]["points"]) == 500
    coarser = await get(api, "/api/metrics", name=name, entity=API, start="-501m")
    assert coarser["step"] == "hour"


async def test_names_are_those_of_the_definitions(api: httpx.AsyncClient) -> None:
    metrics = (await get(api, "/api/metrics/names"))["metrics"]
    names = [metric["name"] for metric in metrics]
    assert names == sorted(names)
    by_name = {metric["name"]: metric for metric in metrics}
    assert by_name["kubernetes_service_relation_server_write_package_size"] == {
        "name": "kubernetes_service_relation_server_write_package_size",
        "scope": "K8SServiceRelation",
        "function": "sum",
        "unit": "bytes",
    }
    assert by_name["kubernetes_service_write_package_cpm"]["unit"] == "per minute"
    assert by_name["kubernetes_service_connect_time"]["unit"] == "ns"
