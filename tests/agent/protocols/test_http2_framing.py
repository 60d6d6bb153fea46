"""What frames are made of, and what is none."""

import pytest

from agent.protocols.exchange import Ended, Half
from agent.protocols.http2_frames import PREFACE, FrameFlag, FrameKind, Setting
from tests.agent.protocols.http2_facts import with_connection
from tests.agent.protocols.http2_wire import (
    CALL,
    GET,
    OK,
    Fields,
    World,
    frame,
    ping,
    settings,
    window_update,
)


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


def test_the_reserved_bit_is_not_part_of_the_stream() -> None:
    world = with_connection()
    sent = world.client.headers(1, GET), world.client.data(1, b"abc", ends=True)
    world.requests(b"".join(one[:5] + bytes((one[5] | 0x80,)) + one[6:] for one in sent))
    (exchange,) = world.responses(world.server.headers(1, OK, ends=True))
    assert (exchange.request.header_bytes, exchange.request.body_bytes) == (world.client.header_bytes[1], 3)
    assert world.losses == {}


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
        frame(FrameKind.HEADERS, 0, 3, b"\x82") + frame(FrameKind.DATA, 0, 1, b"x"),
        frame(FrameKind.HEADERS, 0, 3, b"\x82") + frame(FrameKind.HEADERS, FrameFlag.END_HEADERS, 5, b"\x82"),
        frame(FrameKind.HEADERS, FrameFlag.END_HEADERS, 0, b"\x82"),
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
