import pytest

from agent.protocols.exchange import Ended, Exchange, Half, TraceContext, TraceProvider, Version
from agent.protocols.http2_frames import PREFACE, FrameFlag, FrameKind, Setting
from agent.protocols.slicing import SLICE_NS
from tests.agent.protocols.http2_wire import (
    CALL,
    GET,
    GRPC_OK,
    OK,
    Fields,
    World,
    frame,
    goaway,
    ping,
    reset,
    settings,
    window_update,
)

CONTINUE: Fields = ((":status", "100"),)
EARLY_HINTS: Fields = ((":status", "103"), ("link", "</style.css>"))


def with_connection(**options: object) -> World:
    world = World(**options)  # type: ignore[arg-type]
    world.begin()
    return world


def facts(exchange: Exchange) -> tuple[str, str, str, int]:
    return exchange.method, exchange.path, exchange.host, exchange.status


def sizes(exchange: Exchange) -> tuple[int, int, int, int]:
    request, response = exchange.request, exchange.response
    return request.header_bytes, request.body_bytes, response.header_bytes, response.body_bytes


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
    assert not world.parser.is_busy
    assert world.losses == {}


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


def test_a_response_may_end_before_its_request() -> None:
    world = with_connection()
    world.requests(world.client.headers(1, CALL))
    assert world.responses(world.server.headers(1, ((":status", "413"),), ends=True)) == []
    (exchange,) = world.requests(world.client.data(1, b"abc", ends=True))
    assert (exchange.status, exchange.request.body_bytes) == (413, 3)


def test_a_server_that_wants_no_more_of_a_request_resets_its_stream() -> None:
    world = with_connection()
    world.requests(world.client.headers(1, CALL), world.client.data(1, b"abc"))
    (exchange,) = world.responses(world.server.headers(1, ((":status", "413"),), ends=True) + reset(1, 0))
    assert (exchange.status, exchange.request.body_bytes) == (413, 3)
    assert world.requests(world.client.data(1, b"late")) == []


def test_a_request_that_never_ends_is_told_a_slice_after_its_response() -> None:
    world = with_connection()
    world.requests(world.client.headers(1, CALL))
    world.responses(world.server.headers(1, OK, ends=True))
    assert world.parser.slices(world.now_ns + SLICE_NS - 1) == []
    (exchange,) = world.parser.slices(world.now_ns + SLICE_NS + 2)
    assert (exchange.status, exchange.slice, exchange.is_last) == (200, 0, True)


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


def test_streams_above_the_last_of_a_goaway_are_refused() -> None:
    world = with_connection()
    for stream in (1, 3, 5):
        world.requests(world.client.headers(stream, GET, ends=True))
    assert world.responses(goaway((1 << 31) - 1)) == []
    refused = world.responses(goaway(3))
    assert [(one.status, one.request.first_call_ns) for one in refused] == [(0, 1_500)]
    (late,) = world.requests(world.client.headers(7, GET, ends=True))
    assert late.status == 0
    answered = world.responses(world.server.headers(1, OK, ends=True), world.server.headers(3, OK, ends=True))
    assert [one.status for one in answered] == [200, 200]
    assert world.losses == {}


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


def test_frames_of_the_connection_belong_to_no_exchange() -> None:
    world = with_connection()
    others = ping() + window_update(0) + settings({3: 100}) + frame(FrameKind.PRIORITY, 0, 1, bytes(5))
    unknown = frame(0x10, 0xFF, 0, b"u=1") + frame(0xFA, 0, 7, b"grease")
    world.requests(world.client.headers(1, GET, ends=True))
    world.requests(others + unknown + window_update(1))
    world.responses(others + unknown)
    world.responses(world.server.headers(1, OK))
    world.responses(world.server.data(1, b"ab", ends=False))
    world.responses(ping())
    (exchange,) = world.responses(world.server.data(1, b"", ends=True))
    assert exchange.request == Half(1_301, 1_302, 1_300, 1_300, world.client.header_bytes[1], 0)
    assert (exchange.response.first_call_ns, exchange.response.last_call_ns) == (1_600, 1_900)


def test_a_frame_that_comes_in_pieces_counts_from_its_first_byte() -> None:
    world = with_connection()
    sent = world.client.headers(1, GET) + world.client.data(1, b"abc", ends=True)
    for at in range(len(sent)):
        assert world.requests(sent[at : at + 1]) == []
    (exchange,) = world.responses(world.server.headers(1, OK, ends=True))
    assert exchange.request == Half(
        1_301, world.now_ns - 98, 1_300, world.now_ns - 100, world.client.header_bytes[1], 3
    )


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


def test_a_client_that_goes_away_refuses_promises_alone() -> None:
    world = with_connection()
    world.requests(world.client.headers(1, GET, ends=True))
    world.responses(world.server.headers(1, GET, promised=2))
    (pushed,) = world.requests(goaway(0))
    assert (pushed.path, pushed.status) == ("/items", 0)
    assert [one.status for one in world.responses(world.server.headers(1, OK, ends=True))] == [200]


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


def test_slices_of_a_stream_that_goes_on() -> None:
    world = with_connection()
    world.requests(world.client.headers(1, CALL), world.client.data(1, b"a"))
    world.responses(world.server.headers(1, OK), world.server.data(1, b"bc"))
    began = world.begun[0].request.first_ns
    assert world.parser.slices(began + SLICE_NS - 1) == []
    (first,) = world.parser.slices(began + SLICE_NS)
    assert (first.slice, first.is_last, first.status) == (1, False, 200)
    assert sizes(first) == (world.client.header_bytes[1], 1, world.server.header_bytes[1], 2)
    assert world.parser.slices(began + 2 * SLICE_NS) == []  # nothing passed
    world.now_ns = began + 2 * SLICE_NS
    world.responses(world.server.data(1, b"defg"))
    (second,) = world.parser.slices(began + 3 * SLICE_NS)
    assert (second.slice, second.is_last, second.path) == (2, False, "/shop.Cart/Add")
    assert second.request == Half()
    assert second.response == Half(world.now_ns + 1, world.now_ns + 2, world.now_ns, world.now_ns, 0, 4)
    world.requests(world.client.data(1, b"hij", ends=True))
    (last,) = world.responses(world.server.headers(1, GRPC_OK, ends=True))
    assert (last.slice, last.is_last, last.grpc_status) == (3, True, 0)
    assert sizes(last)[:2] == (0, 3)
    assert last.response.header_bytes == world.server.header_bytes[1] - first.response.header_bytes
    assert world.begun == [last]
    assert world.begun[0] is last


def test_a_request_that_waits_for_its_response_is_not_sliced() -> None:
    world = with_connection()
    world.requests(world.client.headers(1, GET, ends=True))
    assert world.parser.slices(world.now_ns + 3 * SLICE_NS) == []
    (exchange,) = world.responses(world.server.headers(1, OK, ends=True))
    assert exchange.slice == 0


def test_the_end_of_the_connection_tells_what_there_is() -> None:
    world = with_connection()
    world.requests(world.client.headers(1, GET, ends=True), world.client.headers(3, GET, ends=True))
    world.responses(world.server.headers(3, OK), world.server.data(3, b"ab"))
    told = world.parser.end()
    assert [(one.status, one.response.body_bytes) for one in told] == [(0, 0), (200, 2)]
    assert not world.parser.is_busy
    assert world.parser.end() == []


def test_streams_beyond_the_bound_are_counted() -> None:
    world = with_connection(maximum_streams=3)
    for stream in (1, 3, 5, 7, 9):
        world.requests(world.client.headers(stream, GET, ends=True))
    assert world.losses == {"too_many_streams": 2}
    told = world.responses(*(world.server.headers(stream, OK, ends=True) for stream in (1, 3, 5, 7, 9)))
    assert len(told) == 3
    assert world.losses == {"too_many_streams": 2}
    world.requests(world.client.headers(11, GET, ends=True))
    assert len(world.responses(world.server.headers(11, OK, ends=True))) == 1


def test_thousands_of_streams_at_once() -> None:
    world = with_connection()
    streams = range(1, 2 * 5_000, 2)
    for stream in streams:
        world.requests(world.client.headers(stream, GET, ends=True))
    told = []
    for stream in reversed(streams):
        told += world.responses(
            world.server.headers(stream, OK) + world.server.data(stream, b"x" * (stream % 7), ends=True)
        )
    assert [one.response.body_bytes for one in told] == [stream % 7 for stream in reversed(streams)]
    assert world.losses == {}


def test_responses_without_a_request_are_bounded_and_counted() -> None:
    world = with_connection()
    for stream in range(1, 2 * 1_030, 2):
        world.responses(world.server.headers(stream, OK, ends=True))
    assert world.losses == {"response_without_request": 6}
    world.requests(world.client.headers(2_051, GET, ends=True))
    assert world.losses == {"response_without_request": 6 + 1_024}
    assert [one.path for one in world.responses(world.server.headers(2_051, OK, ends=True))] == ["/items"]


@pytest.mark.parametrize("cut", range(1, len(PREFACE)))
def test_the_preface_may_be_cut_anywhere(cut: int) -> None:
    world = World()
    world.requests(PREFACE[:cut])
    world.requests(PREFACE[cut:] + settings({}))
    world.requests(world.client.headers(1, GET, ends=True))
    world.responses(settings({}))
    assert [one.status for one in world.responses(world.server.headers(1, OK, ends=True))] == [200]
    assert world.losses == {}


def test_a_frame_larger_than_allowed_is_none() -> None:
    world = with_connection()
    world.requests(world.client.headers(1, CALL))
    world.requests(world.client.data(1, bytes(16_385)))
    assert world.losses == {"framing_lost": 1}


def test_the_settings_of_one_end_allow_the_other_larger_frames() -> None:
    world = with_connection()
    world.responses(settings({Setting.MAX_FRAME_SIZE: 20_000}))
    world.requests(world.client.headers(1, CALL), world.client.data(1, bytes(20_000), ends=True))
    assert world.losses == {}
    world.responses(world.server.headers(1, OK), world.server.data(1, bytes(20_000), ends=True))
    assert world.losses == {"framing_lost": 1}


def test_the_settings_of_one_end_allow_the_other_a_larger_table() -> None:
    """An encoder may have taken on the size that it was allowed without saying so in a block."""
    world = with_connection()
    world.responses(settings({Setting.HEADER_TABLE_SIZE: 20_000}))
    world.client.encoder.header_table.maxsize = 20_000
    for number in range(61):
        path = f"/{number:0>100}" if number < 60 else f"/{0:0>100}"  # the last one is the first once more
        fields: Fields = ((":method", "GET"), (":path", path))
        world.requests(world.client.headers(2 * number + 1, fields, ends=True, huffman=False))
        (exchange,) = world.responses(world.server.headers(2 * number + 1, OK, ends=True))
        assert exchange.path == path
    assert exchange.request.header_bytes < 5
    assert world.losses == {}


@pytest.mark.parametrize(
    "bad",
    [
        frame(FrameKind.DATA, 0, 0, b"x"),
        frame(FrameKind.DATA, FrameFlag.PADDED, 1),
        frame(FrameKind.DATA, FrameFlag.PADDED, 1, b"\x05abc"),
        frame(FrameKind.HEADERS, FrameFlag.PRIORITY, 3, b"1234"),
        frame(FrameKind.HEADERS, FrameFlag.END_HEADERS, 2, b"\x82"),
        frame(FrameKind.PRIORITY, 0, 1, b"1234"),
        frame(FrameKind.RST_STREAM, 0, 1, b"12345"),
        frame(FrameKind.RST_STREAM, 0, 0, b"1234"),
        frame(FrameKind.SETTINGS, 0, 1),
        frame(FrameKind.SETTINGS, 0, 0, b"12345"),
        frame(FrameKind.SETTINGS, FrameFlag.ACK, 0, b"123456"),
        frame(FrameKind.PUSH_PROMISE, FrameFlag.END_HEADERS, 1, b"\0\0\0\2\x82"),
        frame(FrameKind.PING, 0, 0, b"1234567"),
        frame(FrameKind.PING, 0, 1, b"12345678"),
        frame(FrameKind.GOAWAY, 0, 0, b"1234567"),
        frame(FrameKind.WINDOW_UPDATE, 0, 0, b"123"),
        frame(FrameKind.CONTINUATION, FrameFlag.END_HEADERS, 1, b"\x82"),
        frame(FrameKind.HEADERS, 0, 3, b"\x82") + frame(FrameKind.PING, 0, 0, b"12345678"),
        frame(FrameKind.HEADERS, 0, 3, b"\x82") + frame(FrameKind.CONTINUATION, 0, 5, b"\x82"),
    ],
)
def test_what_cannot_be_a_frame_is_noticed(bad: bytes) -> None:
    world = with_connection()
    world.requests(world.client.headers(1, CALL))
    world.requests(bad)
    assert world.losses == {"framing_lost": 1}


def test_what_is_no_http2_is_given_up() -> None:
    world = World()
    for _ in range(16):
        assert world.parser.ended is None
        world.requests(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n")
    assert world.parser.ended is Ended.NOT_UNDERSTOOD
    assert world.requests(PREFACE + settings({})) == []
    assert world.parser.kept_bytes == 0


def test_a_connection_that_was_understood_is_given_up_later() -> None:
    world = with_connection()
    world.requests(world.client.headers(1, GET))
    world.requests(100)
    for _ in range(1_024):
        assert world.parser.ended is None
        world.requests(b"anything else")
    assert world.parser.ended is Ended.NOT_UNDERSTOOD
    assert world.losses == {"frames_hidden": 1, "http2_given_up": 1}
    assert not world.parser.is_busy
