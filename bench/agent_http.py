"""What an exchange costs the agent: captured payload and events to bytes on the wire, on one core.

    .venv/bin/python -m bench.agent_http [EXCHANGES]

Events and fragments are made up beforehand, one connection's next to another's. The kernel, the ring and the network
are not part of it. Times are of the processor, so other work on the machine matters less.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
from hpack import Encoder

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agent.config import Configuration
from agent.events.fragments import ConversationProtocol, Fragment, FragmentFlag
from agent.events.layout import EVENT, EventKind, Events
from agent.export.accounting import Ledger
from agent.export.assembler import Batch
from agent.pipeline import Pipeline
from bench.agent_export import Host
from bench.report import Report

CONNECTIONS = 50
STEP_CALLS = 1_000
"""Calls between two looks at the ring: 50,000 exchanges a second leave that many in 10 ms."""
REPETITIONS = 3

_REQUEST = (
    b"GET /api/v1/items/%d?verbose=1 HTTP/1.1\r\nHost: catalogue.shop.svc.cluster.local:8080\r\n"
    b"User-Agent: Go-http-client/1.1\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n\r\n"
)
_RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.27.0\r\nDate: Wed, 25 Nov 2026 22:41:09 GMT\r\n"
    b"Content-Type: application/json\r\nContent-Length: 512\r\n\r\n" + b"x" * 512
)
_END = b"\r\n\r\n"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


@dataclass(frozen=True)
class Call:
    """What one call moved."""

    kind: EventKind
    data: bytes
    exchanges: int
    """That end with it."""


Talk = Callable[[int], list[Call]]
"""The calls of the n-th turn of a connection, as its server makes them."""


def http1() -> tuple[ConversationProtocol, Talk]:
    """One request and one response at a time."""
    return ConversationProtocol.HTTP1, lambda turn: [
        Call(EventKind.READ, _REQUEST % turn, 0),
        Call(EventKind.WRITE, _RESPONSE, 1),
    ]


def unlike() -> tuple[ConversationProtocol, Talk]:
    """One request and one response at a time, each with a trace and a name of its own: no head is like another."""
    numbers = count(1)

    def talk(turn: int) -> list[Call]:
        number = next(numbers)
        trace = b"\r\ntraceparent: 00-%032x-%016x-01\r\n\r\n" % (number, number)
        name = b"\r\nX-Request-Id: %032x\r\n\r\n" % number
        return [
            Call(EventKind.READ, (_REQUEST % turn).replace(_END, trace), 0),
            Call(EventKind.WRITE, _RESPONSE.replace(_END, name), 1),
        ]

    return ConversationProtocol.HTTP1, talk


def pipelined() -> tuple[ConversationProtocol, Talk]:
    """Sixteen requests in a call, and their responses in another one."""
    return ConversationProtocol.HTTP1, lambda turn: [
        Call(EventKind.READ, _REQUEST % turn * 16, 0),
        Call(EventKind.WRITE, _RESPONSE * 16, 16),
    ]


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def http2(at_once: int, *, grpc: bool) -> tuple[ConversationProtocol, Callable[[], Talk]]:
    """Streams of one connection, so many in each call."""
    request = [
        (":method", "POST" if grpc else "GET"),
        (":scheme", "http"),
        (":path", "/shop.Catalogue/Find" if grpc else "/api/v1/items"),
        (":authority", "catalogue.shop.svc.cluster.local:8080"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", "grpc-go/1.66.0"),
    ]
    response = [(":status", "200"), ("content-type", "application/grpc")]
    trailers = [("grpc-status", "0"), ("grpc-message", "")]

    def talk() -> Talk:
        asks, answers = Encoder(), Encoder()

        def turn(number: int) -> list[Call]:
            streams = [2 * (number * at_once + index) + 1 for index in range(at_once)]
            read = b"" if number else _PREFACE
            wrote = b""
            for stream in streams:
                read += _frame(1, 4 if grpc else 5, stream, asks.encode(request))
                read += _frame(0, 1, stream, b"\0" * 60) if grpc else b""
                wrote += _frame(1, 4, stream, answers.encode(response))
                wrote += _frame(0, 0 if grpc else 1, stream, b"\0" * 120)
                wrote += _frame(1, 5, stream, answers.encode(trailers)) if grpc else b""
            return [Call(EventKind.READ, read, 0), Call(EventKind.WRITE, wrote, at_once)]

        return turn

    return ConversationProtocol.HTTP2, talk


Step = tuple[Events, list[Fragment], int]
"""Events and fragments of one look at the ring, and the exchanges that end in it."""


def make_steps(protocol: ConversationProtocol, talks: list[Talk], exchanges: int) -> list[Step]:
    """Looks at the ring until so many exchanges were."""
    positions = {(lane, kind): 0 for lane in range(len(talks)) for kind in (EventKind.READ, EventKind.WRITE)}
    steps: list[Step] = []
    calls: list[tuple[int, Call]] = []
    done, turn, now = 0, 0, 10**9
    while done < exchanges:
        for lane, talk in enumerate(talks):
            calls += [(lane, call) for call in talk(turn)]
        turn += 1
        if len(calls) >= STEP_CALLS or turn * len(talks) >= exchanges:
            events, fragments = np.zeros(len(calls), dtype=EVENT), []
            for row, (lane, call) in enumerate(calls):
                now += 1_000
                fragments.append(_fragment(protocol, lane, call, now, positions[lane, call.kind] % (1 << 32)))
                positions[lane, call.kind] += len(call.data)
                events[row]["kind"], events[row]["start_ns"], events[row]["end_ns"] = call.kind, now, now + 500
                events[row]["inode"], events[row]["bytes"] = lane + 1, len(call.data)
                events[row]["remote_port"] = 10_000 + lane
            events["process"], events["thread"], events["descriptor"] = 7, 7, 5
            events["protocol"], events["role"], events["local_port"], events["system_call"] = 6, 1, 80, 1
            finished = sum(call.exchanges for _, call in calls)
            steps.append((events, fragments, finished))
            done += finished
            calls = []
    return steps


def _fragment(protocol: ConversationProtocol, lane: int, call: Call, now: int, position: int) -> Fragment:
    size = len(call.data)
    head = (now, now + 400, lane + 1, lane + 1, 0, position, size, 0, 7, 7, size, int(call.kind), int(protocol))
    return Fragment(*head, int(FragmentFlag.LAST), 0, call.data)


def run(steps: list[Step]) -> tuple[float, int, int]:
    """(seconds of the processor, bytes to send, exchanges told)."""
    size = messages = 0

    def deliver(batch: Batch) -> None:
        nonlocal size, messages
        size += batch.size
        messages += len(batch.messages)

    pipeline = Pipeline(Configuration(), "node", 1, host=Host(), ledger=Ledger(), deliver=deliver)
    pipeline.start(0)
    told = 0
    tell = pipeline._assembler.tell  # noqa: SLF001 - counts on the way

    def counted(exchanges: list[object]) -> None:
        nonlocal told
        told += len(exchanges)
        tell(exchanges)  # type: ignore[arg-type] # what it was given

    pipeline._assembler.tell = counted  # type: ignore[method-assign,assignment]  # noqa: SLF001 - same
    began = time.process_time()
    for number, (events, fragments, _) in enumerate(steps):
        pipeline.step(events, number * 10_000_000, fragments)
    pipeline.finish(len(steps) * 10_000_000)
    return time.process_time() - began, size, told


def talks_of(make: Callable[[], Talk]) -> list[Talk]:
    """One for each connection."""
    return [make() for _ in range(CONNECTIONS)]


def main() -> None:
    """Measure and print."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 30_000
    protocol1, one = http1()
    _, sixteen = pipelined()
    _, own = unlike()
    cases: dict[str, tuple[ConversationProtocol, Callable[[], list[Talk]]]] = {
        "HTTP/1, one at a time": (protocol1, lambda: [one] * CONNECTIONS),
        "HTTP/1, no head like another": (protocol1, lambda: [own] * CONNECTIONS),
        "HTTP/1, 16 pipelined": (protocol1, lambda: [sixteen] * CONNECTIONS),
    }
    for name, at_once, grpc in (
        ("HTTP/2, one stream a call", 1, False),
        ("HTTP/2, 20 streams a call", 20, False),
        ("gRPC, one stream a call", 1, True),
        ("gRPC, 20 streams a call", 20, True),
    ):
        protocol, talk = http2(at_once, grpc=grpc)
        cases[name] = protocol, partial(talks_of, talk)
    report = Report("agent_http", f"{wanted} exchanges")
    for name, (protocol, talks) in cases.items():
        steps = make_steps(protocol, talks(), wanted)
        expected = sum(finished for _, _, finished in steps)
        seconds, size, told = min(run(steps) for _ in range(REPETITIONS))
        if told != expected:
            raise SystemExit(f"{name}: {told} exchanges told of {expected}")
        figures = {"exchanges/s": told / seconds, "us each": seconds / told * 1e6, "bytes each": size / told}
        report.row(name, figures)
    print(report.finish())


if __name__ == "__main__":
    main()
