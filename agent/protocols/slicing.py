"""Slices of exchanges that go on for long, so that what they move is told while they move it."""

from msgspec.structs import replace

from agent.protocols.exchange import Exchange, Half

SLICE_NS = 60_000_000_000
"""How long an exchange goes on before a slice of it is told, if bytes of it passed."""


def take_slice(exchange: Exchange, number: int) -> Exchange | None:
    """What passed of an exchange since its last slice, which begins anew with it; None when nothing did.

    Args:
        exchange: The exchange that goes on. Its halves stay the same objects.
        number: Which slice it is, from 1.
    """
    halves = exchange.request, exchange.response
    if not any(half.header_bytes or half.body_bytes for half in halves):
        return None
    told = replace(
        exchange, request=replace(exchange.request), response=replace(exchange.response), slice=number, is_last=False
    )
    for half in halves:
        _begin_anew(half)
    return told


def _begin_anew(half: Half) -> None:
    half.first_ns = half.last_ns = half.first_call_ns = half.last_call_ns = 0
    half.header_bytes = half.body_bytes = 0
