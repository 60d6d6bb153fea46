"""The HTTP API over stored metrics, as Grafana asks it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from backend.query.promql import routes
from backend.query.promql.routes import promql_routes
from backend.query.promql.telemetry import Telemetry
from backend.storage.interface import Storage
from backend.storage.memory import MemoryStorage
from tests.backend.query import world
from tests.backend.query.conftest import DEFINITIONS, empty, storage
from tests.backend.query.graphql.asking import Defective, Failing, Slow

__all__ = ["empty", "storage"]  # fixtures

NOW = world.NOW
LAST = (world.NOW_MINUTE - 1) * 60
"""The last minute that is over."""


Body = Any
"""JSON, which a test looks into."""


class Client:
    def __init__(self, storage: Storage, clock: Callable[[], float] = lambda: NOW) -> None:
        self.registry = CollectorRegistry()
        application = Starlette(
            routes=promql_routes(storage, DEFINITIONS, telemetry=Telemetry(self.registry), clock=clock)
        )
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test/api/v1/")

    async def get(self, path: str, **parameters: object) -> Body:
        response = await self.http.get(path, params=cast("dict[str, str]", parameters))
        assert response.status_code == 200, response.text
        body = response.json()
        assert body.keys() == {"status", "data"}
        assert body["status"] == "success"
        return body["data"]

    async def refused(self, path: str, **parameters: object) -> tuple[int, str, str]:
        response = await self.http.get(path, params=cast("dict[str, str]", parameters))
        body = response.json()
        assert body["status"] == "error"
        return response.status_code, body["errorType"], body["error"]

    async def values(self, text: str, label: str = "service", **parameters: object) -> dict[str, str]:
        data = await self.get("query", query=text, **parameters)
        assert data["resultType"] == "vector"
        return {series["metric"].get(label, ""): series["value"][1] for series in data["result"]}

    def counted(self, cause: str) -> float:
        return self.registry.get_sample_value("pyrover_promql_refused_total", {"cause": cause}) or 0.0


@pytest.fixture
async def client(storage: Storage) -> AsyncIterator[Client]:
    asking = Client(storage)
    async with asking.http:
        yield asking


@pytest.fixture
async def world_in_memory() -> AsyncIterator[Client]:
    kept = MemoryStorage()
    world.fill(kept)
    asking = Client(kept)
    async with asking.http:
        yield asking


async def test_metrics_of_services(client: Client) -> None:
    data = await client.get("query", query="kubernetes_service_read_cpm")
    assert data == {
        "resultType": "vector",
        "result": [
            {
                "metric": {"__name__": "kubernetes_service_read_cpm", "layer": "K8S_SERVICE", "service": service},
                "value": [NOW, value],
            }
            for service, value in (("api", "300"), ("db", "100"), ("frontend", "600"))
        ],
    }


async def test_every_scope_has_upstreams_labels(client: Client) -> None:
    labels = {
        "kubernetes_service_instance_read_cpm": {"layer": "K8S_SERVICE", "service": "db", "service_instance": "db-1"},
        "kubernetes_service_endpoint_call_cpm": {"layer": "K8S_SERVICE", "service": "frontend", "endpoint": "GET:/"},
        "kubernetes_service_relation_client_read_cpm": {
            "layer": "K8S_SERVICE",
            "service": "api",
            "dest_layer": "K8S_SERVICE",
            "dest_service": "db",
        },
    }
    for name, expected in labels.items():
        data = await client.get("query", query=name)
        assert {"__name__": name, **expected} in [series["metric"] for series in data["result"]]


async def test_the_far_end_of_a_relation_that_is_no_service_has_no_layer(client: Client) -> None:
    (found,) = (await client.get("query", query='kubernetes_service_relation_server_read_cpm{service="Unknown"}'))[
        "result"
    ]
    assert found["metric"] == {
        "__name__": "kubernetes_service_relation_server_read_cpm",
        "service": "Unknown",
        "dest_service": "frontend",
        "dest_layer": "K8S_SERVICE",
    }
    assert found["value"][1] == "30"


EXPRESSIONS: list[tuple[str, dict[str, str]]] = [
    ('kubernetes_service_read_cpm{service="api"}', {"api": "300"}),
    ('kubernetes_service_read_cpm{service=~"a.*|db"}', {"api": "300", "db": "100"}),
    ('kubernetes_service_read_cpm{service!="api",service!~"d."}', {"frontend": "600"}),
    ('kubernetes_service_read_cpm{layer="GENERAL"}', {}),
    ("kubernetes_service_read_cpm{dest_service=''}", {"api": "300", "db": "100", "frontend": "600"}),
    ('{__name__=~"kubernetes_service_(read|write)_cpm",service="db"} < 60', {"db": "50"}),
    ("no_such_metric", {}),
    ('kubernetes_service_relation_client_read_cpm{service="api",dest_service="db"}', {"api": "50"}),
    ("sum by (service) (kubernetes_service_endpoint_call_cpm)", {"api": "240", "frontend": "60"}),
    ('kubernetes_service_endpoint_call_cpm{service="api",endpoint="GET:/orders"}', {"api": "200"}),
    ('kubernetes_service_instance_read_cpm{service="api",service_instance="api-1"}', {"api": "300"}),
    ("sum(kubernetes_service_read_cpm)", {"": "1000"}),
    ("topk(1, kubernetes_service_read_cpm)", {"frontend": "600"}),
    ("kubernetes_service_write_cpm / kubernetes_service_read_cpm", {"api": "1", "db": "0.5", "frontend": "2"}),
    ('sum_over_time(kubernetes_service_read_cpm{service="db"}[5m])', {"db": "400"}),
    ('count_over_time(kubernetes_service_read_cpm{service="db"}[1h])', {"db": "9"}),
    ("kubernetes_service_read_cpm offset 20m", {}),
    ('service_traffic{layer="K8S_SERVICE"}', {"api": "1", "db": "1", "frontend": "1"}),
    ('count(instance_traffic{service="api"})', {"": "2"}),
    ("count by (service) (endpoint_traffic)", {"api": "2", "frontend": "1"}),
]


async def test_expressions_about_stored_metrics(client: Client) -> None:
    for text, expected in EXPRESSIONS:
        assert await client.values(text) == expected, text


async def test_values_equal_those_of_the_json_api(client: Client) -> None:
    # 2,500,000 ns each for api, and so for its mean.
    assert await client.values("kubernetes_service_read_time") == {
        "api": "2500000",
        "db": "400000",
        "frontend": "1000000",
    }


async def test_a_range_has_a_value_at_each_step_from_the_last_sample(client: Client) -> None:
    data = await client.get(
        "query_range", query='kubernetes_service_read_cpm{service="db"}', start=LAST - 120, end=NOW + 600, step="1m"
    )
    (series,) = data["result"]
    # The sample of the last minute that is over stands for five minutes.
    assert series["values"] == [[LAST - 120 + step * 60, "100"] for step in range(7)]


async def test_a_minute_is_shown_once_it_is_over_and_settled(storage: Storage) -> None:
    seconds = (world.NOW_MINUTE + 1) * 60 + 15.0
    text = 'timestamp(kubernetes_service_read_cpm{service="db"})'
    for moment, minute in ((seconds - 0.001, world.NOW_MINUTE - 1), (seconds, world.NOW_MINUTE)):
        now = Client(storage, lambda moment=moment: moment)
        async with now.http:
            assert await now.values(text) == {"db": str(minute * 60)}


async def test_steps_of_hours_read_hours(storage: Storage) -> None:
    later = Client(storage, lambda: NOW + 7_200)
    hour = world.NOW_MINUTE // 60 * 3_600
    async with later.http:
        data = await later.get(
            "query_range", query='kubernetes_service_read_cpm{service="db"}', start=hour, end=hour, step="1h"
        )
    minutes = world.NOW_MINUTE - hour // 60 + 1
    (series,) = data["result"]
    assert series["values"] == [[hour, str(100 * minutes // 60)]]


async def test_a_window_alone_has_its_samples(client: Client) -> None:
    data = await client.get("query", query='kubernetes_service_read_cpm{service="db"}[3m]')
    assert data["resultType"] == "matrix"
    assert data["result"][0]["values"] == [[LAST - 60, "100"], [LAST, "100"]]


async def test_numbers_and_texts(client: Client) -> None:
    assert await client.get("query", query="1 + 1", time="2027-01-15T08:00:30Z") == {
        "resultType": "scalar",
        "result": [NOW, "2"],
    }
    assert (await client.get("query", query="1 / 0"))["result"][1] == "+Inf"
    assert (await client.get("query", query="0 / 0"))["result"][1] == "NaN"
    assert (await client.get("query", query="-1.5e300"))["result"][1] == "-1.5e+300"
    assert (await client.get("query", query='"text"'))["result"] == [NOW, "text"]


async def test_percentiles_have_a_label(client: Client) -> None:
    assert "p" in await client.get("labels")


async def test_labels_and_their_values(client: Client) -> None:
    names = await client.get("labels")
    assert {"__name__", "layer", "service", "service_instance", "endpoint", "dest_service", "dest_endpoint"} <= set(
        names
    )
    assert await client.get("labels", **{"match[]": "kubernetes_service_read_cpm"}) == ["__name__", "layer", "service"]
    assert await client.get("label/service/values") == ["api", "db", "frontend"]
    assert await client.get("label/dest_service/values") == ["api", "db", "frontend"]
    assert await client.get("label/service/values", limit=1) == ["api"]
    assert await client.get("label/nothing/values") == []
    instances = {"match[]": 'instance_traffic{service="api"}'}
    assert await client.get("label/service_instance/values", **instances) == ["api-1", "api-2"]
    assert await client.get("label/endpoint/values", **{"match[]": "endpoint_traffic"}) == [
        "GET:/",
        "GET:/orders",
        "POST:/orders",
    ]
    known = await client.get("label/__name__/values")
    assert {"service_traffic", "kubernetes_service_read_cpm"} <= set(known)
    assert len(known) == len(DEFINITIONS) + 3


async def test_series_are_those_of_the_time_asked_about(client: Client) -> None:
    selectors = {"match[]": ['service_traffic{service="db"}', 'kubernetes_service_read_cpm{service=~"a.*"}']}
    expected = [
        {"__name__": "kubernetes_service_read_cpm", "layer": "K8S_SERVICE", "service": "api"},
        {"__name__": "service_traffic", "layer": "K8S_SERVICE", "service": "db"},
    ]
    assert await client.get("series", **selectors) == expected
    # What began in the minute that is not over is a series already.
    assert await client.get("series", **selectors, start=NOW - 20, end=NOW) == expected
    assert await client.get("series", **selectors, start=NOW - 86_400, end=NOW - 43_200) == []
    for days in (2, 30):
        assert await client.get("series", **selectors, start=NOW - days * 86_400, end=NOW) == expected


async def test_what_metrics_are(client: Client) -> None:
    assert await client.get("metadata", metric="kubernetes_service_read_cpm") == {
        "kubernetes_service_read_cpm": [
            {"type": "gauge", "help": "cpm of K8SService, per minute", "unit": "per minute"}
        ]
    }
    assert len(await client.get("metadata")) == len(DEFINITIONS) + 3
    assert len(await client.get("metadata", limit=2)) == 2
    assert (await client.get("status/buildinfo"))["version"] == "2.45.0"
    assert await client.get("format_query", query="sum(x)by(a)") == "sum by (a) (x)"


async def test_questions_may_be_forms(client: Client) -> None:
    answered = await client.http.post("query?query=1", data={"query": "2", "time": NOW})
    assert answered.json()["data"]["result"] == [NOW, "2"]
    match = await client.http.post("series", data={"match[]": ["service_traffic"]})
    assert len(match.json()["data"]) == 3


@pytest.mark.parametrize(
    ("path", "parameters", "status", "kind", "message"),
    [
        ("query", {}, 400, "bad_data", "the parameter query is missing"),
        ("query", {"query": "x("}, 400, "bad_data", "cannot be read"),
        ("query", {"query": "1", "time": "yesterday"}, 400, "bad_data", "is no time"),
        ("query", {"query": "1", "time": "1e300"}, 400, "bad_data", "is no time"),
        ("query", {"query": "1", "timeout": "soon"}, 400, "bad_data", "is not a duration"),
        ("query", {"query": 'x{top_n="3"}'}, 400, "bad_data", "write topk"),
        ("query", {"query": "count_values('v', x)"}, 400, "bad_data", "there is no aggregation count_values"),
        ("query", {"query": "histogram_quantile(1, x)"}, 400, "bad_data", "there is no function histogram_quantile"),
        ("query", {"query": 'x{a="b" or c="d"}'}, 400, "bad_data", "'or' between label matchers"),
        ("query", {"query": "x + fill(0) y"}, 400, "bad_data", "fill"),
        ("query", {"query": "label_replace(x, '1', '', 'a', '')"}, 400, "bad_data", "is not a name of a label"),
        ("query", {"query": "topk(0/0, vector(1))"}, 422, "execution", "is not a number"),
        (
            "query",
            {"query": "kubernetes_service_read_cpm + on () kubernetes_service_read_cpm"},
            *(422, "execution", "several series on the right side"),
        ),
        ("query_range", {"query": "1", "start": "1", "end": "2"}, 400, "bad_data", "the parameter step is missing"),
        ("query_range", {"query": "1", "start": "1", "step": "2"}, 400, "bad_data", "the parameter end is missing"),
        ("query_range", {"query": "1", "start": "3", "end": "2", "step": "1"}, 400, "bad_data", "before the start"),
        ("query_range", {"query": "1", "start": "1", "end": "2", "step": "0"}, 400, "bad_data", "step is not longer"),
        ("query_range", {"query": "1", "start": "0", "end": "11000", "step": "1"}, 400, "bad_data", "11,001 times"),
        (
            "query_range",
            {"query": "x[5m]", "start": "0", "end": "1", "step": "1"},
            400,
            "bad_data",
            "a window of samples",
        ),
        ("query", {"query": "rate(x[5m:0s])"}, 400, "bad_data", ""),
        ("query", {"query": "rate(x[30y])"}, 400, "bad_data", "at most 400 days"),
        ("query", {"query": "sum_over_time(vector(1)[300d:1s])"}, 422, "execution", "a subquery has 25,920,000 steps"),
        ("series", {}, 400, "bad_data", "the parameter match[] is missing"),
        ("series", {"match[]": "sum(x)"}, 400, "bad_data", "is not a selector"),
        ("series", {"match[]": ["x"] * 21}, 400, "bad_data", "21 selectors, more than 20"),
        ("labels", {"limit": "many"}, 400, "bad_data", "is not a whole number"),
        ("targets/metadata", {}, 404, "not_found", "there is no /api/v1/targets/metadata here"),
    ],
)
async def test_refusals_say_why(  # noqa: PLR0917 - what a row of the table above has
    world_in_memory: Client, path: str, parameters: dict[str, Any], status: int, kind: str, message: str
) -> None:
    got_status, got_kind, error = await world_in_memory.refused(path, **parameters)
    assert (got_status, got_kind) == (status, kind), error
    assert message in error
    assert world_in_memory.counted(kind) == (0 if kind == "not_found" else 1)


async def test_bodies_have_bounds(world_in_memory: Client) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    for content, message in (
        (b"query=1&x=" + b"y" * 1_048_567, "larger than 1,048,576 bytes"),
        (b"query=\xff", "not ASCII"),
        (b"query=%ff", "cannot be read"),
        (b"&".join([b"query=1"] * 1_001), "cannot be read"),
    ):
        response = await world_in_memory.http.post("query", content=content, headers=form)
        assert response.status_code == 400
        assert message in response.json()["error"]
    assert (
        await world_in_memory.http.post("query", content=b"query=1&x=" + b"y" * 1_048_566, headers=form)
    ).status_code == 200
    plain = await world_in_memory.http.post("query", json={"query": "1"})
    assert "the content type is 'application/json'" in plain.json()["error"]
    assert "use GET or POST" in (await world_in_memory.http.put("query")).json()["error"]
    assert world_in_memory.counted("bad_data") == 6


async def test_a_store_that_does_not_answer_is_told_from_a_defect() -> None:
    for kept, expected in ((Failing(), (503, "unavailable")), (Defective(), (500, "internal"))):
        client = Client(kept)
        async with client.http:
            status, kind, error = await client.refused("query", query="service_traffic")
        assert (status, kind) == expected
        assert "secret" not in error
        assert client.counted(kind) == 1


async def test_who_comes_when_many_wait_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "RUNNING", 1)
    monkeypatch.setattr(routes, "WAITING", 1)
    slow = Slow()
    client = Client(slow)
    question = {"query": 'count(kubernetes_service_instance_read_cpm{service="a"}) or vector(0)'}
    async with client.http:
        first = asyncio.create_task(client.http.get("query", params=question))
        await asyncio.to_thread(slow.asked.acquire)
        others = [asyncio.create_task(client.http.get("query", params=question)) for _ in range(2)]
        (refused,), (waiting,) = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
        assert json.loads(refused.result().content)["error"] == "1 questions wait already: try again in a moment"
        assert refused.result().headers["retry-after"] == "1"
        assert client.counted("unavailable") == 1
        slow.let.set()
        for answered in (first, waiting):
            assert (await answered).json()["data"]["result"][0]["value"][1] == "0"


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("query_exemplars", []),
        ("rules", {"groups": []}),
        ("alerts", {"alerts": []}),
        ("targets", {"activeTargets": [], "droppedTargets": []}),
        ("alertmanagers", {"activeAlertmanagers": [], "droppedAlertmanagers": []}),
    ],
)
async def test_what_a_prometheus_server_has_and_this_has_not_is_empty(
    world_in_memory: Client, path: str, data: object
) -> None:
    """In the form in which Grafana reads it, whatever it asks for."""
    assert (
        await world_in_memory.get(path, query="kubernetes_service_read_cpm", start=LAST, end=NOW, type="alert") == data
    )
