import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from backend.ingest.status import CallError, Status
from backend.server.calls import Call, Disconnected, Handler, Reply
from backend.server.grpc import GrpcApplication, is_grpc
from backend.server.tokens import Token

WORD = "secret"
HEADERS = [(b"content-type", b"application/grpc"), (b"te", b"trailers")]


class Exchange:
    """One request to an ASGI application, without a server."""

    def __init__(self, *chunks: bytes, headers: list[tuple[bytes, bytes]] | None = None, method: str = "POST") -> None:
        self.sent: list[dict[str, Any]] = []
        self._chunks = list(chunks)
        self._scope = {"type": "http", "method": method, "path": "/s/m", "headers": headers or HEADERS}

    async def receive(self) -> dict[str, Any]:
        if not self._chunks:
            return {"type": "http.disconnect"}
        body = self._chunks.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(self._chunks)}

    async def send(self, event: MutableMapping[str, Any]) -> None:
        self.sent.append(dict(event))

    async def run(self, application: GrpcApplication, path: str = "/s/m") -> "Exchange":
        await application({**self._scope, "path": path}, self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def metadata(self) -> dict[bytes, bytes]:
        """Headers and trailers."""
        return {name: value for event in self.sent for name, value in event.get("headers", ())}


def application(handler: Handler | None = None, token: str = "") -> GrpcApplication:
    async def echo(call: Call) -> Reply:
        return Reply(await call.message(100), ((b"x-seen", b"yes"),))

    made = GrpcApplication({"/s/m": handler or echo}, Token(token))
    made.open({})
    return made


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


async def test_an_answer_is_a_message_and_trailers() -> None:
    exchange = await Exchange(framed(b"hello")).run(application())
    assert [event["type"] for event in exchange.sent] == [
        "http.response.start",
        "http.response.body",
        "http.response.trailers",
    ]
    assert exchange.sent[0]["trailers"] is True
    assert exchange.sent[1]["body"] == framed(b"hello")
    assert exchange.sent[2]["headers"] == [(b"grpc-status", b"0"), (b"x-seen", b"yes")]


async def test_an_error_is_trailers_with_its_message_percent_encoded() -> None:
    async def fail(_call: Call) -> Reply:
        raise CallError(Status.RESOURCE_EXHAUSTED, "100% voll: ü\n~")

    exchange = await Exchange(b"").run(application(fail))
    assert exchange.sent[1]["body"] == b""
    assert [name for name, _ in exchange.sent[2]["headers"]] == [b"grpc-status", b"grpc-message"]
    assert exchange.metadata[b"grpc-status"] == b"8"
    assert exchange.metadata[b"grpc-message"] == b"100%25 voll: %C3%BC%0A~"
    assert exchange.status == 200


async def test_an_unknown_method_is_unimplemented_and_counted_under_one_name() -> None:
    made = application()
    for path in ("/s/other", "/", "/s/m/", "/S/m"):
        exchange = await Exchange(b"").run(made, path)
        assert exchange.metadata[b"grpc-status"] == b"12"
    assert made.calls == {("unknown", "UNIMPLEMENTED"): 4}


async def test_before_it_is_open_only_what_was_given_first_is_served() -> None:
    async def empty(_call: Call) -> Reply:
        return Reply()

    made = GrpcApplication({"/first": empty})
    assert (await Exchange(b"").run(made, "/first")).metadata[b"grpc-status"] == b"0"
    assert (await Exchange(b"").run(made, "/s/m")).metadata[b"grpc-status"] == b"14"
    made.open({"/s/m": empty})
    assert (await Exchange(b"").run(made, "/s/m")).metadata[b"grpc-status"] == b"0"
    assert (await Exchange(b"").run(made, "/other")).metadata[b"grpc-status"] == b"12"


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS"])
async def test_another_method_is_not_allowed(method: str) -> None:
    exchange = await Exchange(b"", method=method).run(application())
    assert exchange.status == 405
    assert exchange.metadata[b"allow"] == b"POST"


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (b"application/grpc", 200),
        (b"application/grpc+proto", 200),
        (b"application/grpc; charset=utf-8", 200),
        (b"application/grpc+json", 415),
        (b"application/grpc-web", 415),
    ],
)
async def test_the_content_type_says_whether_it_is_protobuf(content_type: bytes, status: int) -> None:
    exchange = await Exchange(framed(b""), headers=[(b"content-type", content_type)]).run(application())
    assert exchange.status == status


def test_what_begins_like_grpc_is_for_grpc_to_answer() -> None:
    assert is_grpc({"headers": [(b"content-type", b"application/grpc+json")]})
    assert not is_grpc({"headers": [(b"content-type", b"application/json")]})
    assert not is_grpc({"headers": []})


async def test_a_handler_that_fails_is_internal_and_its_words_stay_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_call: Call) -> Reply:
        raise ValueError("a secret")

    exchange = await Exchange(b"").run(application(fail))
    assert exchange.metadata[b"grpc-status"] == b"13"
    assert b"secret" not in exchange.metadata[b"grpc-message"]
    assert "a secret" in caplog.text


async def test_a_client_that_has_gone_is_not_answered() -> None:
    made = application()
    exchange = await Exchange().run(made)
    assert exchange.sent == []
    assert made.calls == {("/s/m", "CANCELLED"): 1}


@pytest.mark.parametrize("limit", [b"1m", b"1000u", b"999999n"])
async def test_a_deadline_that_passes(limit: bytes) -> None:
    async def wait(_call: Call) -> Reply:
        await asyncio.Event().wait()
        return Reply()

    exchange = await Exchange(b"", headers=[*HEADERS, (b"grpc-timeout", limit)]).run(application(wait))
    assert exchange.metadata[b"grpc-status"] == b"4"


@pytest.mark.parametrize("limit", [b"99999999H", b"10M", b"60S"])
async def test_a_deadline_that_does_not_pass(limit: bytes) -> None:
    exchange = await Exchange(framed(b""), headers=[*HEADERS, (b"grpc-timeout", limit)]).run(application())
    assert exchange.metadata[b"grpc-status"] == b"0"


@pytest.mark.parametrize("limit", [b"", b"1", b"S", b"-1S", b"123456789S", b"1s", b"1.5S", "1\u0661S".encode()])
async def test_a_deadline_that_is_no_time_is_internal(limit: bytes) -> None:
    exchange = await Exchange(framed(b""), headers=[*HEADERS, (b"grpc-timeout", limit)]).run(application())
    assert exchange.metadata[b"grpc-status"] == b"13"


async def test_a_timeout_of_the_handler_itself_is_not_the_clients() -> None:
    async def fail(_call: Call) -> Reply:
        raise TimeoutError

    exchange = await Exchange(b"", headers=[*HEADERS, (b"grpc-timeout", b"1H")]).run(application(fail))
    assert exchange.metadata[b"grpc-status"] == b"13"


@pytest.mark.parametrize(("sent", "status"), [(b"secret", b"0"), (b"Secret", b"7"), (b"", b"7"), (b"secret2", b"7")])
async def test_a_token_must_be_the_same(sent: bytes, status: bytes) -> None:
    exchange = await Exchange(framed(b""), headers=[*HEADERS, (b"authentication", sent)]).run(application(token=WORD))
    assert exchange.metadata[b"grpc-status"] == status


async def test_a_token_is_asked_for_before_anything_is_said_about_methods() -> None:
    exchange = await Exchange(b"").run(application(token=WORD), "/other")
    assert exchange.metadata[b"grpc-status"] == b"7"


@pytest.mark.parametrize(
    ("chunks", "status"),
    [
        ((framed(b"a"),), b"0"),
        ((framed(b"")[:3], framed(b"")[3:]), b"0"),
        ((framed(b"a"), b""), b"0"),
        ((b"",), b"3"),
        ((framed(b"a") * 2,), b"3"),
        ((framed(b"a"), framed(b"b")), b"3"),
        ((framed(b"a")[:-1],), b"13"),
        ((framed(b"a") + b"\0",), b"13"),
        ((framed(b"a" * 101),), b"8"),
    ],
)
async def test_a_call_of_one_message_takes_exactly_one(chunks: tuple[bytes, ...], status: bytes) -> None:
    exchange = await Exchange(*chunks).run(application())
    assert exchange.metadata[b"grpc-status"] == status


async def test_disconnected_is_raised_to_the_handler() -> None:
    seen = []

    async def read(call: Call) -> Reply:
        try:
            return Reply(await call.message(10))
        except Disconnected as error:
            seen.append(error)
            raise

    await Exchange().run(application(read))
    assert len(seen) == 1
