"""Damaged, joined and holed connections of HTTP/2: nothing raises, what is kept stays bounded, the holed tell no lies.

Run for a while with

    python -m tests.fuzz http2 --seconds 20
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from agent.protocols.block_collector import MAXIMUM_BLOCK
from agent.protocols.exchange import Exchange, Flow, Piece
from agent.protocols.frame_search import MAXIMUM_BYTES
from agent.protocols.header_blocks import MAXIMUM_TABLE
from agent.protocols.http2 import Http2Parser
from agent.protocols.slicing import SLICE_NS
from tests.agent.protocols.http2_scenarios import Generator, Scenario, cut_pieces, identity
from tests.fuzz import mutations

MAXIMUM_STREAMS = 8
_KEPT = 2 * (MAXIMUM_BLOCK + MAXIMUM_BYTES + 65_536)


def target(source: random.Random) -> None:
    """One connection, damaged or holed."""
    if source.random() < 0.5:
        damaged(source)
    else:
        holed(source)


def damaged(source: random.Random) -> None:
    """Anything may be told of what anything may have happened to, but nothing without a bound."""
    scenario = Generator(source, streams=source.randint(1, 12), resets=True).make()
    pieces = {
        flow: mutations.pieces(
            mutations.with_gaps(
                source, mutations.cut(source, mutations.mutated(source, sent), most=40), source.choice([0, 0, 0.1, 0.5])
            )
        )
        for flow, sent in scenario.bytes_of.items()
    }
    parser = Http2Parser(Counter(), joined=source.random() < 0.3, maximum_streams=MAXIMUM_STREAMS)
    told: list[Exchange] = []
    now_ns = 0
    for flow, piece in mutations.interleaved(source, pieces[Flow.REQUESTS], pieces[Flow.RESPONSES]):
        told += parser.feed(flow, piece)
        check_bounds(parser)
        if source.random() < 0.05:
            now_ns += SLICE_NS
            told += parser.slices(now_ns)
    told += parser.end()
    assert not parser.is_busy
    for exchange in told:
        assert 0 <= exchange.status <= 999
        assert len(exchange.path) <= 4_096
        assert min(exchange.request.body_bytes, exchange.response.body_bytes) >= 0


def holed(source: random.Random) -> None:
    """A reader that misses bytes tells exchanges as they were, or not."""
    scenario = Generator(source, streams=source.randint(1, 20), interim=False, padding=False).make()
    pieces, passing = cut_pieces(source, scenario, source.randint(1, 120))
    share = source.choice([0.02, 0.1, 0.4])
    seen = {
        flow: [replace(piece, data=None) if source.random() < share else piece for piece in pieces[flow]]
        for flow in Flow
    }
    begin = source.randrange(len(passing)) if source.random() < 0.3 else 0
    parser = Http2Parser(Counter(), joined=begin > 0)
    told: list[Exchange] = []
    for flow, number in passing[begin:]:
        told += parser.feed(flow, seen[flow][number])
        check_bounds(parser)
    check_truth(scenario, pieces, told + parser.end())


def check_bounds(parser: Http2Parser) -> None:
    """What a parser keeps."""
    assert parser.kept_bytes <= _KEPT
    assert len(parser._streams) <= parser._streams._maximum
    assert len(parser._streams.unrequested) <= len(parser._streams)
    assert all(blocks.table_size <= MAXIMUM_TABLE for blocks in parser._blocks)


def check_truth(scenario: Scenario, pieces: Mapping[Flow, Sequence[Piece]], told: list[Exchange]) -> None:
    """Each exchange told is one that there was; what cannot be known of it may be missing."""
    true: dict[str, list[Exchange]] = {}
    for exchange in scenario.expected(pieces).values():
        true.setdefault(repr(identity(exchange)), []).append(exchange)
    for exchange in told:
        candidates = true.get(repr(identity(exchange)), [])
        fitting = [
            other
            for other in candidates
            if exchange.host in {"", other.host}
            and exchange.trace in {None, other.trace}
            and exchange.grpc_status in {None, other.grpc_status}
        ]
        assert fitting, exchange
        candidates.remove(fitting[0])
