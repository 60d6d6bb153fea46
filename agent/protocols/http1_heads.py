"""Heads of HTTP/1 messages as they come: from memory, else read, those of one look at the ring many at a time.

Heads repeat: those of requests wherever nothing in them is of one request alone, those of responses for the second that
their date names. So what was made of those that came again is remembered.
"""

from collections.abc import Sequence
from typing import Final

from agent.events.fragments import ConversationProtocol, Fragment
from agent.protocols.exchange import Head
from agent.protocols.head_memory import HeadMemory
from agent.protocols.http1_head import end_of_head, request_head, response_head
from agent.protocols.http1_many import read_request_heads, read_response_heads

REMEMBERED: Final = 512
"""Heads of requests, and as many of responses, that are remembered."""
LONGEST_REMEMBERED: Final = 1_024
"""Bytes of one of them."""
LONGEST_EARLY: Final = 4_096
"""Bytes of a head that is read before its turn; longer ones wait for it, so that many take no more memory than that."""
PORTION: Final = 1_000
"""Fragments whose heads are read together."""

requests: Final = HeadMemory(request_head, read_request_heads, capacity=REMEMBERED, longest=LONGEST_REMEMBERED)
responses: Final = HeadMemory(response_head, read_response_heads, capacity=REMEMBERED, longest=LONGEST_REMEMBERED)

_HTTP1: Final = int(ConversationProtocol.HTTP1)  # a plain number: see agent.protocols.exchange
_BEGINNING: Final = 4
_METHODS: Final = frozenset((b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"PATC", b"OPTI"))
_VERSION: Final = b"HTTP"


def heads_at_beginnings(fragments: Sequence[Fragment]) -> list[Head | None]:
    """The head that each begins with, as far as it is there whole and looks like one; of PORTION fragments at most.

    Whether one is due there is for the reader of its stream to say.
    """
    found: list[Head | None] = [None] * len(fragments)
    asking: list[int] = []
    asked: list[bytes] = []
    answering: list[int] = []
    answered: list[bytes] = []
    for number in [number for number, fragment in enumerate(fragments) if fragment.protocol == _HTTP1]:
        data = fragments[number].data
        beginning = data[:_BEGINNING]
        if beginning in _METHODS:
            places, heads = asking, asked
        elif beginning == _VERSION:
            places, heads = answering, answered
        else:
            continue
        end = end_of_head(data, 0)
        if 0 < end <= LONGEST_EARLY:
            places.append(number)
            heads.append(data[:end])
    for number, request in zip(asking, requests.read_all(asked), strict=True):
        found[number] = request
    for number, response in zip(answering, responses.read_all(answered), strict=True):
        found[number] = response
    return found
