"""Expressions over HTTP, of the little world."""

import asyncio
import threading
from typing import Any

import httpx
import pytest

from backend.entities.ids import instance_id
from backend.query.routes import RUNNING
from backend.storage.interface import Service
from tests.backend.query import world
from tests.backend.query.conftest import client
from tests.backend.query.counting import Counting

READS = "kubernetes_service_read_cpm"


async def ask(api: httpx.AsyncClient, text: str, status: int = 200, **parameters: str) -> Any:  # noqa: ANN401 - JSON
    answer = await api.get("/api/expression", params={"expression": text, **parameters})
    assert answer.status_code == status, answer.text
    return answer.json()


def numbers(answer: Any) -> list[list[str | None]]:  # noqa: ANN401 - JSON
    return [[value["value"] for value in series["values"]] for series in answer["result"]["results"]]


async def test_values_over_time(api: httpx.AsyncClient) -> None:
    answer = await ask(api, f"{READS} / 60 * 0.5", service="api", start="-12m")
    assert {name: answer[name] for name in ("start", "end", "step", "zone", "incomplete_from")} == {
        "start": "2027-01-15T07:49:00Z",
        "end": "2027-01-15T08:00:00Z",
        "step": "minute",
        "zone": "+0000",
        "incomplete_from": "2027-01-15T08:00:00Z",
    }
    assert numbers(answer) == [[None, None, *["2.5"] * 10]]
    (series,) = answer["result"]["results"]
    assert series["values"][-1]["id"] == str(world.NOW_MINUTE * 60_000)


async def test_hours_of_a_zone_begin_by_its_clocks(api: httpx.AsyncClient) -> None:
    answer = await ask(api, READS, service="api", start="-1h", step="hour", zone="+0530")
    # 08:00 in UTC is 13:30 there: the hour began at 07:30, and all ten minutes are in it.
    assert (answer["start"], answer["end"]) == ("2027-01-15T06:30:00Z", "2027-01-15T07:30:00Z")
    assert answer["incomplete_from"] == "2027-01-15T07:30:00Z"
    assert numbers(answer) == [[None, "50"]]
    ended = await ask(api, READS, service="api", start="-2h", end="-1h", step="hour")
    assert ended["incomplete_from"] is None


async def test_relations_are_named_by_both_ends(api: httpx.AsyncClient) -> None:
    text = "latest(kubernetes_service_relation_server_read_package_size)"
    assert numbers(await ask(api, text, service="Unknown", to="frontend")) == [["6000"]]


async def test_rankings_name_their_owners(api: httpx.AsyncClient) -> None:
    answer = await ask(api, "top_n(kubernetes_service_instance_read_cpm, 1, des)")
    (series,) = answer["result"]["results"]
    (value,) = series["values"]
    assert (value["id"], value["value"]) == ("frontend - frontend-1", "600")
    assert value["owner"]["serviceInstanceID"] == instance_id(world.FRONTEND, "frontend-1")


@pytest.mark.parametrize(
    ("text", "parameters", "error", "hint"),
    [
        (f"{READS} +", {}, "the expression is wrong at column 30", "the end cannot stand here"),
        ("1 + x", {}, "the expression is wrong at column 5", "there is no metric 'x'"),
        (READS, {}, "the expression is wrong at column 1", "this is a metric of a service"),
        ("1", {"zone": "east"}, "the span cannot be asked for", "'east' is not an offset from UTC"),
        ("1", {"step": "second"}, "step='second' does not exist", "use minute, hour or day"),
        ("1", {"start": "-600m", "step": "minute"}, "the span has 600 buckets", "coarser step"),
        ("1", {"entity": "x"}, "there is no parameter 'entity' here", "use end, endpoint, expression, instance"),
        ("", {}, "the parameter 'expression' must be given once", "add ?expression=..."),
    ],
)
async def test_what_is_wrong_is_told(
    api: httpx.AsyncClient, text: str, parameters: dict[str, str], error: str, hint: str
) -> None:
    answer = await ask(api, text, 400, **parameters)
    assert error in answer["error"]
    assert hint in answer["hint"]


class Held(Counting):
    """Tells of services when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.let = threading.Semaphore(0), threading.Event()

    def services(self) -> list[Service]:
        self.begun.release()
        assert self.let.wait(120)
        return super().services()


async def test_expressions_that_wait_together_are_one_question_to_the_store() -> None:
    storage = Held()
    world.fill(storage)
    texts = [READS, "kubernetes_service_write_cpm", "kubernetes_service_connect_cpm", "wrong +"]
    async with client(storage) as api:
        blocking = [asyncio.create_task(api.get("/api/services", params={"start": f"-{n}m"})) for n in range(1, 5)]
        assert len(blocking) == RUNNING
        for _ in blocking:
            assert await asyncio.to_thread(storage.begun.acquire, timeout=120)
        questions = [
            asyncio.create_task(api.get("/api/expression", params={"expression": text, "service": service}))
            for service in ("api", "frontend")
            for text in texts
        ]
        for _ in range(10 * len(questions)):
            await asyncio.sleep(0)
        storage.let.set()
        answers = await asyncio.gather(*questions)
        await asyncio.gather(*blocking)
        alone = [await api.get(answer.request.url) for answer in answers]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 400] * 2
    assert [answer.json() for answer in answers] == [answer.json() for answer in alone]
    asked = [(names, entities) for names, entities in storage.pairs() if len(entities) == 2]
    assert asked == [(set(texts[:3]), sorted([world.API, world.FRONTEND]))]
