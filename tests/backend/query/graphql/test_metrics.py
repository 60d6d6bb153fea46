"""Metrics and expressions, as clients ask for them: document in, answer out.

Each moment of the store has, for each hop, CALLS exchanges from each of its ends in one minute.
"""

from typing import Any

import pytest

from backend.entities.ids import endpoint_id, instance_id, service_id
from backend.query.graphql.context import MAXIMUM_VALUES
from backend.query.graphql.metrics import MAXIMUM_PATTERN
from backend.query.graphql.scopes import CATALOGS
from backend.query.mqe.parser import MAXIMUM_LENGTH
from backend.storage.interface import Storage
from backend.storage.memory import MemoryStorage
from tests.backend.query.graphql import documents
from tests.backend.query.graphql.asking import METRICS, Client, asking
from tests.backend.server.bookinfo import CALLS, POD

MINUTE_8 = 1_800_000_000_000
"""2027-01-15T08:00Z in milliseconds."""
MINUTES = {"start": "2027-01-15 0758", "end": "2027-01-15 0801", "step": "MINUTE"}
REVIEWS: dict[str, Any] = {"serviceName": "reviews.default", "normal": True}
CPM = "kubernetes_service_http_call_cpm"
TIME = "kubernetes_service_http_call_time"


async def ask(
    client: Client, expression: str, duration: dict[str, Any] | None = None, **entity: object
) -> dict[str, Any]:
    answer = await client.answer(
        documents.SWCTL_EXPRESSION, expression=expression, entity=entity or REVIEWS, duration=duration or MINUTES
    )
    result: dict[str, Any] = answer["result"]
    return result


def points(result: dict[str, Any]) -> list[tuple[int, str | None]]:
    """Milliseconds and value of each point of the only series."""
    assert result["error"] is None
    (series,) = result["results"]
    return [(int(value["id"]), value["value"]) for value in series["values"]]


async def test_swctl_gets_a_series_whose_empty_minutes_are_null(client: Client) -> None:
    assert await ask(client, CPM) == {
        "type": "TIME_SERIES_VALUES",
        "results": [
            {
                "metric": {"labels": []},
                "values": [
                    {
                        "id": str(MINUTE_8 + minutes * 60_000),
                        "value": str(CALLS) if minutes == 0 else None,
                        "traceID": None,
                        "owner": None,
                    }
                    for minutes in (-2, -1, 0, 1)
                ],
            }
        ],
        "error": None,
    }


@pytest.mark.parametrize(
    ("expression", "entity", "expected"),
    [
        (f"avg({TIME})", {}, "20"),
        ("latest(kubernetes_service_http_call_successful_rate/100)", {}, "100"),
        ("sum(kubernetes_service_instance_http_call_cpm)", {"serviceInstanceName": POD.format("reviews")}, "3"),
        ("avg(kubernetes_service_endpoint_call_time)", {"endpointName": "GET:/reviews/0"}, "20"),
        (
            "latest(kubernetes_service_relation_client_http_call_time)",
            {"destServiceName": "ratings.default", "destNormal": True},
            "2",
        ),
        (
            "latest(kubernetes_service_instance_relation_server_http_call_cpm)",
            {
                "serviceInstanceName": POD.format("reviews"),
                "destServiceName": "ratings.default",
                "destServiceInstanceName": POD.format("ratings"),
            },
            "3",
        ),
        ("count(kubernetes_service_connect_cpm)", {}, "1"),
    ],
)
async def test_one_number_of_each_kind_of_entity(
    client: Client, expression: str, entity: dict[str, Any], expected: str
) -> None:
    result = await ask(client, expression, **{**REVIEWS, **entity})
    assert (result["error"], result["type"]) == (None, "SINGLE_VALUE")
    (series,) = result["results"]
    assert [value["value"] for value in series["values"]] == [expected]


async def test_whoever_does_not_say_normal_means_a_service_that_reports_itself(client: Client) -> None:
    expected = points(await ask(client, CPM))
    for entity in ({"serviceName": "reviews.default"}, {**REVIEWS, "normal": None, "scope": "Service"}):
        assert points(await ask(client, CPM, **entity)) == expected
    conjectured = points(await ask(client, CPM, serviceName="reviews.default", normal=False))
    assert [value for _, value in conjectured] == [None] * 4


async def test_the_scope_is_that_of_the_metric_whatever_the_entity_says(client: Client) -> None:
    expected = points(await ask(client, CPM))
    for scope in ("Service", "Endpoint", "ProcessRelation"):
        assert points(await ask(client, CPM, **{**REVIEWS, "scope": scope})) == expected


@pytest.mark.parametrize("entity", [REVIEWS, {**REVIEWS, "normal": None}])
async def test_the_web_client_asks_many_expressions_at_once(client: Client, entity: dict[str, Any]) -> None:
    variables: dict[str, object] = {"duration": MINUTES}
    expressions = [CPM, f"{CPM} * 2", "avg(no_such_metric)", f"top_n({CPM}, 2, des)"]
    for number, expression in enumerate(expressions):
        variables |= {f"expression{number}": expression, f"entity{number}": entity}
    answer = await client.answer(documents.booster_expressions(len(expressions)), **variables)
    assert list(answer) == [f"expression{number}" for number in range(len(expressions))]
    assert [value for _, value in points(answer["expression0"])] == [None, None, "3", None]
    assert [value for _, value in points(answer["expression1"])] == [None, None, "6", None]
    failed = answer["expression2"]
    assert (failed["type"], failed["results"]) == ("UNKNOWN", [])
    assert "no_such_metric" in failed["error"]
    assert answer["expression3"]["type"] == "SORTED_LIST"


async def test_a_sorted_list_names_its_entities(client: Client) -> None:
    result = await ask(client, f"top_n({TIME}, 2, asc)", scope="All")
    assert (result["type"], result["error"]) == ("SORTED_LIST", None)
    (series,) = result["results"]
    assert series["values"][0] == {
        "id": "ratings.default",
        "value": "2",
        "traceID": None,
        "owner": {
            "scope": "Service",
            "serviceID": service_id("ratings.default"),
            "serviceName": "ratings.default",
            "normal": True,
            "serviceInstanceID": None,
            "serviceInstanceName": None,
            "endpointID": None,
            "endpointName": None,
        },
    }
    assert [(value["id"], value["value"]) for value in series["values"][1:]] == [("details.default", "5")]
    instances = await ask(client, "top_n(kubernetes_service_instance_http_call_cpm, 1, des)", **REVIEWS)
    owner = instances["results"][0]["values"][0]["owner"]
    pod = POD.format("reviews")
    assert (owner["scope"], owner["serviceInstanceName"]) == ("ServiceInstance", pod)
    assert owner["serviceInstanceID"] == instance_id(service_id("reviews.default"), pod)
    endpoints = await ask(client, "top_n(kubernetes_service_endpoint_call_cpm, 1, des)", **REVIEWS)
    owner = endpoints["results"][0]["values"][0]["owner"]
    assert owner["endpointID"] == endpoint_id(service_id("reviews.default"), "GET:/reviews/0")


async def test_a_metric_of_ranks_has_a_series_for_each(client: Client) -> None:
    result = await ask(client, "latest(kubernetes_service_percentile{p='50,99'})")
    labels = [series["metric"]["labels"] for series in result["results"]]
    assert labels == [[{"key": "p", "value": rank}] for rank in ("50", "99")]
    # All calls take as long, so that all ranks are in one bucket.
    first, second = (series["values"][0]["value"] for series in result["results"])
    assert first == second
    assert 20 <= float(first) <= 22


@pytest.mark.parametrize(
    ("start", "end", "step", "expected"),
    [
        # Both ends belong to the span.
        ("2027-01-15 0800", "2027-01-15 0800", "MINUTE", ["20"]),
        ("2027-01-15 0659", "2027-01-15 0701", "MINUTE", [None, "20", None]),
        ("2027-01-15 07", "2027-01-15 09", "HOUR", ["20", "20", None]),
        ("2027-01-13", "2027-01-15", "DAY", [None, "20", "20"]),
    ],
)
async def test_durations_at_each_step(
    client: Client, start: str, end: str, step: str, expected: list[str | None]
) -> None:
    result = await ask(client, TIME, {"start": start, "end": end, "step": step})
    assert [value for _, value in points(result)] == expected


@pytest.mark.parametrize(
    ("offset", "zone", "start", "day"),
    [
        (480, "+0800", "2027-01-15 1600", "2027-01-15"),
        (-570, "-0930", "2027-01-14 2230", "2027-01-14"),
        (345, "+0545", "2027-01-15 1345", "2027-01-15"),
    ],
)
async def test_times_are_those_of_the_servers_zone(
    bookinfo_storage: Storage, offset: int, zone: str, start: str, day: str
) -> None:
    async with asking(bookinfo_storage, offset=offset) as client:
        told = await client.answer(documents.SWCTL_TIME)
        assert told == {"result": {"timezone": zone, "currentTimestamp": 1_800_000_030_000}}
        found = points(await ask(client, CPM, {"start": start, "end": start, "step": "MINUTE"}))
        assert found == [(MINUTE_8, "3")]
        ((begin, _),) = points(await ask(client, CPM, {"start": day, "end": day, "step": "DAY"}))
        assert begin == MINUTE_8 - MINUTE_8 % 86_400_000 - offset * 60_000 + (0 if offset > 0 else -86_400_000)
        shown = {"start": start, "end": start, "step": "MINUTE"}
        services = await client.answer(documents.SWCTL_ALL_SERVICES, duration=shown)
        assert len(services["result"]) == 4


@pytest.mark.parametrize(
    ("duration", "error"),
    [
        (
            {"start": "2027-01-15 0000", "end": "2027-01-15 0821", "step": "MINUTE"},
            "the span has 502 points of one minute, more than 501: ask for a shorter span or a longer step",
        ),
        (
            {"start": "2027-01-15 0801", "end": "2027-01-15 0800", "step": "MINUTE"},
            "the start is after the end: exchange them; both belong to the span",
        ),
        (
            {"start": "2027-01-15", "end": "2027-01-15 0800", "step": "MINUTE"},
            "start='2027-01-15' is not a time at the step MINUTE: write it as yyyy-MM-dd HHmm",
        ),
    ],
)
async def test_a_duration_that_gives_no_points_is_told_in_the_result(
    client: Client, duration: dict[str, str], error: str
) -> None:
    assert await ask(client, CPM, duration) == {"type": "UNKNOWN", "results": [], "error": error}


async def test_a_duration_of_the_most_points_is_answered(client: Client) -> None:
    found = points(await ask(client, CPM, {"start": "2027-01-15 0000", "end": "2027-01-15 0820", "step": "MINUTE"}))
    assert len(found) == 501
    assert [milliseconds for milliseconds, value in found if value] == [MINUTE_8 - 3_600_000, MINUTE_8]


async def test_seconds_are_told_to_be_too_short(client: Client) -> None:
    result = await ask(client, CPM, {"start": "2027-01-15 080000", "end": "2027-01-15 080030", "step": "SECOND"})
    assert result["type"] == "UNKNOWN"
    assert "MINUTE" in result["error"]


async def test_what_is_wrong_with_an_expression_is_told_in_the_result(client: Client) -> None:
    result = await ask(client, f"{CPM} +")
    assert (result["type"], result["results"]) == ("UNKNOWN", [])
    assert result["error"]
    longest = await ask(client, "1 +" + " " * (MAXIMUM_LENGTH - 4) + "1")
    assert longest["error"] is None
    long = await ask(client, "1" * (MAXIMUM_LENGTH + 1))
    assert long["error"] == (
        "at column 8193: the expression has 8,193 characters: cut it into several of at most 8,192"
    )


async def test_an_answer_has_a_largest_size() -> None:
    points_each, needed = 501, MAXIMUM_VALUES // 501 + 1
    fields = " ".join(
        f'_{number}: execExpression(expression: "kubernetes_service_http_call_cpm", entity: {{serviceName: "a"}}, '
        "duration: $duration) { type }"
        for number in range(needed)
    )
    duration = {"start": "2027-01-15 0000", "end": "2027-01-15 0820", "step": "MINUTE"}
    async with asking(MemoryStorage()) as client:
        query = f"query ($duration: Duration!) {{ {fields} }}"
        response = await client.post({"query": query, "variables": {"duration": duration}})
    (error,) = response.json()["errors"]
    assert points_each * needed > MAXIMUM_VALUES >= points_each * (needed - 1)
    assert error["path"] == [f"_{needed - 1}"]
    assert error["message"] == (
        "the answer has more than 250,000 values: ask for fewer expressions in one request, or for a longer step"
    )


async def test_the_list_of_metrics_has_all_with_type_and_catalog(client: Client) -> None:
    answer = await client.answer(documents.BOOSTER_METRICS, regex=None)
    names = sorted(definition.name for definition in METRICS.definitions)
    assert [metric["value"] for metric in answer["metrics"]] == names
    scopes = {definition.name: definition.scope for definition in METRICS.definitions}
    assert {metric["value"]: metric["catalog"] for metric in answer["metrics"]} == {
        name: CATALOGS[scope] for name, scope in scopes.items()
    }
    ranked = {metric["value"] for metric in answer["metrics"] if metric["type"] == "LABELED_VALUE"}
    assert ranked == {name for name in names if name.endswith("_percentile")}


async def test_the_list_of_metrics_is_searched_by_whole_names(client: Client) -> None:
    answer = await client.answer(documents.BOOSTER_METRICS, regex="kubernetes_service_(connect|accept)_time")
    assert [metric["label"] for metric in answer["metrics"]] == [
        "kubernetes_service_accept_time",
        "kubernetes_service_connect_time",
    ]
    assert await client.answer(documents.BOOSTER_METRICS, regex="connect_time") == {"metrics": []}


@pytest.mark.parametrize(
    ("regex", "error"),
    [
        ("(", "'(' is not a regular expression: "),
        ("(?=a)", "'(?=a)' is not a regular expression: "),
        ("a" * (MAXIMUM_PATTERN + 1), "the regular expression is longer than 1,000 characters: "),
    ],
)
async def test_what_is_no_regular_expression_is_an_error(client: Client, regex: str, error: str) -> None:
    (found,) = await client.errors(documents.BOOSTER_METRICS, regex=regex)
    assert found["message"].startswith(error)
    assert found["extensions"] == {"code": "BAD_REQUEST"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (CPM, "REGULAR_VALUE"),
        ("kubernetes_service_percentile", "LABELED_VALUE"),
        ("no_such_metric", "UNKNOWN"),
    ],
)
async def test_the_type_of_a_metric(client: Client, name: str, kind: str) -> None:
    assert await client.answer(documents.BOOSTER_TYPE_OF_METRICS, name=name) == {"typeOfMetrics": kind}
