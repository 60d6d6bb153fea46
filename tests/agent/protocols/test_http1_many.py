"""Heads that are read together say what each says by itself, whatever their bytes; and plain ones are read together."""

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.protocols import http1_many
from agent.protocols.http1_head import end_of_head, request_head, response_head
from agent.protocols.http1_many import AT_ONCE, read_request_heads, read_response_heads
from tests.fuzz import http1_heads
from tests.fuzz.mutations import run

TRACE, SPAN = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"
PLAIN_REQUESTS = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET /a?b=c?d HTTP/1.0\r\nHost: shop:8080\r\nAccept: */*\r\n\r\n",
    b"POST /a%20b HTTP/1.1\r\nHOST:shop\r\ncontent-length: 12345678\r\n\r\n",
    b"PUT /a HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: Chunked\r\n\r\n",
    b"DELETE /a HTTP/1.1\r\nHost: shop\r\nupgrade-insecure-requests: 1\r\n\r\n",
    b"PATCH /a HTTP/1.1\nHost: shop\nContent-Length: 0\n\n".replace(b"HTTP/1.1\n", b"HTTP/1.1\r\n"),
    b"HEAD /a HTTP/1.1\r\nHost: shop\r\nX-Host: other\r\nhost2: other\r\n\r\n",
    b"OPTIONS /" + b"p" * 3_900 + b" HTTP/1.1\r\nHost: " + b"h" * 1_025 + b"\r\n\r\n",
    b"GET /a HTTP/1.1\r\nTraceParent: 00-%b-%b-01\r\n\r\n" % (TRACE, SPAN),
    b"GET /a HTTP/1.1\r\ntraceparent: 00-%b-%b-01\r\n\r\n" % (b"0" * 32, SPAN),
    b"GET /a HTTP/1.1\r\ntraceparent: 00-%b-%b-01\r\n\r\n" % (TRACE, b"0" * 16),
    b"GET /a HTTP/1.1\r\ntraceparent: 00-%b-%b-0\r\n\r\n" % (TRACE, SPAN),
    b"GET /a HTTP/1.1\r\ntraceparent: 00-%b-%b-0g\r\n\r\n" % (TRACE, SPAN),
    b"GET /a HTTP/1.1\r\ntraceparent: 00-%b_%b-01\r\n\r\n" % (TRACE, SPAN),
    b"GET /a HTTP/1.1\r\ntraceparent: ff-%b-%b-01\r\n\r\n" % (TRACE, SPAN),
    b"GET /a HTTP/1.1\r\ntraceparent: 01-%b-%b-01-more\r\n\r\n" % (TRACE, SPAN),
    b"GET /a HTTP/1.1\r\ntraceparent: 00-%b-%b-01\r\nb3: %b-%b\r\n\r\n" % (TRACE, SPAN, SPAN, SPAN),
    b"GET /a HTTP/1.1\r\nX-B3-TraceId: %b\r\nx-b3-spanid: %b\r\n\r\n" % (TRACE, SPAN),
    b"GET /a HTTP/1.1\r\nsw8: 1-VFJBQ0U=-U0VHTUVOVA==-3-UEFSRU5U-SU5T-RU5EUE9JTlQ=-QUREUkVTUw==\r\n\r\n",
    b"GET /a HTTP/1.1\r\nsw8: %b\r\nb3: %b-%b\r\n\r\n" % (b"x" * 2_100, SPAN, SPAN),
]
PLAIN_RESPONSES = [
    b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.0 404\r\ncontent-length:0\r\n\r\n",
    b"HTTP/1.1 500 \r\nTRANSFER-ENCODING: chunked\r\nContent-Length: 7\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nUpgrade: h2c\r\nHost: no\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 \xfcber\r\nA: \xff\r\nContent-Length: 99999999\r\n\r\n",
]
ODD_REQUESTS = [
    b"GET /a HTTP/1.1\nHost: shop\n\n",
    b"GET http://shop/a HTTP/1.1\r\n\r\n",
    b"GET * HTTP/1.1\r\n\r\n",
    b"GET  /a HTTP/1.1\r\n\r\n",
    b"GET /a\tb HTTP/1.1\r\n\r\n",
    b"GET /a b HTTP/1.1\r\n\r\n",
    b"GET /a\tHTTP/1.1\r\n\r\n",
    b"GET /a\x01HTTP/1.1\r\n\r\n",
    b"GET /\ntraceparent:x\n\n",
    b"traceparent:x\n\n",
    b"GET /a HTTP/1.2\r\n\r\n",
    b"GET /aHTTP/1.1\r\n\r\n",
    b"GET /a XTTP/1.1\r\n\r\n",
    b"GET HTTP/1.1\r\n\r\n",
    b"G\r\n\r\n",
    b"\n\n",
    b"PROPFIND /a HTTP/1.1\r\n\r\n",
    b"CONNECT shop:80 HTTP/1.1\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: one\r\nHost: two\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost:  two \r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost:\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost:\r\n shop\r\n\r\n",
    b"GET /a HTTP/1.1\r\nA: b\r\n\tHost: no\r\n\r\n",
    b"POST /a HTTP/1.1\r\nContent-Length: 7\r\ncontent-length: 7\r\n\r\n",
    b"POST /a HTTP/1.1\r\nContent-Length: 1_0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n",
    b"POST /a HTTP/1.1\r\nContent-Length: 123456789\r\n\r\n",
    b"POST /a HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    b"PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n",
    b"PUT /a HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"PUT /a HTTP/1.1\r\nTransfer-Encoding: chunkedx\r\n\r\n",
    b"GET /a HTTP/1.1\r\nUpgrade: h2c\r\n\r\n",
]
ODD_RESPONSES = [
    b"HTTP/1.1 200 OK\nContent-Length: 5\n\n",
    b"HTTP/1.1 200 O\rK\r\n\r\n",
    b"HTTP/1.1 200OK\r\n\r\n",
    b"HTTP/1.1 020 OK\r\n\r\n",
    b"HTTP/1.1  200 OK\r\n\r\n",
    b"HTTP/1.1 20\r\n\r\n",
    b"HTTP/1.1 2000\r\n\r\n",
    b"HTTP/2 200 OK\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"H\n\n",
]
BYTES = st.sampled_from(
    [bytes((byte,)) for byte in b"\r\n\t :?/aZ09-\x00\x01\x0b\x85\xa0\xb2\xff"]
    + [b"\r\n", b"host", b"HTTP/1.1", b"chunked"]
)


def whole(data: bytes) -> bytes:
    """The head that some bytes begin with, ended where they have no end."""
    data = (data or b"x") + b"\r\n\r\n"
    return data[: end_of_head(data, 0)]


def damaged(plain: list[bytes]) -> st.SearchStrategy[bytes]:
    """Heads in which something was put in the place of something else."""
    return st.builds(
        lambda head, at, size, part: whole(head[: at % len(head)] + part + head[at % len(head) + size :]),
        st.sampled_from(plain),
        st.integers(0, 4_096),
        st.integers(0, 12),
        st.lists(BYTES, max_size=3).map(b"".join),
    )


def check(requests: list[bytes], responses: list[bytes]) -> None:
    assert read_request_heads(requests) == [request_head(head) for head in requests]
    assert read_response_heads(responses) == [response_head(head) for head in responses]


def test_plain_heads_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(head: bytes) -> None:
        raise AssertionError(f"{head!r} was read by itself")

    monkeypatch.setattr(http1_many, "request_head", never)
    monkeypatch.setattr(http1_many, "response_head", never)
    for requests, responses in ((PLAIN_REQUESTS, PLAIN_RESPONSES), (PLAIN_REQUESTS[::-1], PLAIN_RESPONSES[::-1])):
        check(requests, responses)
    for head in PLAIN_REQUESTS:
        check([head], [])
    for head in PLAIN_RESPONSES:
        check([], [head])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_heads_that_are_not_plain_are_read_by_themselves(count: int) -> None:
    source = random.Random(count)
    for number in range(max(len(ODD_REQUESTS), len(ODD_RESPONSES))):
        requests = [ODD_REQUESTS[number % len(ODD_REQUESTS)], *source.choices(PLAIN_REQUESTS, k=count)]
        responses = [ODD_RESPONSES[number % len(ODD_RESPONSES)], *source.choices(PLAIN_RESPONSES, k=count)]
        source.shuffle(requests)
        source.shuffle(responses)
        check(requests, responses)


@given(st.lists(damaged(PLAIN_REQUESTS), max_size=5), st.lists(damaged(PLAIN_RESPONSES), max_size=5))
@example([b"G\n\n"], [b"H\n\n"])
def test_whatever_the_heads_each_says_what_it_says_by_itself(requests: list[bytes], responses: list[bytes]) -> None:
    check(requests, responses)


@given(st.lists(st.binary(max_size=40).map(whole), max_size=5))
def test_random_bytes_are_no_heads_in_either_way(heads: list[bytes]) -> None:
    check(heads, heads)


def test_heads_that_are_too_many_bytes_for_one_step_are_read_in_several() -> None:
    count = 3 * AT_ONCE // 4_000
    padding = b"X: %b\r\n\r\n" % (b"x" * 3_900)
    requests = [b"GET /%d HTTP/1.1\r\n" % number + padding for number in range(count)]
    responses = [b"HTTP/1.1 %d OK\r\n" % (200 + number % 300) + padding for number in range(count)]
    check(requests, responses)


def test_damaged_heads() -> None:
    run(http1_heads.target, seed=1, rounds=1_500)
