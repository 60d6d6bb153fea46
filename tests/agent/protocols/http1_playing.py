"""A connection as a play: who sends what, in which calls, and what is told of it."""

from collections import Counter
from typing import NamedTuple

from agent.protocols.exchange import Exchange, Flow, Piece
from agent.protocols.http1 import Http1Parser
from agent.protocols.http1_limits import Limits
from agent.protocols.waiting_room import WaitingRoom
from tests.agent.protocols.http1_early import check_same, with_head

SECOND = 1_000_000_000

Part = bytes | int
"""Bytes, or how many were not captured."""


class Told(NamedTuple):
    """What most plays ask of an exchange; sizes are (header bytes, body bytes)."""

    line: str
    request: tuple[int, int]
    response: tuple[int, int]


def told(exchange: Exchange) -> Told:
    request, response = exchange.request, exchange.response
    return Told(
        f"{exchange.method} {exchange.path} {exchange.status}",
        (request.header_bytes, request.body_bytes),
        (response.header_bytes, response.body_bytes),
    )


class Play:
    """Each argument of `ask` and `answer` is a call, which has one piece or, as a list, several."""

    def __init__(self, *, joined: bool = False, limits: Limits | None = None, room: WaitingRoom | None = None) -> None:
        self.losses: Counter[str] = Counter()
        self.parser = Http1Parser(self.losses, joined=joined, limits=limits or Limits(), room=room)
        # The same without heads that are read before their turn; places that are shared would be taken twice.
        self._late = None if room else Http1Parser(Counter(), joined=joined, limits=limits or Limits())
        self.now = 0
        self.exchanges: list[Exchange] = []

    def ask(self, *calls: Part | list[Part]) -> list[Told]:
        return self._feed(Flow.REQUESTS, calls)

    def answer(self, *calls: Part | list[Part]) -> list[Told]:
        return self._feed(Flow.RESPONSES, calls)

    def end(self) -> list[Told]:
        told = self.parser.end()
        if self._late is not None:
            assert self._late.end() == told
            check_same(self.parser, self._late)
        return self._told(told)

    def slices(self) -> list[Exchange]:
        told = self.parser.slices(self.now)
        if self._late is not None:
            assert self._late.slices(self.now) == told
        return told

    def _feed(self, flow: Flow, calls: tuple[Part | list[Part], ...]) -> list[Told]:
        found = []
        for call in calls:
            self.now += 10
            for part in call if isinstance(call, list) else [call]:
                made = piece(part, self.now)
                told = self.parser.feed(flow, with_head(made))
                if self._late is not None:
                    assert self._late.feed(flow, made) == told
                    check_same(self.parser, self._late)
                found += self._told(told)
        return found

    def _told(self, exchanges: list[Exchange]) -> list[Told]:
        self.exchanges += exchanges
        return [told(exchange) for exchange in exchanges]


def piece(part: Part, now: int) -> Piece:
    """A piece of the call that began 3 ns ago and takes 2 more."""
    data = None if isinstance(part, int) else part
    return Piece(now, now + 2, now - 3, part if isinstance(part, int) else len(part), data)
