"""What is told of an exchange over HTTP/2."""

import pytest

from agent.protocols.exchange import Exchange, Half, TraceContext, TraceProvider, Version
from tests.agent.protocols.http2_facts import facts, sizes, with_connection
from tests.agent.protocols.http2_wire import (
    CALL,
    GET,
    GRPC_OK,
    OK,
    Fields,
    World,
    reset,
)

CONTINUE: Fields = ((":status", "100"),)
EARLY_HINTS: Fields = ((":status", "103"), ("link", "</style.css>"))


def test_a_get() -> None:
    world = with_connection()
    assert world.requests(world.client.headers(1, GET, ends=True)) == []
    assert world.parser.is_busy
    assert world.responses(world.server.headers(1, OK)) == []
    (exchange,) = world.responses(world.server.data(1, b"hello", ends=True))
    assert exchange == Exchange(
        Version.HTTP2,
        "GET",
        "/items",
        "shop:8080",
        200,
        Half(1_301, 1_302, 1_300, 1_300, world.client.header_bytes[1], 0),
        Half(1_401, 1_502, 1_400, 1_500, world.server.header_bytes[1], 5),
    )
    assert world.begun == [exchange]
    assert world.begun[0] is exchange
    assert (world.parser.is_busy, world.losses) == (False, {})


def test_a_call_of_grpc() -> None:
    world = with_connection()
    world.requests(world.client.headers(1, CALL) + world.client.data(1, b"\0\0\0\0\2ab", ends=True))
    (exchange,) = world.responses(
        world.server.headers(1, OK), world.server.data(1, b"\0\0\0\0\1c"), world.server.headers(1, GRPC_OK, ends=True)
    )
    assert facts(exchange) == ("POST", "/shop.Cart/Add", "cart:50051", 200)
    assert sizes(exchange) == (world.client.header_bytes[1], 7, world.server.header_bytes[1], 6)
    assert exchange.grpc_status == 0


def test_a_call_of_grpc_that_fails_with_trailers_only() -> None:
    world = with_connection()
    world.requests(world.client.headers(1, CALL) + world.client.data(1, b"", ends=True))
    (exchange,) = world.responses(world.server.headers(1, (*OK, ("grpc-status", "14")), ends=True))
    assert (exchange.status, exchange.grpc_status) == (200, 14)


@pytest.mark.parametrize("status", ["", "x", "-1", "1" * 20, "\u00b2"])
def test_a_grpc_status_that_is_no_number_is_none(status: str) -> None:
    world = with_connection()
    world.requests(world.client.headers(1, CALL, ends=True))
    (exchange,) = world.responses(world.server.headers(1, (*OK, ("grpc-status", status)), ends=True))
    assert exchange.grpc_status is None


def test_a_response_may_be_seen_before_its_request() -> None:
    world = with_connection()
    response = world.server.headers(3, OK) + world.server.data(3, b"abc", ends=True)
    assert world.responses(response) == []
    world.requests(world.client.headers(1, GET, ends=True))
    (exchange,) = world.requests(world.client.headers(3, CALL, ends=True))
    assert facts(exchange) == ("POST", "/shop.Cart/Add", "cart:50051", 200)
    assert exchange.response.body_bytes == 3
    assert world.begun[-1] is exchange


def test_a_stream_reset_by_the_client() -> None:
    world = with_connection()
    world.requests(world.client.headers(1, GET, ends=True), world.client.headers(3, GET, ends=True))
    world.responses(world.server.headers(3, OK), world.server.data(3, b"ab"))
    assert [facts(one)[3] for one in world.requests(reset(1))] == [0]
    (exchange,) = world.requests(reset(3))
    assert (exchange.status, exchange.response.body_bytes) == (200, 2)
    assert world.responses(world.server.headers(1, OK, ends=True) + world.server.data(3, b"c", ends=True)) == []
    assert world.losses == {}


def test_a_stream_reset_by_the_server() -> None:
    world = with_connection()
    world.requests(world.client.headers(1, GET, ends=True))
    (exchange,) = world.responses(reset(1))
    assert exchange.status == 0


def test_interim_responses_add_to_the_header_bytes() -> None:
    world = with_connection()
    world.requests(world.client.headers(1, (*CALL, ("expect", "100-continue"))))
    world.responses(world.server.headers(1, CONTINUE), world.server.headers(1, EARLY_HINTS))
    world.requests(world.client.data(1, b"ab", ends=True))
    (exchange,) = world.responses(world.server.headers(1, ((":status", "201"),), ends=True))
    assert exchange.status == 201
    assert exchange.response.header_bytes == world.server.header_bytes[1]
    assert exchange.response.first_call_ns == 1_400


def test_trailers_of_requests_and_responses_add_to_the_header_bytes() -> None:
    world = with_connection()
    world.requests(world.client.headers(1, CALL), world.client.headers(1, (("checksum", "1"),), ends=True))
    (exchange,) = world.responses(world.server.headers(1, OK) + world.server.headers(1, (("a", "b"),), ends=True))
    assert sizes(exchange) == (world.client.header_bytes[1], 0, world.server.header_bytes[1], 0)


def test_padding_and_priority_are_no_part_of_the_sizes() -> None:
    world = with_connection()
    world.requests(
        world.client.headers(1, CALL, padding=9, priority=True, cuts=(3, 3, 20)),
        world.client.data(1, b"abc", padding=0) + world.client.data(1, b"", padding=255, ends=True),
    )
    (exchange,) = world.responses(
        world.server.headers(1, OK, padding=0, cuts=(0, 1)), world.server.data(1, b"12345", padding=7, ends=True)
    )
    assert facts(exchange) == ("POST", "/shop.Cart/Add", "cart:50051", 200)
    assert sizes(exchange) == (world.client.header_bytes[1], 3, world.server.header_bytes[1], 5)


def test_a_promised_exchange_has_its_promised_request() -> None:
    world = with_connection()
    world.requests(world.client.headers(1, GET, ends=True))
    pushed: Fields = ((":method", "GET"), (":scheme", "http"), (":path", "/style.css?1"), (":authority", "shop:8080"))
    world.responses(world.server.headers(1, pushed, promised=2, cuts=(4,), padding=3))
    (first,) = world.responses(world.server.headers(1, OK, ends=True))
    (second,) = world.responses(world.server.headers(2, OK), world.server.data(2, b"a{}", ends=True))
    assert facts(first) == ("GET", "/items", "shop:8080", 200)
    assert facts(second) == ("GET", "/style.css", "shop:8080", 200)
    assert second.request == Half(
        1_401, 1_402, 1_400, 1_400, 0 + world.server.header_bytes[2] - second.response.header_bytes, 0
    )
    assert world.begun == [first]


def test_connect_has_its_authority_as_path_and_goes_on_until_it_ends() -> None:
    world = with_connection()
    world.requests(world.client.headers(1, ((":method", "CONNECT"), (":authority", "db:5432"))))
    assert world.responses(world.server.headers(1, ((":status", "200"),))) == []
    world.requests(world.client.data(1, b"ab", ends=True))
    (exchange,) = world.responses(world.server.data(1, b"cde", ends=True))
    assert facts(exchange) == ("CONNECT", "db:5432", "db:5432", 200)
    assert sizes(exchange)[1::2] == (2, 3)


def test_extended_connect_has_its_path() -> None:
    world = with_connection()
    fields: Fields = (
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/chat?room=1"),
        (":authority", "shop"),
    )
    world.requests(world.client.headers(1, fields, ends=True))
    (exchange,) = world.responses(world.server.headers(1, OK, ends=True))
    assert facts(exchange) == ("CONNECT", "/chat", "shop", 200)


def test_the_host_is_the_authority_and_else_the_host_field() -> None:
    world = with_connection()
    bare = tuple(field for field in GET if field[0] != ":authority")
    world.requests(world.client.headers(1, (*GET, ("host", "other")), ends=True))
    world.requests(world.client.headers(3, (*bare, ("host", "by-field")), ends=True))
    told = world.responses(world.server.headers(1, OK, ends=True), world.server.headers(3, OK, ends=True))
    assert [one.host for one in told] == ["shop:8080", "by-field"]


def test_what_is_kept_of_a_request_is_bounded() -> None:
    world = with_connection()
    fields: Fields = ((":method", "M" * 999), (":path", "/" + "p" * 9_999), (":authority", "h" * 999))
    world.requests(world.client.headers(1, fields, ends=True))
    (exchange,) = world.responses(world.server.headers(1, OK, ends=True))
    assert facts(exchange) == ("M" * 256, "/" + "p" * 4_095, "h" * 256, 200)


def test_the_trace_of_a_request() -> None:
    world = with_connection()
    trace, span = "463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312"
    world.requests(world.client.headers(1, (*GET, ("traceparent", f"00-{trace}-{span}-01")), ends=True))
    (exchange,) = world.responses(world.server.headers(1, OK, ends=True))
    assert exchange.trace == TraceContext(TraceProvider.ZIPKIN, trace, "", span)


def test_a_malformed_request_or_status_is_counted() -> None:
    world = with_connection()
    world.requests(world.client.headers(1, ((":scheme", "http"), (":path", "/")), ends=True))
    world.requests(world.client.headers(3, ((":method", "GET"), (":scheme", "http")), ends=True))
    world.requests(world.client.headers(5, GET, ends=True))
    bad: Fields = ((":status", "20x"),)
    assert world.responses(*(world.server.headers(stream, OK, ends=True) for stream in (1, 3))) == []
    assert world.responses(world.server.headers(5, bad, ends=True)) == []
    assert world.losses == {"http2_request_malformed": 3}
    assert world.begun == [
        Exchange(Version.HTTP2, "GET", "/items", "shop:8080", 0, world.begun[0].request, world.begun[0].response)
    ]


def test_an_upgraded_connection_answers_the_request_in_http1_as_stream_1() -> None:
    request = Exchange(Version.HTTP1, "GET", "/old", "shop", request=Half(5, 6, 4, 4, 90, 0))
    world = World(upgraded=request)
    assert world.parser.is_busy
    world.begin()
    world.requests(world.client.headers(3, GET, ends=True))
    (first,) = world.responses(world.server.headers(1, OK), world.server.data(1, b"ab", ends=True))
    assert first is request
    assert first == Exchange(
        Version.HTTP2,
        "GET",
        "/old",
        "shop",
        200,
        request.request,
        Half(1_401, 1_402, 1_400, 1_400, world.server.header_bytes[1], 2),
    )
    (second,) = world.responses(world.server.headers(3, OK, ends=True))
    assert second.path == "/items"
