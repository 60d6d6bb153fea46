"""Random connections, cut anywhere, joined anywhere, and with parts that were not captured."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.protocols.exchange import Exchange, Flow, Piece
from agent.protocols.http2 import Http2Parser
from agent.protocols.http2_losses import Loss
from tests.agent.protocols.http2_scenarios import Generator, Scenario, counted, cut_pieces
from tests.fuzz import http2, mutations
from tests.fuzz.http2 import check_truth

SEEDS = st.integers(0, 2**32)
# Bytes of a body that look like frames to the last bit are possible, if very rare. So where frames are searched for,
# the examples are the same each time; tests/fuzz/http2.py tries others.
searching = settings(max_examples=200, derandomize=True)


def read(
    parser: Http2Parser, pieces: dict[Flow, list[Piece]], passing: list[tuple[Flow, int]]
) -> tuple[list[Exchange], list[Exchange]]:
    """What the parser tells, and which requests it says have begun."""
    told, begun = [], []
    for flow, number in passing:
        told += parser.feed(flow, pieces[flow][number])
        begun += parser.begun
    return told + parser.end(), begun


@settings(max_examples=150)
@given(SEEDS, st.integers(1, 12), st.integers(0, 80))
def test_the_exchanges_are_the_same_wherever_the_streams_are_cut(seed: int, streams: int, cuts: int) -> None:
    source = random.Random(seed)
    scenario = Generator(source, streams=streams).make()
    pieces, passing = cut_pieces(source, scenario, cuts)
    losses: Counter[str] = Counter()
    told, begun = read(Http2Parser(losses), pieces, passing)
    expected = scenario.expected(pieces)
    assert counted(told) == counted(list(expected.values()))
    assert losses == {}
    assert {id(exchange) for exchange in begun} == {id(exchange) for exchange in told}
    assert len(begun) == len(expected)


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 12), st.integers(0, 80))
def test_the_exchanges_are_the_same_in_whatever_order_the_flows_come(seed: int, streams: int, cuts: int) -> None:
    source = random.Random(seed)
    scenario = Generator(source, streams=streams).make()
    pieces, passing = cut_pieces(source, scenario, cuts)
    flows = [flow for flow, _ in passing]
    source.shuffle(flows)
    following = {flow: iter(range(len(pieces[flow]))) for flow in Flow}
    losses = Counter[str]()
    told, _ = read(Http2Parser(losses), pieces, [(flow, next(following[flow])) for flow in flows])
    assert counted(told) == counted(list(scenario.expected(pieces).values()))
    assert losses == {}


@searching
@given(SEEDS, st.integers(1, 12), st.integers(1, 60), st.sampled_from([0.02, 0.1, 0.4]))
def test_nothing_wrong_is_told_where_pieces_were_not_captured(seed: int, streams: int, cuts: int, share: float) -> None:
    source = random.Random(seed)
    scenario = Generator(source, streams=streams, interim=False, padding=False).make()
    pieces, passing = cut_pieces(source, scenario, cuts)
    holed = {
        flow: [replace(piece, data=None) if source.random() < share else piece for piece in pieces[flow]]
        for flow in Flow
    }
    told, _ = read(Http2Parser(Counter()), holed, passing)
    check_truth(scenario, pieces, told)


@searching
@given(SEEDS, st.integers(1, 12), st.integers(1, 60), st.floats(0, 1), st.floats(0, 1))
def test_nothing_wrong_is_told_of_a_connection_that_was_joined(
    seed: int, streams: int, cuts: int, requests_from: float, responses_from: float
) -> None:
    source = random.Random(seed)
    scenario = Generator(source, streams=streams, interim=False).make()
    pieces, passing = cut_pieces(source, scenario, cuts)
    begin = {Flow.REQUESTS: requests_from, Flow.RESPONSES: responses_from}
    joined = [(flow, number) for flow, number in passing if number >= begin[flow] * len(pieces[flow])]
    told, _ = read(Http2Parser(Counter(), joined=True), pieces, joined)
    check_truth(scenario, pieces, told)


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 12))
def test_bodies_that_were_not_captured_make_no_difference(seed: int, streams: int) -> None:
    source = random.Random(seed)
    scenario = Generator(source, streams=streams, padding=False, resets=True).make()
    pieces, passing = by_payloads(scenario)
    losses: Counter[str] = Counter()
    told, _ = read(Http2Parser(losses), pieces, passing)
    assert counted(told) == counted(list(scenario.expected(pieces).values()))
    assert losses == {}


def by_payloads(scenario: Scenario) -> tuple[dict[Flow, list[Piece]], list[tuple[Flow, int]]]:
    """A piece per write, and of its own, not captured, per payload of data over 512 bytes."""
    pieces: dict[Flow, list[Piece]] = {flow: [] for flow in Flow}
    passing = []
    begin = dict.fromkeys(Flow, 0)
    for moment, (flow, end) in enumerate(scenario.order):
        sent = scenario.bytes_of[flow][begin[flow] : end]
        parts: list[bytes | int] = [sent]
        if len(sent) > 9 + 512 and sent[3] == 0 and int.from_bytes(sent[:3], "big") == len(sent) - 9:
            parts = [sent[:9], len(sent) - 9]
        begin[flow] = end
        for part in parts:
            time = 1_000 + moment * 10
            size, data = (part, None) if isinstance(part, int) else (len(part), part)
            passing.append((flow, len(pieces[flow])))
            pieces[flow].append(Piece(time, time + 1, time, size, data))
    return pieces, passing


@pytest.mark.parametrize("seed", range(5))
def test_a_join_or_a_gap_between_writes_loses_what_it_must_and_nothing_else(seed: int) -> None:
    """What is never wrong could be never told."""
    source = random.Random(seed)
    scenario = Generator(source, streams=120, interim=False, padding=False, resets=True).make()
    pieces, passing = by_payloads(scenario)
    middle = len(passing) // 4
    losses: Counter[str] = Counter()
    told, _ = read(Http2Parser(losses, joined=True), pieces, passing[middle:])
    begun_later = sum(
        truth.spans[Flow.REQUESTS].first >= _position(pieces, passing[middle:]) for truth in scenario.streams.values()
    )
    assert len(told) + losses[Loss.TABLE_UNKNOWN] + losses[Loss.NOT_SEEN_WHOLE] == begun_later
    assert losses[Loss.NOT_SEEN_WHOLE] <= 1  # reset before anything had come from the server
    assert set(losses) <= {Loss.TABLE_UNKNOWN, Loss.RESPONSE_WITHOUT_REQUEST, Loss.NOT_SEEN_WHOLE}
    check_truth(scenario, pieces, told)
    assert len(told) > 10

    flow, number = passing[middle]
    pieces[flow][number] = replace(pieces[flow][number], data=None)
    losses = Counter()
    told, _ = read(Http2Parser(losses), pieces, passing)
    check_truth(scenario, pieces, told)
    assert len(told) > 40
    causes = (Loss.TABLE_UNKNOWN, Loss.NOT_SEEN_WHOLE, Loss.RESPONSE_WITHOUT_REQUEST)
    assert len(told) + sum(losses[cause] for cause in causes) == 120
    assert losses[Loss.FRAMES_HIDDEN] == 1
    assert losses[Loss.FRAMING_LOST] == 0


def _position(pieces: dict[Flow, list[Piece]], passing: list[tuple[Flow, int]]) -> int:
    """Where in the requests the first of these pieces is."""
    first = next(number for flow, number in passing if flow is Flow.REQUESTS)
    return sum(piece.size for piece in pieces[Flow.REQUESTS][:first])


_PARTS = st.lists(st.tuples(st.sampled_from(list(Flow)), st.binary(min_size=1, max_size=200), st.booleans()))


@settings(max_examples=200)
@given(parts=_PARTS, joined=st.booleans())
def test_random_bytes_never_raise(parts: list[tuple[Flow, bytes, bool]], *, joined: bool) -> None:
    parser = Http2Parser(Counter(), joined=joined)
    for number, (flow, data, is_captured) in enumerate(parts):
        parser.feed(flow, Piece(number, number, number, len(data), data if is_captured else None))
    parser.slices(10**12)
    parser.end()


def test_damaged_and_holed_connections() -> None:
    mutations.run(http2.target, seed=0, rounds=200)
