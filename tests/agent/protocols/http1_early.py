"""Heads that are read before their turn make no difference: a second parser that is given none, beside the first."""

from collections import deque
from typing import Any

from msgspec.structs import asdict, replace

from agent.protocols.exchange import Piece
from agent.protocols.http1 import Http1Parser
from agent.protocols.http1_call import Call
from agent.protocols.http1_head import end_of_head, request_head, response_head
from agent.protocols.http1_messages import MessageReader
from agent.protocols.message_body import Body

_IRRELEVANT = frozenset(
    ("calls", "losses", "limits", "_places", "_syntax", "half", "announces_trailers", "response_ns")
)
"""Of what is kept: what is shared, and what is set anew before it is looked at again."""


def with_head(piece: Piece) -> Piece:
    """The same piece, and with it the head that it begins with."""
    data = piece.data or b""
    head = data[: max(end_of_head(data, 0), 0)]
    return replace(piece, head=request_head(head) or response_head(head))


def check_same(early: Http1Parser, parser: Http1Parser) -> None:
    """Whether heads were read before their turn makes no difference."""
    assert early.losses == parser.losses
    assert early.begun == parser.begun
    assert (early.ended, early.is_busy, early.upgraded_request) == (
        parser.ended,
        parser.is_busy,
        parser.upgraded_request,
    )
    for one, other in ((early._calls, parser._calls), *_readers(early, parser)):
        kept, expected = vars(one), vars(other)
        assert {name: as_values(kept[name]) for name in kept if name not in _IRRELEVANT} == {
            name: as_values(expected[name]) for name in expected if name not in _IRRELEVANT
        }


def _readers(early: Http1Parser, parser: Http1Parser) -> list[tuple[MessageReader[Any], MessageReader[Any]]]:
    return [(early._requests, parser._requests), (early._responses, parser._responses)]


def as_values(kept: object) -> object:
    """What is kept, in a form that is equal where it says the same."""
    if isinstance(kept, Call):
        return {name: as_values(value) for name, value in asdict(kept).items() if name not in _IRRELEVANT}
    if isinstance(kept, Body):
        names = {name for kind in type(kept).__mro__ for name in getattr(kind, "__slots__", ())} - {"_losses"}
        return type(kept), {name: getattr(kept, name) for name in names}
    if isinstance(kept, Piece):
        return replace(kept, head=None)
    if isinstance(kept, deque):
        return [(as_values(one[0]), one[1]) if isinstance(one, tuple) else as_values(one) for one in kept]
    return kept
