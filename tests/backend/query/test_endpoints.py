"""Endpoints of the little world: every number is worked out by hand from its few constants."""

from urllib.parse import quote

import httpx
import polars as pl
import pytest

from backend.entities.ids import endpoint_id
from backend.query import endpoints as answers
from backend.storage.interface import Endpoint, Flush, Storage
from tests.backend.query import world
from tests.backend.query.api import OBSERVED, get, refused
from tests.backend.query.conftest import client
from tests.backend.query.world import API, DB, FRONTEND, NOW_MINUTE


def path(service: str) -> str:
    return f"/api/services/{quote(service, safe='')}/endpoints"


async def test_endpoints_of_a_service_with_exact_numbers(api: httpx.AsyncClient) -> None:
    answer = await get(api, path(API))
    assert answer["span"]["observed_minutes"] == OBSERVED
    assert (answer["service"], answer["known"]) == ("api", 2)
    most, least = answer["endpoints"]
    assert most == {
        "id": endpoint_id(API, "GET:/orders"),
        "name": "GET:/orders",
        "service": "api",
        "service_id": API,
        "first_seen": "2027-01-15T07:51:00Z",
        "last_seen": "2027-01-15T08:00:00Z",
        "totals": {
            "calls": 2_000,
            "failed": 10,
            "status_1xx": 0,
            "status_2xx": 1_900,
            "status_3xx": 0,
            "status_4xx": 80,
            "status_5xx": 10,
        },
        "means": {
            "time": 12_500_000,
            "request_header_bytes": 300,
            "request_body_bytes": 0,
            "response_header_bytes": 150,
            "response_body_bytes": 2_048,
        },
        "rates": {"calls_per_minute": 2_000 / OBSERVED, "success": 0.995},
    }
    assert (least["name"], least["totals"]["calls"], least["means"]["time"]) == ("POST:/orders", 400, 400_000)


async def test_a_span_counts_its_minutes_only(api: httpx.AsyncClient) -> None:
    answer = await get(api, path(API), start="2027-01-15T07:52:00Z", end="2027-01-15T07:54:00Z")
    assert [endpoint["totals"]["calls"] for endpoint in answer["endpoints"]] == [600, 120]
    assert [endpoint["rates"]["calls_per_minute"] for endpoint in answer["endpoints"]] == [200, 40]
    answer = await get(api, path(API), start="2027-01-15T06:00:00Z", end="2027-01-15T07:50:00Z")
    assert (answer["known"], answer["endpoints"]) == (0, [])


async def test_endpoints_of_all_services_are_in_order_of_their_calls(api: httpx.AsyncClient) -> None:
    answer = await get(api, "/api/endpoints")
    assert (answer["service"], answer["known"]) == (None, 3)
    assert [(endpoint["service"], endpoint["name"]) for endpoint in answer["endpoints"]] == [
        ("api", "GET:/orders"),
        ("frontend", "GET:/"),
        ("api", "POST:/orders"),
    ]


async def test_a_service_without_endpoints_has_none_and_one_that_is_not_there_is_refused(
    api: httpx.AsyncClient,
) -> None:
    assert (await get(api, path(DB)))["endpoints"] == []
    failure = await refused(api, path("nothing"), 404)
    assert "'nothing'" in failure["error"]


async def test_an_endpoint_without_metrics_has_no_data_and_not_zero(empty: Storage) -> None:
    world.fill(empty)
    quiet = Endpoint(endpoint_id(DB, "GET:/"), DB, "GET:/", NOW_MINUTE, NOW_MINUTE)
    empty.write(Flush("quiet", world.frame([]), endpoints=[quiet]))
    async with client(empty) as api:
        (endpoint,) = (await get(api, path(DB)))["endpoints"]
    for part in ("totals", "means", "rates"):
        assert {*endpoint[part].values()} == {None}


async def test_an_answer_is_bounded_and_says_so(empty: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAXIMUM_ENDPOINTS", 2)
    world.fill(empty)
    async with client(empty) as api:
        answer = await get(api, "/api/endpoints")
    assert answer["known"] == 3
    assert [endpoint["name"] for endpoint in answer["endpoints"]] == ["GET:/orders", "GET:/"]


async def test_metrics_of_an_endpoint_have_their_units(api: httpx.AsyncClient) -> None:
    names = [f"kubernetes_service_endpoint_{suffix}" for suffix in ("call_cpm", "call_time", "call_successful_rate")]
    entity = endpoint_id(FRONTEND, "GET:/")
    answer = await get(api, "/api/metrics", name=names, entity=entity, start="-1m")
    assert [(series["unit"], series["points"][0]["value"], series["label"]) for series in answer["series"]] == [
        ("per minute", 60, None),
        ("ms", 85, None),
        ("1/10000", 10_000, None),
    ]


async def test_percentiles_are_a_series_for_each_rank(empty: Storage) -> None:
    metric = "kubernetes_service_percentile"
    rows = [(metric, API, NOW_MINUTE, calls, 0) for calls in (98, 1, 1)]
    empty.write(Flush("one", world.frame(rows).with_columns(label=pl.Series(["10", "40", "63"]))))
    async with client(empty) as api:
        answer = await get(api, "/api/metrics", name=metric, entity=API, start="-2m")
        names = (await get(api, "/api/metrics/names"))["metrics"]
    assert [
        (series["label"], series["unit"], [point["value"] for point in series["points"]]) for series in answer["series"]
    ] == [
        ("p50", "ms", [None, 10]),
        ("p75", "ms", [None, 10]),
        ("p90", "ms", [None, 10]),
        ("p95", "ms", [None, 10]),
        ("p99", "ms", [None, 40]),
    ]
    assert {"name": metric, "scope": "K8SService", "function": "percentile", "unit": "ms"} in names
