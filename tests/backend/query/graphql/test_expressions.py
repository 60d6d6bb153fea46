"""Expressions of one request, and of requests that wait together, read together what they would read one by one."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from backend.entities.ids import service_id, service_relation_id
from backend.query.graphql import execution
from backend.query.graphql.endpoint import RUNNING
from backend.storage.interface import Flush
from tests.backend.query.counting import Counting
from tests.backend.query.graphql import documents
from tests.backend.query.graphql.asking import NOW, Client, Slow, asking
from tests.backend.query.world import frame
from tests.waiting import eventually

MINUTE = int(NOW) // 60
CPM, OTHER = "kubernetes_service_http_call_cpm", "kubernetes_service_connect_cpm"
RELATION = "kubernetes_service_relation_client_http_call_cpm"
NAMES = [f"s{number}" for number in range(6)]
EVERYBODY = sorted(map(service_id, NAMES))
HOUR = {"start": "2027-01-15 0701", "end": "2027-01-15 0800", "step": "MINUTE"}
ROWS = [(CPM, service_id(name), MINUTE, number + 1, 0) for number, name in enumerate(NAMES)]
ROWS += [(OTHER, service_id(name), MINUTE, 10 * (number + 1), 0) for number, name in enumerate(NAMES)]
ROWS += [(RELATION, service_relation_id(service_id("s0"), service_id("s1")), MINUTE, 77, 0)]


@pytest.fixture
def storage() -> Counting:
    storage = Counting()
    storage.write(Flush("one", frame(ROWS)))
    return storage


def batch(expressions: Sequence[tuple[str, dict[str, Any]]]) -> tuple[str, dict[str, Any]]:
    variables: dict[str, Any] = {"duration": HOUR}
    for number, (expression, entity) in enumerate(expressions):
        variables |= {f"expression{number}": expression, f"entity{number}": entity}
    return documents.booster_expressions(len(expressions)), variables


def value(result: dict[str, Any]) -> str | None:
    assert result["error"] is None
    found: str | None = result["results"][0]["values"][-1]["value"]
    return found


async def test_a_map_is_read_with_one_question(storage: Counting) -> None:
    document, variables = batch([(metric, {"serviceName": name}) for name in NAMES for metric in (CPM, OTHER)])
    async with asking(storage) as client:
        answer = await client.answer(document, **variables)
    expected = [str(number) for one in range(1, 7) for number in (one, 10 * one)]
    assert [value(result) for result in answer.values()] == expected
    assert storage.pairs() == [({CPM, OTHER}, EVERYBODY)]


async def test_arguments_within_the_document_are_read_together_too(storage: Counting) -> None:
    fields = " ".join(
        f'{name}: execExpression(expression: "{CPM}", entity: {{serviceName: "{name}", normal: true}}, duration: $d)'
        f" {documents.EXPRESSION_FIELDS}"
        for name in NAMES
    )
    async with asking(storage) as client:
        answer = await client.answer(f"query ($d: Duration!) {{ {fields} }}", d=HOUR)
    assert [value(answer[name]) for name in NAMES] == ["1", "2", "3", "4", "5", "6"]
    assert storage.pairs() == [({CPM}, EVERYBODY)]


async def test_long_documents_are_read_together_too(storage: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "LONGEST_KEPT", 10)
    document, variables = batch([(CPM, {"serviceName": name}) for name in NAMES])
    async with asking(storage) as client:
        answer = await client.answer(document, **variables)
    assert [value(result) for result in answer.values()] == ["1", "2", "3", "4", "5", "6"]
    assert storage.pairs() == [({CPM}, EVERYBODY)]


async def test_services_and_relations_find_their_own(storage: Counting) -> None:
    relation = {"serviceName": "s0", "destServiceName": "s1"}
    document, variables = batch([(CPM, {"serviceName": "s0"}), (RELATION, relation), (CPM, {"serviceName": "s1"})])
    async with asking(storage) as client:
        answer = await client.answer(document, **variables)
    assert [value(result) for result in answer.values()] == ["1", "77", "2"]
    assert len(storage.pairs()) == 1


async def test_what_is_wrong_with_one_is_its_own(storage: Counting) -> None:
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("1 +", {}),
        ("no_such_metric", {"serviceName": "s0"}),
        (CPM, {}),
        (CPM, {"serviceName": "s3"}),
        (OTHER, {"serviceName": "s3"}),
    ]
    document, variables = batch(wrong)
    async with asking(storage) as client:
        answer = await client.answer(document, **variables)
    assert [result["error"] is None for result in answer.values()] == [False, False, False, True, True]
    assert [value(result) for result in list(answer.values())[3:]] == ["4", "40"]
    assert storage.pairs() == [({CPM, OTHER}, [service_id("s3")])]


async def test_requests_one_after_the_other_share_nothing(storage: Counting) -> None:
    document, variables = batch([(CPM, {"serviceName": name}) for name in NAMES])
    async with asking(storage) as client:
        await client.answer(document, **variables)
        await client.answer(document, **variables)
    assert len(storage.pairs()) == 2


ONE = """query ($name: String!, $metric: String!, $duration: Duration!) {
  execExpression(expression: $metric, entity: {serviceName: $name, normal: true}, duration: $duration) {
    error results { values { value } }
  }
}"""
BLOCKING = """query ($d: Duration!, $s: ID!) { listInstances(duration: $d, serviceId: $s) { id } }"""
DAY = {"start": "2027-01-15", "end": "2027-01-15", "step": "DAY"}


class SlowAndCounting(Slow, Counting):
    """Lets its instances be asked for when it is let, and counts what is read of metrics."""


async def waiting(client: Client, number: int) -> None:
    """Until so many requests are there."""
    await eventually(lambda: client.served._answering.present >= number, pause=0)


async def test_requests_that_wait_together_are_read_together_and_equal_ones_once() -> None:
    storage = SlowAndCounting()
    storage.write(Flush("one", frame(ROWS)))
    async with asking(storage) as client:
        bodies = [
            {"query": ONE, "variables": {"name": name, "metric": metric, "duration": HOUR}}
            for metric in (CPM, OTHER)
            for name in NAMES
        ]
        blocking = [
            asyncio.create_task(
                client.post({"query": BLOCKING, "variables": {"d": DAY, "s": str(number)}}),
            )
            for number in range(RUNNING)
        ]
        await waiting(client, RUNNING)
        asked = [asyncio.create_task(client.post(body)) for body in [*bodies, *bodies]]
        await waiting(client, RUNNING + len(asked))
        storage.let.set()
        answers = [response.json()["data"]["execExpression"] for response in await asyncio.gather(*asked)]
        await asyncio.gather(*blocking)
        joined = client.counted("joined_total")
        counted = client.counted("seconds_count")
    expected = [str(times * one) for times in (1, 10) for one in range(1, 7)]
    assert [value(answer) for answer in answers] == [*expected, *expected]
    assert storage.pairs() == [({CPM, OTHER}, EVERYBODY)]
    assert joined == len(bodies)
    assert counted == RUNNING + len(asked)


async def test_equal_mutations_are_each_done() -> None:
    storage = SlowAndCounting()
    change = 'mutation { disableTemplate(id: "none") { id status message } }'
    async with asking(storage) as client:
        blocking = [
            asyncio.create_task(client.post({"query": BLOCKING, "variables": {"d": DAY, "s": str(number)}}))
            for number in range(RUNNING)
        ]
        await waiting(client, RUNNING)
        asked = [asyncio.create_task(client.post({"query": change})) for _ in range(3)]
        await waiting(client, RUNNING + 3)
        storage.let.set()
        answers = await asyncio.gather(*asked)
        await asyncio.gather(*blocking)
        assert client.counted("joined_total") == 0
    assert [answer.json()["data"]["disableTemplate"]["status"] for answer in answers] == [False] * 3
