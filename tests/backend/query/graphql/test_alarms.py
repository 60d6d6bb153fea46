"""Alarms, as clients ask whoever keeps them: document in, question and answer out."""

from collections.abc import Sequence
from typing import Any

import pytest

from backend.entities.ids import endpoint_id, instance_id, service_id
from backend.query.graphql.alarms import Alarm, AlarmedMetric, AlarmQuery, Found
from backend.query.graphql.inputs import Page
from backend.query.mqe.answer import KeyValue, Metadata, Value, Values
from backend.storage.memory import MemoryStorage
from tests.backend.query.graphql import documents
from tests.backend.query.graphql.asking import Client, asking

DETAILS = service_id("details.default")
HOURS = {"start": "2027-01-15 070000", "end": "2027-01-15 095959", "step": "SECOND"}
"""More seconds than a duration has points."""
FIRST, LAST = 1_799_996_400_000, 1_800_007_199_999
PAGING = {"pageNum": 2, "pageSize": 20}
ALARM = Alarm(
    id=DETAILS,
    destination_id="",
    scope="Service",
    name="details.default",
    rule="slow_rule",
    layer="K8S_SERVICE",
    message="details.default is slow",
    start=1_800_000_000_000,
    tags={"level": "WARNING", "b": "c"},
    expression="avg(x) > 1",
    metrics=[
        AlarmedMetric("x", [Values(Metadata([KeyValue("p", "50")]), [Value("1800000000000", "7"), Value(None, None)])])
    ],
)


class Book:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[AlarmQuery] = []
        self.tags: list[tuple[str, int, int]] = []

    def find(self, asked: AlarmQuery) -> Found:
        self.asked.append(asked)
        return Found([ALARM], 21)

    def tag_names(self, first: int, last: int) -> Sequence[str]:
        self.tags.append(("", first, last))
        return ["b", "level"]

    def tag_values(self, name: str, first: int, last: int) -> Sequence[str]:
        self.tags.append((name, first, last))
        return ["WARNING"]


async def test_the_web_client_asks_by_scope_words_and_tags() -> None:
    book = Book()
    async with asking(MemoryStorage(), alarms=book) as client:
        answer = await client.answer(
            documents.BOOSTER_ALARMS,
            keyword="slow",
            scope="Service",
            duration=HOURS,
            paging=PAGING,
            tags=[{"key": "level", "value": "WARNING"}, {"key": "b"}],
        )
    assert book.asked == [
        AlarmQuery(
            FIRST,
            LAST,
            Page(20, 20),
            scope="Service",
            keyword="slow",
            tags=frozenset({("level", "WARNING"), ("b", "")}),
        )
    ]
    assert answer["getAlarm"] == {
        "items": [
            {
                "key": DETAILS,
                "message": "details.default is slow",
                "startTime": 1_800_000_000_000,
                "scope": "Service",
                "tags": [{"key": "b", "value": "c"}, {"key": "level", "value": "WARNING"}],
                "events": [],
            }
        ],
        "total": 21,
    }


async def test_horizon_asks_by_entities_layer_and_rules() -> None:
    book = Book()
    entities = [
        {"serviceName": "details.default", "normal": True},
        {"serviceName": "details.default", "serviceInstanceName": "d-1"},
        {"serviceName": "details.default", "endpointName": "GET:/"},
        {"scope": "All"},
    ]
    condition = {
        "duration": HOURS,
        "paging": {"pageSize": 5},
        "layer": "K8S_SERVICE",
        "ruleNames": ["slow_rule"],
        "entities": entities,
    }
    async with asking(MemoryStorage(), alarms=book) as client:
        answer = await client.answer(documents.HORIZON_ALARMS, condition=condition)
    named = frozenset({DETAILS, instance_id(DETAILS, "d-1"), endpoint_id(DETAILS, "GET:/")})
    expected = AlarmQuery(FIRST, LAST, Page(0, 5), layer="K8S_SERVICE", rules=frozenset({"slow_rule"}), entities=named)
    assert book.asked == [expected]
    assert answer["queryAlarms"]["msgs"] == [
        {
            "id": DETAILS,
            "startTime": 1_800_000_000_000,
            "recoveryTime": None,
            "scope": "Service",
            "name": "details.default",
            "message": "details.default is slow",
            "tags": [{"key": "b", "value": "c"}, {"key": "level", "value": "WARNING"}],
            "snapshot": {
                "expression": "avg(x) > 1",
                "metrics": [
                    {
                        "name": "x",
                        "results": [
                            {
                                "metric": {"labels": [{"key": "p", "value": "50"}]},
                                "values": [
                                    {"id": "1800000000000", "value": "7", "traceID": None},
                                    {"id": None, "value": None, "traceID": None},
                                ],
                            }
                        ],
                    }
                ],
            },
        }
    ]


async def test_tags_are_completed_within_the_span() -> None:
    book = Book()
    query = """query ($duration: Duration!) {
      queryAlarmTagAutocompleteKeys(duration: $duration)
      queryAlarmTagAutocompleteValues(tagKey: "level", duration: $duration)
    }"""
    async with asking(MemoryStorage(), alarms=book) as client:
        answer = await client.answer(query, duration={"start": "2027-01-15 07", "end": "2027-01-15 09", "step": "HOUR"})
    assert answer == {
        "queryAlarmTagAutocompleteKeys": ["b", "level"],
        "queryAlarmTagAutocompleteValues": ["WARNING"],
    }
    assert sorted(book.tags) == [("", FIRST, LAST), ("level", FIRST, LAST)]


async def test_without_rules_there_are_no_alarms(client: Client) -> None:
    asked: dict[str, Any] = {"duration": HOURS, "paging": {"pageNum": 1, "pageSize": 30}}
    assert await client.answer(documents.BOOSTER_ALARMS, **asked) == {"getAlarm": {"items": [], "total": 0}}
    assert await client.answer(documents.SWCTL_ALARMS, **asked, scope="All") == {"result": {"msgs": []}}
    assert await client.answer(documents.HORIZON_ALARMS, condition=asked) == {"queryAlarms": {"msgs": []}}
    query = """query ($duration: Duration!) {
      keys: queryAlarmTagAutocompleteKeys(duration: $duration)
      values: queryAlarmTagAutocompleteValues(tagKey: "level", duration: $duration)
      getAlarmTrend(duration: $duration) { numOfAlarm }
    }"""
    answer = await client.answer(query, duration=HOURS)
    assert answer == {"keys": [], "values": [], "getAlarmTrend": {"numOfAlarm": []}}


@pytest.mark.parametrize("paging", [{"pageNum": -1, "pageSize": 1}, {"pageSize": 0}, {"pageSize": 1_001}])
async def test_a_page_without_sense_is_refused(client: Client, paging: dict[str, int]) -> None:
    (error,) = await client.errors(documents.BOOSTER_ALARMS, duration=HOURS, paging=paging)
    assert error["message"].startswith(f"there is no page {paging.get('pageNum', 1)} of {paging['pageSize']} items")
    assert error["extensions"] == {"code": "BAD_REQUEST"}


@pytest.mark.parametrize(
    ("duration", "error"),
    [
        (
            {"start": "2027-01-15 09", "end": "2027-01-15 08", "step": "HOUR"},
            "the start of the duration is after its end: exchange them; both belong to the span",
        ),
        (
            {"start": "2027-01-15 09", "end": "2027-01-15", "step": "HOUR"},
            "end='2027-01-15' is not a time at the step HOUR: write it as yyyy-MM-dd HH",
        ),
    ],
)
async def test_a_span_without_sense_is_refused(client: Client, duration: dict[str, str], error: str) -> None:
    (found,) = await client.errors(documents.BOOSTER_ALARMS, duration=duration, paging={"pageSize": 1})
    assert found["message"] == error
    assert found["extensions"] == {"code": "BAD_REQUEST"}
