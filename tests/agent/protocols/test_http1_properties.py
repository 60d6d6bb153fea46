"""Whatever the exchanges, however their bytes are cut and whatever of them is missed."""

import itertools
from collections import Counter

import h11
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.protocols.exchange import Exchange, Flow, Piece, Version
from agent.protocols.http1 import Http1Parser
from agent.protocols.http1_losses import Loss
from tests.agent.protocols.http1_early import check_same, with_head
from tests.agent.protocols.http1_generation import Made, Sent, Turn, connection, sent

Connection = tuple[list[Made], list[Turn]]
CUTS = st.lists(st.one_of(st.integers(1, 30), st.integers(31, 2_000)), min_size=4, max_size=12)
MISSED = st.lists(st.integers(0, 500), max_size=6)


def read(pieces: list[tuple[Flow, Piece]], *, joined: bool = False) -> tuple[list[Exchange], Counter[str]]:
    losses: Counter[str] = Counter()
    parser = Http1Parser(losses, joined=joined)
    found = [exchange for flow, piece in pieces for exchange in parser.feed(flow, piece)]
    return found + parser.end(), losses


def expected(made: list[Made], result: Sent) -> list[Exchange]:
    return [
        Exchange(
            Version.HTTP1,
            one.method,
            one.path,
            one.host,
            one.status,
            result.half(one.request),
            result.half(one.response),
        )
        for one in made
    ]


@given(connection(), CUTS)
def test_any_cuts_give_the_exchanges_that_were_sent(connection: Connection, cuts: list[int]) -> None:
    made, turns = connection
    result = sent(turns, cuts)
    found, losses = read(result.pieces)
    assert found == expected(made, result)
    assert not losses


@given(
    connection(most=8),
    st.lists(st.sampled_from([7, 40, 2_001]), min_size=1, max_size=4),
    st.lists(st.integers(0, 500), max_size=2),
    st.booleans(),
    st.booleans(),
)
def test_heads_that_were_read_before_their_turn_make_no_difference(
    connection: Connection,
    cuts: list[int],
    missed: list[int],
    joined: bool,  # noqa: FBT001 - given by position
    along_parts: bool,  # noqa: FBT001 - same
) -> None:
    _, turns = connection
    result = sent(turns, cuts, along_parts=along_parts)
    result.miss({number % len(result.pieces) for number in missed})
    parser, early = (Http1Parser(Counter(), joined=joined) for _ in range(2))
    for flow, piece in result.pieces:
        assert early.feed(flow, with_head(piece)) == parser.feed(flow, piece)
        check_same(early, parser)
    assert early.end() == parser.end()
    check_same(early, parser)


@given(connection(), CUTS, st.lists(st.integers(0, 500), max_size=60))
def test_bodies_that_are_not_captured_give_the_exchanges_that_were_sent(
    connection: Connection, cuts: list[int], missed: list[int]
) -> None:
    made, turns = connection
    result = sent(turns, cuts, along_parts=True)
    result.miss({result.safe[number % len(result.safe)] for number in missed if result.safe})
    found, losses = read(result.pieces)
    assert found == expected(made, result)
    assert not losses


def check_told(exchange: Exchange, made: dict[str, Made], losses: Counter[str]) -> None:
    """Nothing that is told is wrong."""
    one = made.pop(exchange.path)  # none is told twice
    assert (exchange.method, exchange.host, exchange.status) == (one.method, one.host, one.status)
    for message, told in ((one.request, exchange.request), (one.response, exchange.response)):
        if message.is_chunked and losses[Loss.CHUNKED_BODY_ESTIMATED]:
            continue
        assert told.header_bytes in message.possible_header_bytes
        assert told.body_bytes == message.body_bytes


@settings(max_examples=400)
@given(connection(), CUTS, MISSED)
def test_with_gaps_anywhere_nothing_wrong_is_told(connection: Connection, cuts: list[int], missed: list[int]) -> None:
    made, turns = connection
    result = sent(turns, cuts)
    result.miss({number % len(result.pieces) for number in missed})
    found, losses = read(result.pieces)
    left = {one.path: one for one in made}
    for exchange in found:
        check_told(exchange, left, losses)
    assert not left or losses


@settings(max_examples=200)
@given(connection(), CUTS, MISSED)
def test_with_whole_calls_missing_nothing_wrong_is_told(
    connection: Connection, cuts: list[int], missed: list[int]
) -> None:
    made, turns = connection
    result = sent(turns, cuts)
    found, losses = read(without_calls(result.pieces, missed))
    left = {one.path: one for one in made}
    for exchange in found:
        check_told(exchange, left, losses)


def without_calls(pieces: list[tuple[Flow, Piece]], missed: list[int]) -> list[tuple[Flow, Piece]]:
    """Calls that never came are one gap, in front of the next call of their stream and with its times."""
    calls = list(dict.fromkeys((flow, piece.call_ns) for flow, piece in pieces))
    last = dict(calls)
    missing = {calls[number % len(calls)] for number in missed} - set(last.items())
    left, gaps = [], dict.fromkeys(Flow, 0)
    for flow, piece in pieces:
        if (flow, piece.call_ns) in missing:
            gaps[flow] += piece.size
            continue
        if gaps[flow]:
            left.append((flow, replace(piece, size=gaps[flow], data=None)))
            gaps[flow] = 0
        left.append((flow, piece))
    return left


@settings(max_examples=200)
@given(connection(), CUTS, MISSED, st.integers(0, 200))
def test_joined_anywhere_nothing_wrong_is_told(
    connection: Connection, cuts: list[int], missed: list[int], begin: int
) -> None:
    made, turns = connection
    result = sent(turns, cuts)
    result.miss({number % len(result.pieces) for number in missed})
    found, losses = read(result.pieces[begin % len(result.pieces) :], joined=True)
    left = {one.path: one for one in made}
    for exchange in found:
        check_told(exchange, left, losses)


def simple(number: int) -> tuple[bytes, bytes]:
    """A request and its response, which has a status of its own."""
    size = number * 37 % 90
    request = b"GET /%d HTTP/1.1\r\nHost: shop\r\n\r\n" % number
    return request, b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n%b" % (210 + number, size, b"z" * size)


def in_calls(turns: list[tuple[Flow, bytes]], cuts: list[int]) -> list[tuple[Flow, Piece, int]]:
    """The pieces of turns, of which each is a call, and the number of their turn."""
    now, distances, made = 0, itertools.cycle(cuts), []
    for number, (flow, data) in enumerate(turns):
        at = 0
        while at < len(data):
            part = data[at : at + next(distances)]
            now, at = now + 50, at + len(part)
            made.append((flow, Piece(now, now + 20, now - 10, len(part), part), number))
    return made


def answers(found: list[Exchange]) -> list[tuple[str, int, int]]:
    return [(exchange.path, exchange.status, exchange.response.body_bytes) for exchange in found]


@settings(max_examples=300)
@given(
    st.lists(st.integers(1, 9), min_size=3, max_size=8),
    st.lists(st.integers(60, 400), min_size=1, max_size=9),
    st.integers(2, 30),
    st.lists(st.integers(0, 500), min_size=1),
)
def test_of_a_connection_that_takes_turns_nothing_but_what_is_missed_is_lost(
    sizes: list[int], cuts: list[int], damaged: int, missed: list[int]
) -> None:
    """Of the exchanges of one turn, behind two that have shown it, any pieces are missed."""
    sizes = [3, *sizes]
    groups = [range(sum(sizes[:at]), sum(sizes[: at + 1])) for at in range(len(sizes))]
    made = [[simple(number) for number in group] for group in groups]
    turns = [(flow, b"".join(pair[flow] for pair in group)) for group in made for flow in Flow]
    at = 2 + damaged % (len(sizes) - 2)
    calls = in_calls(turns, cuts)
    of_turn = [number for number, (_, _, turn) in enumerate(calls) if turn // 2 == at]
    hidden = {of_turn[number % len(of_turn)] for number in missed}
    pieces = [
        (flow, replace(piece, data=None) if number in hidden else piece)
        for number, (flow, piece, _) in enumerate(calls)
    ]
    found, losses = read(pieces)
    right = {f"/{number}": (210 + number, number * 37 % 90) for group in groups for number in group}
    assert [right[path] for path, _, _ in answers(found)] == [one[1:] for one in answers(found)]
    told = [int(exchange.path[1:]) for exchange in found]
    assert told == sorted(set(told))
    assert set(told) >= {number for group in groups if group is not groups[at] for number in group}
    assert losses or set(told) >= set(groups[at])


@settings(max_examples=300)
@given(st.integers(2, 6), st.lists(st.integers(1, 5), min_size=5, max_size=20), CUTS, MISSED)
def test_of_a_connection_that_always_has_several_requests_under_way_nothing_wrong_is_told(
    depth: int, steps: list[int], cuts: list[int], missed: list[int]
) -> None:
    """As many requests follow as were answered, before the others are; that is seen before any byte is missed."""
    turns = [(Flow.REQUESTS, b"".join(simple(number)[0] for number in range(depth)))]
    answered = 0
    for step in steps:
        size = min(step, depth - 1)
        turns += [
            (Flow.RESPONSES, b"".join(simple(number)[1] for number in range(answered, answered + size))),
            (Flow.REQUESTS, b"".join(simple(depth + number)[0] for number in range(answered, answered + size))),
        ]
        answered += size
    calls = in_calls(turns, cuts)
    late = [number for number, (_, _, turn) in enumerate(calls) if turn > 2]
    hidden = {late[number % len(late)] for number in missed}
    found, losses = read(
        [
            (flow, replace(piece, data=None) if number in hidden else piece)
            for number, (flow, piece, _) in enumerate(calls)
        ]
    )
    for path, status, size in answers(found):
        number = int(path[1:])
        assert (status, size) in {(210 + number, number * 37 % 90), (0, 0)}
    assert losses or len(found) == depth + answered


@given(connection(), st.lists(st.integers(60, 2_000), min_size=1, max_size=9), st.integers(0, 200))
def test_the_next_exchange_after_a_gap_is_told(connection: Connection, cuts: list[int], missed: int) -> None:
    made, turns = connection
    assume(all(len(turn.messages) == 1 for turn in turns) and made[-1].method.isalpha())
    result = sent(turns[:-2], cuts)
    result.miss([missed % len(result.pieces)] if result.pieces else [])
    now = result.pieces[-1][1].last_ns if result.pieces else 0
    for turn in turns[-2:]:  # each in a call of its own
        now += 100
        data = turn.messages[0].data
        result.pieces.append((turn.flow, Piece(now, now + 20, now - 10, len(data), data)))
    found, _ = read(result.pieces)
    assert found[-1].path == made[-1].path


def h11_requests(data: bytes) -> list[tuple[str, str, int]]:
    """Method, target and body bytes of each request, by h11."""
    server = h11.Connection(h11.SERVER)
    found: list[tuple[str, str, int]] = []
    server.receive_data(data)
    while True:
        event = server.next_event()
        if isinstance(event, h11.Request):
            found.append((event.method.decode(), event.target.decode(), 0))
        elif isinstance(event, h11.Data):
            method, target, size = found[-1]
            found[-1] = method, target, size + len(event.data)
        elif isinstance(event, h11.EndOfMessage):
            server.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            server.send(h11.EndOfMessage())
        elif event is h11.PAUSED:
            server.start_next_cycle()
        else:
            assert event is h11.NEED_DATA
            return found


def h11_responses(methods: list[str], data: bytes) -> list[tuple[int, int]]:
    """Status and body bytes of each response, by h11."""
    client = h11.Connection(h11.CLIENT)
    found = []
    client.receive_data(data)
    for method in methods:
        client.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
        client.send(h11.EndOfMessage())
        status = size = 0
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                size += len(event.data)
            else:
                assert isinstance(event, h11.InformationalResponse)
        found.append((status, size))
        client.start_next_cycle()
    return found


@given(connection(), CUTS)
def test_h11_reads_the_same(connection: Connection, cuts: list[int]) -> None:
    _, turns = connection
    found, _ = read(sent(turns, cuts).pieces)
    streams = {
        flow: b"".join(message.data for turn in turns if turn.flow is flow for message in turn.messages)
        # What h11 does not know: codings under the chunks, blanks before their extensions.
        .replace(b"gzip, chunked", b"chunked")
        .replace(b' ;a="b"', b';a="b"')
        for flow in Flow
    }
    requests = h11_requests(streams[Flow.REQUESTS])
    assert [(exchange.method, exchange.path, exchange.request.body_bytes) for exchange in found] == [
        (method, target.partition("?")[0], size) for method, target, size in requests
    ]
    assert [(exchange.status, exchange.response.body_bytes) for exchange in found] == h11_responses(
        [method for method, _, _ in requests], streams[Flow.RESPONSES]
    )
