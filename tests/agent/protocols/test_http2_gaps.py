"""Connections that were joined in the middle, and bytes that were not captured."""

import pytest

from agent.protocols.exchange import Ended, Exchange, Half, Version
from agent.protocols.http2_frames import PREFACE, FrameKind, Setting
from agent.protocols.http2_stream_table import DOUBT_NS
from agent.protocols.slicing import SLICE_NS
from tests.agent.protocols.http2_wire import CALL, GET, GRPC_OK, OK, Fields, World, frame, ping, reset, settings

LITERAL: Fields = tuple(
    field for field in GET if field[0] != ":authority"
)  # what HPACK says of it does not depend on earlier blocks, if it is sent for the first time


def connected(world: World) -> World:
    world.begin()
    return world


def joined_after(*requests: Fields, responses: int = 1) -> World:
    """A watcher of a connection on which these were requested and answered before."""
    world = World(joined=True)
    for number, fields in enumerate(requests):
        world.client.headers(2 * number + 1, fields)
    for number in range(responses):
        world.server.headers(2 * number + 1, OK)
    world.client.header_bytes.clear()
    world.server.header_bytes.clear()
    return world


def statuses(exchanges: list[Exchange]) -> list[tuple[str, int]]:
    return [(exchange.path, exchange.status) for exchange in exchanges]


def test_a_payload_of_data_that_was_not_captured_is_counted() -> None:
    world = connected(World())
    world.requests(world.client.headers(1, CALL))
    sent = world.client.data(1, bytes(3_000), ends=True)
    world.requests(sent[:9], 3_000)
    sent = world.server.data(1, bytes(9_000), ends=True)
    assert world.responses(world.server.headers(1, OK) + sent[:9], 4_000) == []
    (exchange,) = world.responses(5_000)
    assert (exchange.request.body_bytes, exchange.response.body_bytes) == (3_000, 9_000)
    assert exchange.response.last_call_ns == world.now_ns
    assert world.losses == {}


def test_a_part_of_a_payload_that_was_not_captured_is_counted() -> None:
    world = connected(World())
    world.requests(world.client.headers(1, CALL))
    sent = world.client.data(1, bytes(100)) + world.client.data(1, b"x", ends=True)
    world.requests(sent[:20], 50, sent[70:])
    (exchange,) = world.responses(world.server.headers(1, OK, ends=True))
    assert exchange.request.body_bytes == 101
    assert world.losses == {}


def test_padding_that_was_not_captured_counts_as_body_and_as_a_loss() -> None:
    world = connected(World())
    world.requests(world.client.headers(1, CALL))
    sent = world.client.data(1, bytes(600), padding=10, ends=True)
    world.requests(sent[:9], len(sent) - 9)
    (exchange,) = world.responses(world.server.headers(1, OK, ends=True))
    assert exchange.request.body_bytes == 610
    assert world.losses == {"padding_estimated": 1}


def test_padding_whose_length_was_captured_is_no_body() -> None:
    world = connected(World())
    world.requests(world.client.headers(1, CALL))
    sent = world.client.data(1, bytes(600), padding=10, ends=True)
    world.requests(sent[:10], len(sent) - 10)
    (exchange,) = world.responses(world.server.headers(1, OK, ends=True))
    assert exchange.request.body_bytes == 600
    assert world.losses == {}


def test_frames_of_the_connection_may_be_not_captured() -> None:
    world = connected(World())
    world.requests(world.client.headers(1, GET, ends=True))
    world.requests(ping()[:9], 8)
    world.responses(settings({1: 4_096})[:9], 6)
    assert statuses(world.responses(world.server.headers(1, OK, ends=True))) == [("/items", 200)]
    assert world.losses == {}


def test_a_header_block_that_was_not_captured_costs_its_stream_and_the_table() -> None:
    world = connected(World())
    world.requests(world.client.headers(1, GET, ends=True))
    sent = world.client.headers(3, GET, ends=True)
    world.requests(sent[:9], len(sent) - 9)
    world.requests(world.client.headers(5, GET, ends=True))  # refers to what the first one put into the table
    world.requests(world.client.headers(7, (*LITERAL[:2], (":path", "/new")), ends=True))
    told = [world.responses(world.server.headers(stream, OK, ends=True)) for stream in (1, 3, 5, 7)]
    assert [statuses(one) for one in told] == [[("/items", 200)], [], [], [("/new", 200)]]
    assert world.losses == {"header_block_hidden": 1, "stream_not_seen_whole": 1, "header_table_unknown": 1}


def test_a_part_of_a_continued_header_block_that_was_not_captured() -> None:
    world = connected(World())
    sent = world.client.headers(1, GET, ends=True, cuts=(10, 20))
    world.requests(sent[:19] + sent[19:28], 10, sent[38:])
    assert world.responses(world.server.headers(1, OK, ends=True)) == []
    assert world.losses == {"header_block_hidden": 1, "stream_not_seen_whole": 1}


def test_a_header_block_over_the_bound_costs_its_stream() -> None:
    world = connected(World())
    world.requests(frame(FrameKind.HEADERS, 1, 1, b"\x00"))
    for _ in range(17):
        world.requests(frame(FrameKind.CONTINUATION, 0, 1, bytes(16_384)))
        assert world.parser.kept_bytes <= 256 * 1024
    world.requests(frame(FrameKind.CONTINUATION, 4, 1, b""))
    assert world.responses(world.server.headers(1, OK, ends=True)) == []
    assert world.losses == {"header_block_too_long": 1, "stream_not_seen_whole": 1}
    world.requests(world.client.headers(3, GET, ends=True))
    assert statuses(world.responses(world.server.headers(3, OK, ends=True))) == [("/items", 200)]


def test_a_malformed_header_block_costs_its_stream_and_the_table() -> None:
    world = connected(World())
    world.requests(world.client.headers(1, GET, ends=True))
    world.requests(frame(FrameKind.HEADERS, 5, 3, b"\x80"))
    world.requests(world.client.headers(5, GET, ends=True))
    told = [world.responses(world.server.headers(stream, OK, ends=True)) for stream in (1, 3, 5)]
    assert [len(one) for one in told] == [1, 0, 0]
    assert world.losses == {"header_block_malformed": 1, "header_table_unknown": 2}


def test_a_gap_in_the_requests_costs_the_requests_under_way() -> None:
    world = connected(World())
    world.requests(world.client.headers(1, GET, ends=True))
    world.requests(world.client.headers(3, CALL))
    world.requests(500)
    world.requests(world.client.data(3, b"abc", ends=True))
    told = [world.responses(world.server.headers(stream, OK, ends=True)) for stream in (1, 3)]
    assert [statuses(one) for one in told] == [[("/items", 200)], []]
    assert world.losses == {"frames_hidden": 1, "stream_not_seen_whole": 1}


def test_a_request_within_a_gap_is_counted_when_it_is_answered() -> None:
    world = connected(World())
    world.requests(len(world.client.headers(1, GET, ends=True)))
    world.requests(world.client.headers(3, CALL, ends=True))
    world.responses(world.server.headers(1, OK, ends=True))
    assert world.losses == {"frames_hidden": 1, "response_without_request": 1}


def test_a_gap_in_the_responses_costs_the_responses_under_way() -> None:
    world = connected(World())
    for stream in (1, 3, 5):
        world.requests(world.client.headers(stream, ((":method", "GET"), (":path", f"/{stream}")), ends=True))
    world.responses(world.server.headers(1, OK))
    world.responses(world.server.headers(3, OK, ends=False), world.server.data(3, b"a"))
    world.responses(700)
    world.responses(world.server.data(1, b"", ends=True))
    fresh: Fields = ((":status", "404"),)
    assert statuses(world.responses(world.server.headers(5, fresh, ends=True))) == [("/5", 404)]
    assert world.parser.end() == []
    assert world.losses == {"frames_hidden": 1, "stream_not_seen_whole": 2}


def test_a_response_whose_header_fields_were_in_a_gap_is_not_told() -> None:
    world = connected(World())
    world.requests(world.client.headers(1, GET, ends=True), world.client.headers(3, GET, ends=True))
    world.responses(len(world.server.headers(1, OK)))
    world.responses(world.server.data(1, b"abc", ends=True))
    world.responses(world.server.headers(3, (("x", "trailers"),), ends=True))
    assert world.losses == {"frames_hidden": 1, "stream_not_seen_whole": 2}


def test_a_stream_whose_end_was_in_a_gap_is_dropped_after_a_while() -> None:
    world = connected(World())
    world.requests(world.client.headers(1, GET, ends=True))
    world.responses(100)
    world.responses(ping())
    assert world.parser.slices(world.now_ns + DOUBT_NS - 1_000) == []
    assert world.parser.is_busy
    assert world.parser.slices(world.now_ns + DOUBT_NS + SLICE_NS) == []
    assert (world.parser.is_busy, world.losses) == (False, {"frames_hidden": 1, "stream_not_seen_whole": 1})


def test_a_long_stream_with_a_gap_ends_with_the_slice_before() -> None:
    world = connected(World())
    world.requests(world.client.headers(1, CALL, ends=True))
    world.responses(world.server.headers(1, OK), world.server.data(1, b"abc"))
    (first,) = world.parser.slices(world.now_ns + SLICE_NS)
    assert not first.is_last
    world.responses(100)
    assert world.responses(world.server.headers(1, GRPC_OK, ends=True)) == []
    assert world.losses == {"frames_hidden": 1, "stream_not_seen_whole": 1}


def test_what_is_reset_after_a_gap_may_have_had_a_response() -> None:
    world = connected(World())
    world.requests(world.client.headers(1, GET, ends=True))
    world.responses(100)
    assert world.responses(reset(1)) == []
    assert world.losses == {"frames_hidden": 1, "stream_not_seen_whole": 1}


def test_a_connection_joined_between_calls() -> None:
    world = joined_after(GET)
    world.requests(world.client.headers(3, CALL) + world.client.data(3, b"abc", ends=True))
    (exchange,) = world.responses(world.server.headers(3, OK) + world.server.data(3, b"de", ends=True))
    assert exchange == Exchange(
        Version.HTTP2,
        "POST",
        "/shop.Cart/Add",
        "cart:50051",
        200,
        Half(1_101, 1_102, 1_100, 1_100, world.client.header_bytes[3], 3),
        Half(1_201, 1_202, 1_200, 1_200, world.server.header_bytes[3], 2),
    )
    assert world.losses == {}


def test_a_connection_joined_within_a_call() -> None:
    world = joined_after(GET)
    world.requests(world.client.headers(3, CALL)[5:] + world.client.data(3, b"abc"))
    world.requests(world.client.headers(5, (*LITERAL[:2], (":path", "/later")), ends=True))
    told = world.responses(world.server.headers(3, OK, ends=True) + world.server.headers(5, OK, ends=True))
    assert statuses(told) == [("/later", 200)]
    assert world.losses == {"response_without_request": 1}


def test_references_to_unknown_entries_are_unknown_fields() -> None:
    world = joined_after(GET)
    world.requests(world.client.headers(3, GET, ends=True))  # its path is an entry of before
    assert world.responses(world.server.headers(3, OK, ends=True)) == []
    assert world.losses == {"header_table_unknown": 1}
    assert world.begun == []


def test_an_unknown_status_is_counted() -> None:
    world = World(joined=True)
    teapot: Fields = ((":status", "418"),)
    world.server.headers(1, teapot)
    world.requests(world.client.headers(3, GET, ends=True))
    world.responses(world.server.headers(3, teapot), world.server.data(3, b"abc", ends=True))
    assert world.losses == {"header_table_unknown": 1}


def test_an_unknown_host_is_left_out() -> None:
    world = joined_after(GET)
    changed: Fields = (*GET[:2], (":path", "/other"), *GET[3:], ("host", "less-than-the-authority"))
    world.requests(world.client.headers(3, changed, ends=True))
    (exchange,) = world.responses(world.server.headers(3, OK, ends=True))
    assert (exchange.path, exchange.host) == ("/other", "")


def test_entries_added_since_then_are_known_though_older_ones_are_evicted() -> None:
    world = World(joined=True)
    for number in range(200):  # more than fits into the table
        world.client.block([("x-old", f"value {number} with some length to it")])
    for stream in range(1, 401, 2):
        path = f"/path-{stream // 20}"
        world.requests(world.client.headers(stream, ((":method", "PATCH"), (":path", path)), ends=True))
        assert statuses(world.responses(world.server.headers(stream, OK, ends=True))) == [(path, 200)]
    assert world.losses == {}


def test_trailers_of_earlier_streams_are_no_requests() -> None:
    world = joined_after(CALL)
    world.requests(world.client.headers(1, (("checksum", "1"),), ends=True))
    assert world.responses(world.server.headers(1, GRPC_OK, ends=True)) == []
    world.requests(world.client.headers(3, GET, ends=True))
    assert statuses(world.responses(world.server.headers(3, OK, ends=True))) == [("/items", 200)]


def test_a_connection_that_was_said_to_be_joined_may_begin() -> None:
    world = World(joined=True)
    world.begin()
    world.requests(world.client.headers(1, GET, ends=True))
    assert statuses(world.responses(world.server.headers(1, OK, ends=True))) == [("/items", 200)]
    assert world.losses == {}


def test_a_connection_that_was_not_said_to_be_joined_is_understood_all_the_same() -> None:
    world = World()
    world.requests(world.client.headers(1, GET, ends=True))
    assert statuses(world.responses(world.server.headers(1, OK, ends=True))) == [("/items", 200)]
    assert world.losses == {"framing_lost": 1}


def test_frames_are_found_where_a_call_begins_with_the_header_of_a_payload_that_was_not_captured() -> None:
    world = World(joined=True)
    world.requests(100)
    world.requests(frame(FrameKind.DATA, 0, 1, bytes(600))[:9], 600)
    world.requests(world.client.headers(3, GET, ends=True))
    assert statuses(world.responses(world.server.headers(3, OK, ends=True))) == [("/items", 200)]


def test_bodies_do_not_look_like_frames() -> None:
    world = World(joined=True)
    for body in (
        bytes(900),
        b"\0\0\0\0\5hello" * 9,
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\1" * 50,
        b'{"a": 1}' * 9,
    ):
        world.requests(body)
    assert world.losses == {}
    assert world.parser.ended is None
    world.requests(world.client.headers(3, GET, ends=True))
    assert statuses(world.responses(world.server.headers(3, OK, ends=True))) == [("/items", 200)]


def test_a_joined_connection_that_is_no_http2_is_given_up() -> None:
    world = World(joined=True)
    for _ in range(16):
        assert world.parser.ended is None
        world.responses(b"220 mail.example ESMTP\r\n")
    assert world.parser.ended is Ended.NOT_UNDERSTOOD


@pytest.mark.parametrize("size", [1, 23, 24])
def test_a_preface_that_was_not_captured(size: int) -> None:
    world = World()
    world.requests(size, PREFACE[size:] + settings({}))
    world.requests(world.client.headers(1, GET, ends=True))
    assert statuses(world.responses(world.server.headers(1, OK, ends=True))) == [("/items", 200)]
    assert world.losses == {}


def test_frames_are_found_behind_calls_that_were_lost_though_those_go_by_the_time_of_the_next_one() -> None:
    world = connected(World())
    world.requests(500, world.client.headers(1, GET, ends=True))
    assert statuses(world.responses(world.server.headers(1, OK, ends=True))) == [("/items", 200)]
    assert world.losses == {"frames_hidden": 1}


def test_a_request_that_is_seen_late_may_have_been_answered_unseen() -> None:
    world = connected(World())
    written_at = world.now_ns
    world.responses(100)
    world.responses(ping())
    world.now_ns = written_at  # by another thread, whose call came to an end after those of the server
    world.requests(world.client.headers(1, GET, ends=True))
    world.now_ns = written_at + 5_000
    world.requests(world.client.headers(3, GET, ends=True))
    assert statuses(world.parser.end()) == [("/items", 0)]
    assert world.losses == {"frames_hidden": 1, "stream_not_seen_whole": 1}


def test_a_gap_within_a_continued_header_block_ends_it() -> None:
    world = connected(World())
    world.requests(world.client.headers(1, GET, ends=True, cuts=(10,))[:19], 100)
    world.requests(world.client.headers(3, (*LITERAL[:2], (":path", "/later")), ends=True))
    assert statuses(world.responses(world.server.headers(3, OK, ends=True))) == [("/later", 200)]
    assert world.losses == {"frames_hidden": 1}


def test_attempts_count_anew_when_frames_were_found() -> None:
    world = connected(World())
    for _ in range(2):
        world.requests(100)
        for _ in range(1_000):
            world.requests(b"anything else")
        world.requests(ping())
    assert world.parser.ended is None


def test_a_header_block_in_one_frame_over_the_bound_costs_its_stream() -> None:
    world = connected(World())
    world.responses(settings({Setting.MAX_FRAME_SIZE: 1 << 20}))
    long = world.client.headers(1, (*GET, ("cookie", "c" * 300_000)), ends=True, huffman=False)
    world.requests(long)
    assert world.responses(world.server.headers(1, OK, ends=True)) == []
    assert world.losses == {"header_block_hidden": 1, "stream_not_seen_whole": 1}
    long = world.client.headers(3, (*GET, ("cookie", "d" * 300_000)), ends=True, huffman=False)
    for begin in range(0, len(long), 60_000):
        world.requests(long[begin : begin + 60_000])
        assert world.parser.kept_bytes == 0
    assert world.responses(world.server.headers(3, OK, ends=True)) == []
    assert world.losses == {"header_block_hidden": 2, "stream_not_seen_whole": 2}


def test_an_upgraded_client_may_have_allowed_larger_frames_in_its_request() -> None:
    world = connected(World(upgraded=Exchange(Version.HTTP1, "GET", "/old", "shop", request=Half(5, 6, 4, 4, 90, 0))))
    (exchange,) = world.responses(world.server.headers(1, OK), world.server.data(1, bytes(20_000), ends=True))
    assert exchange.response.body_bytes == 20_000
    assert world.losses == {}


def test_a_quiet_stream_is_followed_through_a_gap_in_the_other_flow() -> None:
    world = connected(World())
    world.requests(world.client.headers(1, CALL, ends=True))
    world.responses(world.server.headers(1, OK), world.server.data(1, b"abc"))
    world.requests(100)
    (first,) = world.parser.slices(world.now_ns + SLICE_NS)
    assert world.parser.slices(world.now_ns + 3 * DOUBT_NS) == []
    (last,) = world.responses(world.server.headers(1, GRPC_OK, ends=True))
    assert [(one.slice, one.is_last) for one in (first, last)] == [(1, False), (2, True)]
    assert world.losses == {"frames_hidden": 1}


def test_streams_far_from_those_that_are_known_are_not_believed() -> None:
    world = connected(World())
    world.requests(world.client.headers(1, GET, ends=True), 100)
    world.requests(frame(FrameKind.DATA, 1, (1 << 20) + 3, b"x"))
    world.requests(b"x" * 100)  # would be no frame, if the one before had been believed
    world.requests(world.client.headers((1 << 20) + 1, CALL, ends=True))
    world.responses(world.server.headers(1, OK, ends=True))
    assert world.losses == {"frames_hidden": 1}
