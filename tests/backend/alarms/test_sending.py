"""Requests to real servers that answer, do not answer, and answer what is none."""

import pytest

from backend.alarms.sending import SendingError, post, target_of
from tests.backend.alarms.receivers import answer, receiving

LONG = 60.0
"""Seconds that no test waits for."""


async def test_a_request_is_what_another_implementation_reads() -> None:
    async with receiving() as receiver:
        await post(receiver.url, "é".encode() * 100_000, {"X-A": "b c"}, LONG)
    (request,) = receiver.requests
    assert (request.method, request.target) == (b"POST", b"/hook?secret=s3cret")
    assert receiver.bodies == ["é".encode() * 100_000]
    authority = receiver.url.removeprefix("http://").partition("/")[0]
    assert receiver.headers() == {
        "host": authority,
        "content-type": "application/json",
        "content-length": "200000",
        "connection": "close",
        "x-a": "b c",
    }


@pytest.mark.parametrize("status", [200, 202, 204, 299])
async def test_any_success_is_one(status: int) -> None:
    async with receiving(answer(status)) as receiver:
        await post(receiver.url, b"[]", {}, LONG)
    assert len(receiver.bodies) == 1


async def test_informational_answers_are_passed_over() -> None:
    async with receiving(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer(200)) as receiver:
        await post(receiver.url, b"[]", {}, LONG)


@pytest.mark.parametrize(
    ("told", "reason", "again"),
    [
        (answer(301, "Location: http://127.0.0.1:1/\r\n"), "it answered 301", False),
        (answer(400), "it answered 400", False),
        (answer(404), "it answered 404", False),
        (answer(408), "it answered 408", True),
        (answer(429), "it answered 429", True),
        (answer(500), "it answered 500", True),
        (answer(503), "it answered 503", True),
        (b"SSH-2.0-x\r\n\r\n", "what it answered is not HTTP/1.1", False),
        (b"HTTP/1.1 999 No\r\n\r\n", "what it answered is not HTTP/1.1", False),
        (b"", "it cannot be reached: IncompleteReadError", True),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000, "it cannot be reached: LimitOverrunError", True),
    ],
)
async def test_an_answer_that_is_no_success_says_so(told: bytes, reason: str, again: bool) -> None:  # noqa: FBT001 - of a table
    async with receiving(told) as receiver:
        with pytest.raises(SendingError) as raised:
            await post(receiver.url, b"[]", {}, LONG)
    assert (str(raised.value), raised.value.again) == (reason, again)


async def test_silence_ends_in_time() -> None:
    async with receiving(None) as receiver:
        with pytest.raises(SendingError, match=r"no answer within 0\.05 seconds") as raised:
            await post(receiver.url, b"[]", {}, 0.05)
    assert raised.value.again


async def test_a_port_that_nobody_listens_on() -> None:
    async with receiving() as receiver:
        url = receiver.url
    with pytest.raises(SendingError, match="it cannot be reached: Connection refused") as raised:
        await post(url, b"[]", {}, LONG)
    assert raised.value.again
    assert "s3cret" not in str(raised.value)


async def test_a_server_without_tls_is_no_secure_one() -> None:
    async with receiving() as receiver:
        with pytest.raises(SendingError, match="it cannot be reached"):
            await post(receiver.url.replace("http:", "https:"), b"[]", {}, LONG)
    assert receiver.bodies == []


@pytest.mark.parametrize(
    ("url", "host", "port", "authority", "path"),
    [
        ("http://h", "h", 80, "h", "/"),
        ("https://h/a?b=c#d", "h", 443, "h", "/a?b=c"),
        ("http://[::1]:81/", "::1", 81, "[::1]:81", "/"),
    ],
)
def test_where_a_url_points(url: str, host: str, port: int, authority: str, path: str) -> None:
    found = target_of(url)
    assert (found.host, found.port, found.authority, found.path) == (host, port, authority, path)
    assert found.secure is url.startswith("https")
