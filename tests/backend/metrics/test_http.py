"""Known exchanges, from the bytes of their messages to exact metrics."""

from typing import Any

import pytest

from backend.entities import ids
from backend.entities.endpoints import ABANDONED, EndpointNames
from backend.entities.resolution import Resolver
from backend.metrics.percentiles import percentiles
from backend.metrics.reading import rules_of, value_of
from backend.storage.interface import Endpoint, Relation
from tests.backend.metrics.exchanges import (
    BOOT,
    METRICS,
    MILLISECOND,
    Analysis,
    connection,
    exchange,
    messages,
    program,
    sums,
)

API, WEB, UNKNOWN = (ids.service_id(name) for name in ("api", "web", "Unknown"))
API_1, WEB_1 = ids.instance_id(API, "api-1"), ids.instance_id(WEB, "web-1")
ORDERS, TEAPOT = ids.endpoint_id(API, "GET:/orders"), ids.endpoint_id(API, "GET:/teapot")
CALL = f"{WEB}-{API}"
INSTANCE_CALL = f"{WEB_1}-{API_1}"
MINUTE = (BOOT + 60) // 60

FIVE = (
    exchange("/orders?id=7", 200, 100, sizes=(100, 10, 200, 1_000)),
    exchange("/orders", 201, 300.9, sizes=(100, 30, 200, 0)),
    exchange("/orders#top", 503, 2_500, sizes=(101, 0, 0, 0)),
    exchange("/teapot", 404, 700),
    exchange("/teapot", 0, 5),
)


def test_what_a_server_reports_in_all_its_metrics() -> None:
    analysed = Analysis().take(messages(connection("server"), *FIVE))
    assert not analysed.dropped
    found = {
        (metric, entity): value
        for metric, label, entity, minute, _, value in value_of(
            rules_of(METRICS.definitions), analysed.flush.rows
        ).iter_rows()
        if minute == MINUTE and not label
    }
    common = {
        "http_call_cpm": 5,
        "http_call_time": 721,  # 3,605.9 ms of five
        "http_avg_req_header_size": 60,  # 301 of five
        "http_avg_req_body_size": 8,
        "http_avg_resp_header_size": 80,
        "http_avg_resp_body_size": 200,
        # Satisfied are 100 and 300.9 ms, tolerated is 700 ms; the others failed.
        "apdex": 5_000,
        "http_status_2xx_cpm": 2,
        "http_status_4xx_cpm": 1,
        "http_status_5xx_cpm": 1,
    }
    whole = {**common, "http_call_successful_rate": 6_000}
    sided = {f"server_{name}": value for name, value in common.items()}
    orders = {
        "call_cpm": 3,
        "call_successful_rate": 6_666,
        "call_time": 966,  # 2,900.9 ms of three
        "http_call_cpm": 3,
        "http_call_successful_rate": 6_666,
        "http_call_time": 966,
        "http_avg_req_header_size": 100,
        "http_avg_req_body_size": 13,
        "http_avg_resp_header_size": 133,
        "http_avg_resp_body_size": 333,
        "http_status_2xx_cpm": 2,
        "http_status_5xx_cpm": 1,
    }
    teapot = {
        "call_cpm": 2,
        "call_successful_rate": 5_000,
        "call_time": 352,  # 705 ms of two
        "http_call_cpm": 2,
        "http_call_successful_rate": 5_000,
        "http_call_time": 352,
        **dict.fromkeys((f"http_avg_{way}_{part}_size" for way in ("req", "resp") for part in ("header", "body")), 0),
        "http_status_4xx_cpm": 1,
    }
    assert found == {
        **{(f"kubernetes_service_{name}", API): value for name, value in whole.items()},
        **{(f"kubernetes_service_instance_{name}", API_1): value for name, value in whole.items()},
        **{(f"kubernetes_service_relation_{name}", CALL): value for name, value in sided.items()},
        ("kubernetes_service_relation_server_http_success_cpm", CALL): 3,
        **{(f"kubernetes_service_instance_relation_{name}", INSTANCE_CALL): value for name, value in sided.items()},
        **{(f"kubernetes_service_endpoint_{name}", ORDERS): value for name, value in orders.items()},
        **{(f"kubernetes_service_endpoint_{name}", TEAPOT): value for name, value in teapot.items()},
    }
    by_bucket = percentiles(analysed.flush.rows, ["kubernetes_service_percentile"])
    # Of 5, 100, 300, 700 and 2,500 ms, each the smallest of its bucket.
    assert by_bucket.select("rank", "value").rows() == [(50, 296), (75, 688), (90, 2_496), (95, 2_496), (99, 2_496)]


def test_what_a_client_reports_is_in_relations_alone() -> None:
    analysed = Analysis().take(messages(connection("client", "web", "api"), *FIVE))
    found = sums(analysed)
    assert {entity for _, entity in found} == {CALL, INSTANCE_CALL}
    prefix = "kubernetes_service_relation_client_http_"
    assert found[f"{prefix}call_cpm", CALL] == (5, 0)
    assert found[f"{prefix}success_cpm", CALL] == (3, 0)
    assert found[f"{prefix}call_duration", CALL] == (int(3_605.9 * MILLISECOND), 0)
    # Upstream adds these up, against their name.
    instances = "kubernetes_service_instance_relation_client_http_avg_req_header_size"
    assert found[instances, INSTANCE_CALL] == (301, 5)
    assert analysed.flush.endpoints == []
    assert [service.id for service in analysed.flush.services] == [WEB]


def test_endpoints_are_told_with_their_service_and_their_minutes() -> None:
    logs = (exchange("/a", at=120), exchange("/b", at=60), exchange("/a", at=300), exchange("/a", at=60))
    flush = Analysis().take(messages(connection(), *logs)).flush
    first = BOOT // 60
    assert sorted(flush.endpoints, key=lambda endpoint: endpoint.name) == [
        Endpoint(ids.endpoint_id(API, "GET:/a"), API, "GET:/a", first + 1, first + 5),
        Endpoint(ids.endpoint_id(API, "GET:/b"), API, "GET:/b", first + 1, first + 1),
    ]


@pytest.mark.parametrize("role", ["proxy", "server"])
def test_whoever_is_no_client_has_endpoints(role: str) -> None:
    assert [endpoint.name for endpoint in Analysis().take(messages(connection(role), exchange())).flush.endpoints] == [
        "GET:/"
    ]


def test_a_service_that_is_not_known_has_no_endpoints() -> None:
    analysed = Analysis().take(messages(connection("server", local=""), exchange()))
    assert analysed.flush.endpoints == []
    assert {entity for _, entity in sums(analysed)} == {
        f"{WEB}-{UNKNOWN}",
        f"{WEB_1}-{ids.instance_id(UNKNOWN, 'Unknown')}",
    }


def test_endpoints_beyond_their_number_count_for_one_and_are_counted() -> None:
    analysis = Analysis(resolver=Resolver(endpoints=EndpointNames(2)))
    logs = [exchange(f"/{number}") for number in (1, 2, 3, 4, 3, 1)]
    analysed = analysis.take(messages(connection(), *logs))
    assert {endpoint.name for endpoint in analysed.flush.endpoints} == {"GET:/1", "GET:/2", ABANDONED}
    assert analysed.abandoned == 3
    found = sums(analysed)
    assert found["kubernetes_service_endpoint_call_cpm", ids.endpoint_id(API, ABANDONED)] == (3, 0)
    assert found["kubernetes_service_endpoint_call_cpm", ids.endpoint_id(API, "GET:/1")] == (2, 0)
    assert found["kubernetes_service_http_call_cpm", API] == (6, 0)


@pytest.mark.parametrize(
    ("status", "grpc", "success"),
    [
        (99, 0, False),
        (100, 0, True),
        (101, 0, True),
        (200, 0, True),
        (304, 0, True),
        (404, 0, True),
        (499, 0, True),
        (500, 0, False),
        (599, 0, False),
        (0, 0, False),  # no response; a success upstream
        (200, 1, True),  # CANCELLED
        (200, 2, False),  # UNKNOWN
        (200, 3, True),  # INVALID_ARGUMENT
        (200, 4, False),  # DEADLINE_EXCEEDED
        (200, 5, True),  # NOT_FOUND
        (200, 12, False),  # UNIMPLEMENTED
        (200, 13, False),  # INTERNAL
        (200, 14, False),  # UNAVAILABLE
        (200, 15, False),  # DATA_LOSS
        (200, 16, True),  # UNAUTHENTICATED
    ],
)
def test_what_is_a_success(status: int, grpc: int, success: bool) -> None:  # noqa: FBT001 - a parameter of the table
    found = sums(Analysis().take(messages(connection(), exchange(status=status, grpc=grpc))))
    assert found["kubernetes_service_http_call_successful_rate", API] == (int(success), 1)


def test_satisfied_and_tolerated_end_at_the_nanosecond() -> None:
    times = (500, 500.000001, 2_000, 2_000.000001)
    found = sums(Analysis().take(messages(connection(), *(exchange(milliseconds=time) for time in times))))
    assert found["kubernetes_service_apdex", API] == (2 + 1 + 1 + 0, 4)


def test_scripts_see_whole_milliseconds_texts_and_methods() -> None:
    script = """
        slow = from(K8SService.*).filter(protocol.http.latency > 100).cpm();
        exact = from(K8SService.*).filter(protocol.http.latency == 100).cpm();
        orders = from(K8SService.*).filter(protocol.http.url like "/orders%").cpm();
        shop = from(K8SService.*).filter(protocol.http.host == "shop").cpm();
        get = from(K8SService.*).filter(protocol.http.method == "Get").cpm();
        report = from(K8SService.*).filter(protocol.http.method in ["REPORT", "Post"]).cpm();
        odd = from(K8SService.*).filter(protocol.http.method == "UNRECOGNIZED").cpm();
        endpoint = from(K8SEndpoint.*).filter(endpointName == "GET:/orders").filter(serviceName == "api").cpm();
        every = from(K8SService.*).cpm();
    """
    logs = [exchange("/orders", milliseconds=100.999), exchange("/orders/7", milliseconds=101), exchange(), exchange()]
    logs[0].http.request.host = "shop"
    logs[1].http.request.methodName = "REPORT"
    request: Any = logs[2].http.request
    request.method = 77  # which has no name
    found = sums(Analysis(program(script)).take(messages(connection(), *logs)))
    assert {metric: summation for (metric, _), (summation, _) in found.items()} == {
        "slow": 1,
        "exact": 1,
        "orders": 2,
        "shop": 1,
        "get": 2,
        "report": 1,
        "odd": 1,
        "endpoint": 1,
        "every": 4,
    }


def test_texts_of_several_batches_are_not_confused() -> None:
    script = 'a = from(K8SService.*).filter(protocol.http.url == "/a").cpm();'
    analysis = Analysis(program(script))
    first = analysis.take(messages(connection(), exchange("/b"), exchange("/a")))
    second = analysis.take(messages(connection(), exchange("/a"), exchange("/b"), exchange("/a")))
    assert sums(first) == {("a", API): (1, 0)}
    assert sums(second) == {("a", API): (2, 0)}


def test_a_client_that_says_what_it_was_serving_relates_its_endpoint_to_the_one_it_called() -> None:
    logs = [exchange("/orders/4711?x", at=at) for at in (60, 70, 120)] + [exchange("/orders", at=60)]
    for log, caller in zip(logs, ("GET:/cart", "get:/cart?y", "GET:/cart", ""), strict=True):
        log.http.callerEndpoint = caller
    flush = Analysis().take(messages(connection("client", "web", "api"), *logs)).flush
    cart, order = ids.endpoint_id(WEB, "GET:/cart"), ids.endpoint_id(API, "GET:/orders/{number}")
    relation = ids.endpoint_relation_id(WEB, "GET:/cart", API, "GET:/orders/{number}")
    assert sorted(flush.endpoint_relations, key=lambda found: found.minute) == [
        Relation(relation, cart, order, "client", 0, MINUTE),
        Relation(relation, cart, order, "client", 0, MINUTE + 1),
    ]
    assert flush.endpoints == []
    # What the server says is about its own endpoint.
    served = Analysis().take(messages(connection("server", "api", "web"), *logs)).flush
    assert served.endpoint_relations == []
    assert len(served.endpoints) == 2


def test_relations_of_endpoints_beyond_the_bound_are_counted() -> None:
    logs = [exchange(path) for path in ("/a", "/b", "/b", "/c", "/a")]
    for log in logs:
        log.http.callerEndpoint = "GET:/cart"
    analysed = Analysis(resolver=Resolver(maximum_relations=1)).take(messages(connection("client"), *logs))
    assert analysed.abandoned == 3
    names = {ids.decode_endpoint_relation_id(of.id).destination.endpoint for of in analysed.flush.endpoint_relations}
    assert names == {"GET:/a", ABANDONED}


def test_relations_of_endpoints_have_metrics() -> None:
    script = """
        calls = from(K8SEndpointRelation.*).cpm();
        good = from(K8SEndpointRelation.*).percent(success == true);
        took = from(K8SEndpointRelation.duration).longAvg();
    """
    logs = [exchange("/orders/4711", 200, 10), exchange("/orders/4712", 503, 30), exchange("/orders/4713", 200, 90)]
    for log in logs[:2]:
        log.http.callerEndpoint = "GET:/cart"
    relation = ids.endpoint_relation_id(WEB, "GET:/cart", API, "GET:/orders/{number}")
    assert sums(Analysis(program(script)).take(messages(connection("client", "web", "api"), *logs))) == {
        ("calls", relation): (2, 0),
        ("good", relation): (1, 2),
        ("took", relation): (40 * MILLISECOND, 2),
    }
