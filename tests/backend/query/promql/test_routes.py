"""The HTTP API over stored metrics, as Grafana asks it."""

from functools import partial

import pytest

from backend.storage.interface import Storage
from tests.backend.query import world
from tests.backend.query.conftest import DEFINITIONS
from tests.backend.query.promql.client import LAST, NOW, Client


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
        now = Client(storage, partial(float, moment))
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
