import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocols import http1_head
from agent.protocols.exchange import TraceContext, TraceProvider
from agent.protocols.http1_head import (
    CHUNKED,
    MAXIMUM_HOST,
    MAXIMUM_PATH,
    NOT_UNDERSTOOD,
    UNTIL_END,
    RequestHead,
    ResponseHead,
    end_of_head,
    request_head,
    response_head,
)


def request(fields: bytes = b"", line: bytes = b"GET /a HTTP/1.1") -> RequestHead:
    head = request_head(line + b"\r\n" + fields + b"\r\n")
    assert head is not None
    return head


def response(fields: bytes = b"", line: bytes = b"HTTP/1.1 200 OK") -> ResponseHead:
    head = response_head(line + b"\r\n" + fields + b"\r\n")
    assert head is not None
    return head


@pytest.mark.parametrize(
    "line", [b"GET /a HTTP/1.1", b"!#$%&'*+-.^_`|~09AZaz /a HTTP/1.0", b"X" * 64 + b" /a HTTP/1.9"]
)
def test_any_token_is_a_method(line: bytes) -> None:
    head = request(line=line)
    assert head.method == line.split()[0].decode()
    assert head.path == "/a"


@pytest.mark.parametrize(
    "line",
    [
        b"GET /a",
        b"GET /a HTTP/2.0",
        b"GET  /a HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GE(T /a HTTP/1.1",
        b" GET /a HTTP/1.1",
        b"GET /a http/1.1",
        b"GET /a HTTP/1.1 ",
        b"X" * 65 + b" /a HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"",
    ],
)
def test_lines_that_are_no_request_lines(line: bytes) -> None:
    assert request_head(line + b"\r\n\r\n") is None


@pytest.mark.parametrize("line", [b"HTTP/1.1 200 OK", b"HTTP/1.0 200 ", b"HTTP/1.1 200", b"HTTP/1.1 200 \xfc b c"])
def test_status_lines(line: bytes) -> None:
    assert response(line=line).status == 200


@pytest.mark.parametrize(
    "line", [b"HTTP/2 200 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 20", b"HTTP/1.1 020 OK", b"ICY 200 OK", b" HTTP/1.1 200"]
)
def test_lines_that_are_no_status_lines(line: bytes) -> None:
    assert response_head(line + b"\r\n\r\n") is None


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"/", "/", ""),
        (b"/a/b?c=d?e", "/a/b", ""),
        (b"/a%20b/%C3%A4", "/a%20b/%C3%A4", ""),
        (b"/a\xe4", "/aä", ""),
        (b"http://shop:80/a?b", "/a", "shop:80"),
        (b"http://shop?b=/c", "/", "shop"),
        (b"http://me:secret@shop", "/", "shop"),
        (b"*", "*", ""),
        (b"a?b", "a", ""),
    ],
)
def test_targets(target: bytes, path: str, host: str) -> None:
    head = request(line=b"GET " + target + b" HTTP/1.1")
    assert (head.path, head.host) == (path, host)


def test_an_authority_is_a_path_and_a_host() -> None:
    head = request(line=b"CONNECT db:5432 HTTP/1.1")
    assert (head.method, head.path, head.host) == ("CONNECT", "db:5432", "db:5432")


def test_the_host_field_goes_before_the_targets_host() -> None:
    assert request(b"Host: shop\r\n", b"GET http://other/a HTTP/1.1").host == "shop"


def test_long_paths_and_hosts_are_cut() -> None:
    head = request(b"Host: " + b"h" * 5_000 + b"\r\n", b"GET /" + b"p" * 9_000 + b" HTTP/1.1")
    assert (len(head.path), len(head.host)) == (MAXIMUM_PATH, MAXIMUM_HOST)


@pytest.mark.parametrize(
    "fields",
    [
        b"Host: shop\r\n",
        b"hOSt:shop\r\n",
        b"A: b\r\nHOST: \t shop \t\r\nC: d\r\n",
        b"Host:\r\n shop\r\n",
        b"A: b\r\n\tHost: no\r\nHost: shop\r\n",
        b"Host: shop\nA: b\n",
        b"X-Host: no\r\nHost: shop\r\nHost: second\r\n",
    ],
)
def test_fields_are_found_however_they_are_written(fields: bytes) -> None:
    assert request(fields).host == "shop"


@pytest.mark.parametrize(
    ("fields", "of_request", "of_response"),
    [
        (b"", 0, UNTIL_END),
        (b"Content-Length: 0\r\n", 0, 0),
        (b"content-length:42\r\n", 42, 42),
        (b"Content-Length: 7\r\nA: b\r\ncontent-length: 7\r\n", 7, 7),
        (b"Content-Length: 7, 7,7\r\n", 7, 7),
        (b"Content-Length: 7\r\nContent-Length: 8\r\n", NOT_UNDERSTOOD, NOT_UNDERSTOOD),
        (b"Content-Length: 7, 8\r\n", NOT_UNDERSTOOD, NOT_UNDERSTOOD),
        (b"Content-Length: -1\r\n", NOT_UNDERSTOOD, NOT_UNDERSTOOD),
        (b"Content-Length: +1\r\n", NOT_UNDERSTOOD, NOT_UNDERSTOOD),
        (b"Content-Length: 1_0\r\n", NOT_UNDERSTOOD, NOT_UNDERSTOOD),
        (b"Content-Length:\r\n", NOT_UNDERSTOOD, NOT_UNDERSTOOD),
        (b"Content-Length: " + b"9" * 19 + b"\r\n", NOT_UNDERSTOOD, NOT_UNDERSTOOD),
        (b"Transfer-Encoding: chunked\r\n", CHUNKED, CHUNKED),
        (b"Transfer-Encoding: gzip, Chunked\r\nContent-Length: 9\r\n", CHUNKED, CHUNKED),
        (b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", CHUNKED, CHUNKED),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", NOT_UNDERSTOOD, UNTIL_END),
        (b"Transfer-Encoding: gzip\r\n", NOT_UNDERSTOOD, UNTIL_END),
    ],
)
def test_how_the_end_of_a_body_is_found(fields: bytes, of_request: int, of_response: int) -> None:
    assert request(fields).body == of_request
    assert response(fields).body == of_response


def test_what_a_request_expects_and_offers() -> None:
    head = request(b"Content-Length: 1\r\nExpect: 100-Continue\r\nUpgrade: H2C, other\r\n")
    assert head.expects_continue
    assert head.upgrade == "h2c, other"
    plain = request()
    assert not plain.expects_continue
    assert plain.upgrade == ""


def test_trailers_are_announced() -> None:
    fields = b"Transfer-Encoding: chunked\r\nTrailer: Digest\r\n"
    assert request(fields).announces_trailers
    assert response(fields).announces_trailers
    assert not response(b"Transfer-Encoding: chunked\r\nX-Trailer: a\r\n").announces_trailers


SW8 = b"1-VFJBQ0U=-U0VHTUVOVA==-3-UEFSRU5U-SU5TVEFOQ0U=-RU5EUE9JTlQ=-QUREUkVTUw=="
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("fields", "context"),
    [
        (b"sw8: " + SW8, TraceContext(TraceProvider.SKYWALKING, "TRACE", "SEGMENT", "3")),
        (b"b3: %b-%b-1" % (TRACE.encode(), SPAN.encode()), TraceContext(TraceProvider.ZIPKIN, TRACE, "", SPAN)),
        (
            b"X-B3-TraceId: %b\r\nX-B3-SpanId: %b" % (TRACE.encode(), SPAN.encode()),
            TraceContext(TraceProvider.ZIPKIN, TRACE, "", SPAN),
        ),
        (
            b"Traceparent: 00-%b-%b-01" % (TRACE.encode(), SPAN.encode()),
            TraceContext(TraceProvider.ZIPKIN, TRACE, "", SPAN),
        ),
        (
            b"traceparent: 00-%b-%b-01\r\nSW8: %b" % (TRACE.encode(), SPAN.encode(), SW8),
            TraceContext(TraceProvider.SKYWALKING, "TRACE", "SEGMENT", "3"),
        ),
        (b"sw8: " + b"x" * 3_000, None),
        (b"X-B3-SpanId: 00f067aa0ba902b7", None),
    ],
)
def test_traces(fields: bytes, context: TraceContext | None) -> None:
    assert request(fields + b"\r\n").trace == context


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"", -1),
        (b"a\r\nb\r\n", -1),
        (b"a\r\n\r\nrest\n\n", 5),
        (b"a\n\nrest\r\n\r\n", 3),
        (b"a\n\r\nrest", 4),
        (b"a\r\n\nrest", 4),
        (b"a\n\n\r\nrest", 3),
    ],
)
def test_where_a_head_ends(data: bytes, end: int) -> None:
    assert end_of_head(data, 0) == end


@given(st.lists(st.sampled_from([b"\r", b"\n", b"a"]), max_size=12).map(b"".join), st.integers(0, 12))
def test_a_head_ends_where_a_pattern_finds_its_end(data: bytes, start: int) -> None:
    found = re.compile(rb"\n\r?\n").search(data, start)
    assert end_of_head(data, start) == (found.end() if found else -1)


@pytest.mark.parametrize("complete", [b"GET /a/b?c HTTP/1.1\r\n", b"PROPFIND * HTTP/1.0\n"])
def test_every_part_of_a_request_line_may_become_one(complete: bytes) -> None:
    for end in range(1, len(complete)):
        assert http1_head.REQUEST_START_CUT.match(complete[:end]), complete[:end]
    assert http1_head.REQUEST_START.match(complete)


@pytest.mark.parametrize("complete", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 404\n"])
def test_every_part_of_a_status_line_may_become_one(complete: bytes) -> None:
    for end in range(1, len(complete)):
        assert http1_head.RESPONSE_START_CUT.match(complete[:end]), complete[:end]
    assert http1_head.RESPONSE_START.match(complete)
