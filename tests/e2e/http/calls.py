"""The exchanges that every client makes and every server answers.

Servers know these targets; N makes each path unique:

    /bytes/SIZE/N     a body of SIZE bytes with Content-Length
    /chunked/SIZE/N   a body of SIZE bytes whose length is not told beforehand
    /upload/SIZE/N    reads the request's body, answers as /bytes
    /status/CODE/N    an answer with that status
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

SIZES = (0, 1, 2047, 2048, 20480, 5 * 1024 * 1024)
CHUNKED_SIZES = (0, 1, 16, 2047, 2048, 20480)
"""Larger ones are asked for by test_large_chunks.py."""
LARGE = SIZES[-1]
FEW = 23
MANY = 10_000


@dataclass(frozen=True, slots=True)
class Call:
    """One request to make."""

    method: str
    target: str
    body_bytes: int = 0
    chunked: bool = False
    """Whether the request's length is not told beforehand. Where HTTP/1.1 is spoken, that means chunks."""


SIMPLE = Call("GET", "/bytes/1/0")


def calls() -> list[Call]:
    """23 calls: every size in every place, every kind of answer."""
    made = [("GET", f"/bytes/{size}", 0, False) for size in SIZES]
    made += [("GET", f"/chunked/{size}", 0, False) for size in CHUNKED_SIZES]
    # Small and large bodies in both directions at once.
    made += [
        ("POST", f"/upload/{answer}", size, index % 2 == 0)
        for index, (size, answer) in enumerate(zip(SIZES, (*SIZES[3:], *SIZES[:3]), strict=True))
    ]
    made += [
        ("HEAD", "/bytes/2048", 0, False),
        ("PUT", "/upload/1", 100, False),
        ("DELETE", "/status/204", 0, False),
        ("GET", "/status/404", 0, False),
        ("GET", "/status/500", 0, False),
    ]
    assert len(made) == FEW
    return [
        Call(method, f"{target}/{number}" + ("?color=red&path=/no" if number % 3 == 0 else ""), size, chunked)
        for number, (method, target, size, chunked) in enumerate(made)
    ]


def asked_calls() -> list[Call]:
    """23 calls for clients that only ask: every size, with and without a length."""
    targets = [f"/bytes/{size}" for size in SIZES] + [f"/chunked/{size}" for size in CHUNKED_SIZES]
    return [Call("GET", f"{target}/{number}") for number, target in zip(range(FEW), itertools.cycle(targets))]


def large_chunked_calls() -> list[Call]:
    """Bodies whose length is only known by their chunks, larger than what is captured of them."""
    return [
        Call("GET", "/chunked/100000/0"),
        Call("POST", "/upload/1/1", 100_000, chunked=True),
        Call("GET", f"/chunked/{LARGE}/2"),
        Call("POST", "/upload/1/3", LARGE, chunked=True),
        Call("GET", "/bytes/1/4"),
    ]


def many_calls(count: int = MANY) -> list[Call]:
    """Small exchanges in great number."""
    sizes = itertools.cycle(SIZES[:4])
    return [Call("GET", f"/bytes/{next(sizes)}/{number}") for number in range(count)]


def as_json(base: str, made: Sequence[Call], authority: str | None = None, **more: str) -> bytes:
    """What the clients of this project read on standard input."""
    return json.dumps({"base": base, "ca": authority, "calls": [asdict(call) for call in made], **more}).encode()
