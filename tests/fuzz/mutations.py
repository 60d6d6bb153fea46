"""What fuzz targets of parsers share: damage to bytes, streams cut into pieces, pieces left out, and the run itself.

A fuzz target is a function of a source of randomness that makes one input and feeds it, and raises where something is
wrong. `run_for` runs it for some seconds (python -m tests.fuzz), `run` a fixed number of times from a test.
"""

import random
import time
from collections.abc import Callable, Sequence

from agent.protocols.exchange import Flow, Piece

_INTERESTING = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b" ",
    b":",
    b"\x00\x00\x00\x00",
    b"\xff" * 4,
)


def mutated(source: random.Random, data: bytes, rounds: int = 3) -> bytes:
    """Damaged a few times: bits turned, bytes set, parts removed, repeated, moved or put in."""
    buffer = bytearray(data)
    for _ in range(source.randint(1, rounds)):
        if not buffer:
            return bytes(buffer)
        at = source.randrange(len(buffer))
        end = min(len(buffer), at + source.randint(1, 32))
        kind = source.randrange(7)
        if kind == 0:
            buffer[at] ^= 1 << source.randrange(8)
        elif kind == 1:
            buffer[at] = source.randrange(256)
        elif kind == 2:
            del buffer[at:end]
        elif kind == 3:
            buffer[at:at] = buffer[at:end]
        elif kind == 4:
            part = bytes(buffer[at:end])
            del buffer[at:end]
            to = source.randrange(len(buffer) + 1)
            buffer[to:to] = part
        elif kind == 5:
            buffer[at:at] = source.choice(_INTERESTING)
        else:
            buffer[at:end] = source.randbytes(end - at)
    return bytes(buffer)


def cut(source: random.Random, data: bytes, most: int = 8) -> list[bytes]:
    """Cut into 1 to `most` parts, none of them empty, that together are `data`."""
    if not data:
        return []
    places = sorted({source.randrange(1, len(data) + 1) for _ in range(source.randint(0, most - 1))} | {len(data)})
    return [data[begin:end] for begin, end in zip([0, *places], places, strict=False)]


def pieces(parts: Sequence[bytes | int], start_ns: int = 1_000, step_ns: int = 10) -> list[Piece]:
    """Pieces of one stream, each a call of its own: bytes, or how many bytes were not captured."""
    return [
        Piece(
            first_ns=(at := start_ns + number * step_ns),
            last_ns=at + 2,
            call_ns=at,
            size=part if isinstance(part, int) else len(part),
            data=None if isinstance(part, int) else part,
        )
        for number, part in enumerate(parts)
    ]


def with_gaps(source: random.Random, parts: Sequence[bytes], share: float) -> list[bytes | int]:
    """The same parts, of which a share between 0 and 1 was not captured."""
    return [len(part) if source.random() < share else part for part in parts]


def interleaved(
    source: random.Random, requests: Sequence[Piece], responses: Sequence[Piece]
) -> list[tuple[Flow, Piece]]:
    """The pieces of both flows in one order, each flow's own order kept."""
    left = [Flow.REQUESTS] * len(requests) + [Flow.RESPONSES] * len(responses)
    source.shuffle(left)
    streams = {Flow.REQUESTS: iter(requests), Flow.RESPONSES: iter(responses)}
    return [(flow, next(streams[flow])) for flow in left]


def run(target: Callable[[random.Random], None], seed: int, rounds: int) -> None:
    """Run a target for a fixed number of inputs; a failure names the seed that repeats it."""
    for number in range(rounds):
        _once(target, seed + number)


def run_for(target: Callable[[random.Random], None], seed: int, seconds: float) -> int:
    """Run a target for a time, with one input at least; how many it was."""
    end = time.monotonic() + seconds
    number = 0
    while not number or time.monotonic() < end:
        _once(target, seed + number)
        number += 1
    return number


def _once(target: Callable[[random.Random], None], seed: int) -> None:
    try:
        target(random.Random(seed))
    except Exception as error:
        error.add_note(f"seed {seed}")
        raise
