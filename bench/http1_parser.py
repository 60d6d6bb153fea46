"""What reading HTTP/1 costs: exchanges per second of processor time, and microseconds of each.

.venv/bin/python bench/http1_parser.py
"""

import argparse
import statistics
import time
from collections import Counter

from agent.protocols.exchange import Flow, Piece
from agent.protocols.http1 import Http1Parser

_REQUEST = (
    b"%s /api/v1/items/%d?verbose=1 HTTP/1.1\r\nHost: catalogue.shop.svc.cluster.local:8080\r\n"
    b"User-Agent: Go-http-client/1.1\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n"
    b"X-Request-Id: 2f1c6a3e-6d1f-4a3e-9a0c-b6c4c8a0f9d1\r\n%s\r\n"
)
_RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.27.0\r\nDate: Wed, 25 Nov 2026 22:41:09 GMT\r\n"
    b"Content-Type: application/json\r\nVary: Accept-Encoding\r\n%s\r\n"
)
_TRACE = b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"

_Turn = list[bytes | int]
"""Bytes of the pieces of a call, or how many were not captured."""


def _chunks(size: int, count: int) -> bytes:
    return b"%x\r\n%s\r\n" % (size, b"x" * size) * count + b"0\r\n\r\n"


def _kinds() -> dict[str, tuple[_Turn, _Turn]]:
    """What is exchanged, by name: a request and its response."""
    small = _RESPONSE % b"Content-Length: 512\r\n" + b"x" * 512
    return {
        "small GET": ([_REQUEST % (b"GET", 42, b"")], [small]),
        "small GET, traced": ([_REQUEST % (b"GET", 42, _TRACE)], [small]),
        "POST, head and body apart": (
            [_REQUEST % (b"POST", 42, b"Content-Length: 2048\r\n"), b"x" * 2048],
            [_RESPONSE % b"Content-Length: 512\r\n", b"x" * 512],
        ),
        "GET, 8 chunks": (
            [_REQUEST % (b"GET", 42, b"")],
            [_RESPONSE % b"Transfer-Encoding: chunked\r\n" + _chunks(512, 8)],
        ),
        "GET, 1 MiB in 16 calls, not captured": (
            [_REQUEST % (b"GET", 42, b"")],
            [_RESPONSE % b"Content-Length: 1048576\r\n", *[65_536] * 16],
        ),
    }


def _pieces(exchange: tuple[_Turn, _Turn], count: int) -> list[tuple[Flow, Piece]]:
    fed, now = [], 0
    for _ in range(count):
        for flow, turn in zip(Flow, exchange, strict=True):
            for part in turn:
                now += 1_000
                data = None if isinstance(part, int) else part
                size = part if isinstance(part, int) else len(part)
                fed.append((flow, Piece(now, now + 500, now, size, data)))
    return fed


def measure(exchange: tuple[_Turn, _Turn], count: int, runs: int) -> float:
    """Median seconds of processor time for `count` exchanges on one connection.

    Raises:
        RuntimeError: not all of them were told.
    """
    pieces, seconds = _pieces(exchange, count), []
    for _ in range(runs):
        parser, told = Http1Parser(Counter()), 0
        began = time.process_time()
        for flow, piece in pieces:
            told += len(parser.feed(flow, piece))
        seconds.append(time.process_time() - began)
        if told != count:
            raise RuntimeError(f"{told} exchanges of {count}: {parser.losses}")
    return statistics.median(seconds)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=20_000, help="exchanges of each run")
    parser.add_argument("--runs", type=int, default=7, help="runs of each measurement (the median is shown)")
    arguments = parser.parse_args()
    print(f"{'what':<38} {'exchanges/s':>11} {'us each':>8}")
    for name, exchange in _kinds().items():
        seconds = measure(exchange, arguments.count, arguments.runs)
        print(f"{name:<38} {arguments.count / seconds:>11,.0f} {seconds / arguments.count * 1e6:>8.2f}")


if __name__ == "__main__":
    main()
