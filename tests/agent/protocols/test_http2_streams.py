"""Streams that are under way: how they end, in slices, and how many there may be."""

from agent.protocols.exchange import Half
from agent.protocols.slicing import SLICE_NS
from tests.agent.protocols.http2_facts import sizes, with_connection
from tests.agent.protocols.http2_wire import CALL, GET, GRPC_OK, OK, goaway, reset


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


def test_a_client_that_goes_away_refuses_promises_alone() -> None:
    world = with_connection()
    world.requests(world.client.headers(1, GET, ends=True))
    world.responses(world.server.headers(1, GET, promised=2))
    (pushed,) = world.requests(goaway(0))
    assert (pushed.path, pushed.status) == ("/items", 0)
    assert [one.status for one in world.responses(world.server.headers(1, OK, ends=True))] == [200]


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
