"""Questions that are not answered, and why."""

import asyncio
import json
from typing import Any

import pytest

from backend.query.promql import routes
from tests.backend.query.graphql.asking import Defective, Failing, Slow
from tests.backend.query.promql.client import Client


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
