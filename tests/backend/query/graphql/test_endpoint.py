"""GraphQL over HTTP: what is sent, who has to wait, and what is told when something is wrong."""

import asyncio
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.query.graphql import limits
from backend.query.graphql.context import MAXIMUM_SECONDS, Context
from backend.query.graphql.endpoint import RUNNING, WAITING
from backend.query.graphql.execution import KEPT_DOCUMENTS, Request, answer
from backend.storage.memory import MemoryStorage
from tests.backend.query.graphql.asking import Client, Defective, Failing, Slow, asking
from tests.waiting import eventually

INSTANCES = """query ($d: Duration!, $s: ID = "x") { listInstances(duration: $d, serviceId: $s) { id } }"""
DAY = {"start": "2027-01-15", "end": "2027-01-15", "step": "DAY"}


async def test_a_browser_gets_a_page(client: Client) -> None:
    response = await client.http.get("/graphql", headers={"accept": "text/html"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "swctl" in response.text
    assert (await client.http.head("/graphql")).status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_queries_are_sent_by_post(client: Client, method: str) -> None:
    response = await client.http.request(method, "/graphql?query={version}")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, POST"
    assert response.json() == {
        "errors": [
            {
                "message": f"{method} is not answered here: send queries by POST",
                "extensions": {"code": "BAD_REQUEST"},
            }
        ]
    }
    assert client.counted("refused_total", cause="method") == 1


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/graphql+json"])
async def test_json_is_taken_by_each_of_its_names(client: Client, kind: str) -> None:
    response = await client.http.post("/graphql", content='{"query": "{ __typename }"}', headers={"content-type": kind})
    assert response.json() == {"data": {"__typename": "Query"}}
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
async def test_what_another_sites_page_could_send_is_refused(client: Client, kind: str) -> None:
    response = await client.http.post("/graphql", content='{"query": "{ version }"}', headers={"content-type": kind})
    assert response.status_code == 415
    (error,) = response.json()["errors"]
    assert error["message"] == f'the content type is {kind!r}: send {{"query": "..."}} as application/json'
    assert client.counted("refused_total", cause="type") == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'[{"query": "{ version }"}]',
        b"{}",
        b'{"query": 1}',
        b'{"query": "{ version }", "variables": []}',
        b'{"query": "{ version }", "operationName": 1}',
        b'{"query": "\xff"}',
        b'{"query": "{ version }", "variables": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"}",
    ],
)
async def test_what_is_not_a_question_is_refused(client: Client, body: bytes) -> None:
    response = await client.http.post("/graphql", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error["message"].startswith("the request is not a question: ")
    assert client.counted("refused_total", cause="form") == 1


async def test_a_request_has_a_largest_size(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"query": "{ __typename }"}'
    headers = {"content-type": "application/json"}
    monkeypatch.setattr(limits, "MAXIMUM_BODY", len(body))
    assert (await client.http.post("/graphql", content=body, headers=headers)).status_code == 200
    response = await client.http.post("/graphql", content=body + b" ", headers=headers)
    assert response.status_code == 413
    (error,) = response.json()["errors"]
    assert error["message"] == "the request is larger than 27 bytes: send it in several"
    assert client.counted("refused_total", cause="size") == 1


async def test_members_of_the_request_that_are_not_known_are_left_alone(client: Client) -> None:
    response = await client.post({"query": "{ __typename }", "variables": None, "extensions": {}, "operationName": ""})
    assert response.json() == {"data": {"__typename": "Query"}}


async def test_one_of_several_operations_is_chosen_by_name(client: Client) -> None:
    query = "query A { a: __typename } query B { b: __typename }"
    response = await client.post({"query": query, "operationName": "B"})
    assert response.json() == {"data": {"b": "Query"}}
    (error,) = (await client.post({"query": query})).json()["errors"]
    assert "operation name" in error["message"]


@pytest.mark.parametrize(
    ("query", "message", "line"),
    [
        ("{ version", "Syntax Error: Expected Name, found <EOF>.", 1),
        ("{\n  versio }", "Cannot query field 'versio' on type 'Query'. Did you mean 'version'?", 2),
        (
            "{ getService { id } }",
            "Argument 'Query.getService(serviceId:)' of type 'String!' is required",
            1,
        ),
        ("{ version } fragment A on Query { version ...A }", "Cannot spread fragment 'A' within itself.", 1),
    ],
)
async def test_what_is_wrong_with_a_document_is_told_with_its_place(
    client: Client, query: str, message: str, line: int
) -> None:
    errors = await client.errors(query)
    error = next(error for error in errors if error["message"].startswith(message))
    assert error["locations"][0]["line"] == line
    assert error["extensions"] == {"code": "BAD_REQUEST"}
    assert client.counted("errors_total", code="BAD_REQUEST") == 1


async def test_a_wrong_variable_is_told(client: Client) -> None:
    (error,) = await client.errors(INSTANCES, d={"start": "2027", "end": "2027", "step": "MONTH"})
    assert "'MONTH' does not exist in 'Step' enum" in error["message"]
    assert error["extensions"] == {"code": "BAD_REQUEST"}


async def test_there_are_no_subscriptions(client: Client) -> None:
    assert await client.errors("subscription { a }")


async def test_parts_that_can_be_answered_are(client: Client) -> None:
    response = await client.post(
        {
            "query": """query ($d: Duration!) {
              version: __typename
              a: getGlobalTopology(duration: $d) { nodes { id } }
            }""",
            "variables": {"d": {**DAY, "step": "HOUR"}},
        }
    )
    body = response.json()
    assert body["data"] == {"version": "Query", "a": None}
    assert [error["path"] for error in body["errors"]] == [["a"]]


async def test_a_store_that_does_not_answer_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with asking(Failing()) as client:
        response = await client.post({"query": "{ listServices { id } }"})
        (error,) = response.json()["errors"]
        assert client.counted("errors_total", code="UNAVAILABLE") == 1
    assert response.json()["data"] is None
    assert error["message"] == "the disk is gone; the backend's log says more, try again in a moment"
    assert error["extensions"] == {"code": "UNAVAILABLE"}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_a_defect_is_in_the_log_and_not_in_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    async with asking(Defective()) as client:
        response = await client.post({"query": "{ listServices { id } }"})
        assert client.counted("errors_total", code="INTERNAL") == 1
    assert response.status_code == 200
    assert "secret" not in response.text
    (error,) = response.json()["errors"]
    assert error["message"] == "the backend failed to answer; its log has the reason, please report it"
    assert error["path"] == ["listServices"]
    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)


async def test_a_request_has_a_longest_time() -> None:
    async with asking(MemoryStorage()) as client:
        clock = client.clock

        class Late(Context):
            def take(self, values: int) -> None:
                super().take(values)
                clock.now += MAXIMUM_SECONDS + 1

        fields = " ".join(
            f'{name}: execExpression(expression: "1 + 1", entity: {{}}, duration: $d) {{ type }}' for name in "ab"
        )
        request = Request(f"query ($d: Duration!) {{ {fields} }}", {"d": DAY})
        late = Late(client.served._sources, clock)
        answered = await asyncio.to_thread(answer, request, late)
    assert answered.error == "BAD_REQUEST"
    assert b"the request took longer than 30 seconds: ask for less in one request" in answered.body
    assert answered.body.count(b'"path":["b"]') == 1


async def test_so_many_run_so_many_wait_and_others_are_refused() -> None:
    storage = Slow()
    async with asking(storage) as client:
        body = {"query": INSTANCES, "variables": {"d": DAY}}
        bodies = [
            {"query": INSTANCES, "variables": {"d": DAY, "s": str(number)}} for number in range(RUNNING + WAITING)
        ]
        asked = [asyncio.create_task(client.post(one)) for one in bodies]
        await eventually(lambda: client.served._answering.present >= RUNNING + WAITING, pause=0)
        for _ in range(RUNNING):
            assert await asyncio.to_thread(storage.asked.acquire, timeout=120)
        refused = await client.post(body)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["errors"] == [
            {
                "message": "128 requests are waiting for an answer already: try again in a moment, and ask less often",
                "extensions": {"code": "UNAVAILABLE"},
            }
        ]
        assert client.counted("refused_total", cause="busy") == 1
        assert not storage.asked.acquire(blocking=False)  # no more than RUNNING were begun
        page = await client.http.get("/graphql")
        assert page.status_code == 200
        storage.let.set()
        answers = await asyncio.gather(*asked)
        assert [response.json() for response in answers] == [{"data": {"listInstances": []}}] * len(asked)
        assert client.counted("seconds_count") == RUNNING + WAITING
        assert (await client.post(body)).status_code == 200


async def test_a_document_that_was_kept_is_answered_as_before(client: Client) -> None:
    for _ in range(2):
        for number in range(KEPT_DOCUMENTS + 1):
            assert await client.answer(f"{{ a{number}: __typename }}") == {f"a{number}": "Query"}


WORDS = (
    *("{", "}", "(", ")", "[", "]", ":", "!", "...", "#", "1", '"x"', "$d", "null", "true"),
    *("query", "fragment", "on", "@skip", "if", "version", "listServices", "layer", "id"),
)


@settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(st.lists(st.sampled_from(WORDS), max_size=30))
def test_whatever_is_asked_is_answered(client: Client, words: list[str]) -> None:
    answered = answer(Request(" ".join(words)), Context(client.served._sources))
    assert answered.body.startswith((b'{"data":', b'{"errors":'))
    assert answered.error in {"", "BAD_REQUEST"}
