"""Connections between two ends of the library h2, read by h2 itself, by hyperframe and by the parser."""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import h2.config
import h2.connection
import h2.events
from hyperframe.frame import ContinuationFrame, Frame, HeadersFrame, PushPromiseFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.protocols.exchange import Exchange, Flow, Piece
from agent.protocols.http2 import Http2Parser
from agent.protocols.http2_frames import PREFACE

Facts = dict[str, object]


class Conversation:
    """Two ends that speak with each other, and what they understand."""

    def __init__(self, source: random.Random) -> None:
        self.source = source
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.calls: list[tuple[Flow, bytes]] = []
        self.understood: dict[int, Facts] = defaultdict(lambda: {"request_body": 0, "response_body": 0, "status": "0"})
        self.client.initiate_connection()
        self.server.initiate_connection()
        self.exchange()

    def exchange(self) -> None:
        """Pass on what both ends have to say until they are silent."""
        while True:
            requests, responses = self.client.data_to_send(), self.server.data_to_send()
            if not requests and not responses:
                return
            if requests:
                self.calls.append((Flow.REQUESTS, requests))
                self._take(self.server, self.server.receive_data(requests), "request")
            if responses:
                self.calls.append((Flow.RESPONSES, responses))
                self._take(self.client, self.client.receive_data(responses), "response")

    def _take(self, end: h2.connection.H2Connection, events: Sequence[h2.events.Event], half: str) -> None:
        for event in events:
            if isinstance(event, h2.events.RequestReceived):
                self._requested(event.stream_id, event.headers)
            elif isinstance(event, h2.events.PushedStreamReceived):
                self._requested(event.pushed_stream_id, event.headers)
            elif isinstance(event, h2.events.ResponseReceived):
                self.understood[event.stream_id]["status"] = dict[Any, Any](event.headers)[":status"]
            elif isinstance(event, h2.events.TrailersReceived) and half == "response":
                self.understood[event.stream_id]["grpc"] = dict[Any, Any](event.headers).get("grpc-status")
            elif isinstance(event, h2.events.DataReceived):
                facts = self.understood[event.stream_id]
                facts[f"{half}_body"] = int(str(facts[f"{half}_body"])) + len(event.data)
                end.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    def _requested(self, stream: int | None, headers: Any) -> None:  # noqa: ANN401 # texts, as these ends are set
        assert stream is not None
        fields = dict(headers)
        self.understood[stream]["method"] = fields[":method"]
        self.understood[stream]["path"] = fields[":path"].partition("?")[0]
        self.understood[stream]["host"] = fields[":authority"]

    def run(self, streams: int) -> None:
        """Several calls at once."""
        source = self.source
        left: dict[int, list[tuple[str, bytes | None]]] = {}
        for number in range(streams):
            stream = self.client.get_next_available_stream_id()
            ends = source.random() < 0.5
            fields = [
                (":method", source.choice(["GET", "POST", "PATCH"])),
                (":scheme", "https"),
                (":path", source.choice(["/", "/a?b", f"/unique/{number}", "/long/" + "x" * 300])),
                (":authority", source.choice(["one", "two:443"])),
                ("cookie", "c" * source.choice([1, 30, 20_000])),
                ("x-number", str(source.random())),
            ]
            self.client.send_headers(stream, fields, end_stream=ends, priority_weight=source.choice([None, 7]))
            left[stream] = [] if ends else self._body("request")
            left[stream] += self._response()
            if source.random() < 0.5:
                self.exchange()
        self.exchange()
        while left:
            stream = source.choice(list(left))
            if not left[stream]:
                del left[stream]
                continue
            self._step(stream, *left[stream].pop(0))
            if source.random() < 0.7:
                self.exchange()
        self.exchange()

    def _body(self, half: str) -> list[tuple[str, bytes | None]]:
        source = self.source
        parts: list[tuple[str, bytes | None]] = [
            (half, source.randbytes(source.choice([0, 5, 700, 9_000]))) for _ in range(source.randrange(4))
        ]
        return [*parts, (f"{half} trailers" if source.random() < 0.3 else f"{half} end", None)]

    def _response(self) -> list[tuple[str, bytes | None]]:
        source = self.source
        steps: list[tuple[str, bytes | None]] = [("interim", None)] * source.randrange(2)
        if source.random() < 0.1:
            steps.append(("push", None))
        if source.random() < 0.1:
            return [*steps, (source.choice(["reset by client", "reset by server"]), None)]
        return [*steps, ("response headers", None), *self._body("response")]

    def _step(self, stream: int, what: str, body: bytes | None) -> None:
        source = self.source
        end = self.client if what.startswith("request") or what.endswith("client") else self.server
        if body is not None:
            end.send_data(stream, body, pad_length=source.choice([None, None, 0, 20]))
        elif what.endswith(" end"):
            end.send_data(stream, b"", end_stream=True)
        elif what.endswith("trailers"):
            end.send_headers(stream, [("grpc-status", str(source.randrange(17)))], end_stream=True)
        elif what.startswith("reset"):
            self.exchange()  # h2 takes nothing for a stream that it has reset
            end.reset_stream(stream)
            self.exchange()
        elif what == "interim":
            end.send_headers(stream, [(":status", "103"), ("link", "</style.css>")])
        elif what == "push":
            self._push(stream)
        else:
            end.send_headers(stream, [(":status", source.choice(["200", "204", "404", "502"])), ("server", "h2")])

    def _push(self, stream: int) -> None:
        promised = self.server.get_next_available_stream_id()
        request = [(":method", "GET"), (":scheme", "https"), (":path", "/pushed.css?1"), (":authority", "one")]
        self.server.push_stream(stream, promised, request)
        self.server.send_headers(promised, [(":status", "200")])
        self.server.send_data(promised, b"a{}", end_stream=True)


def header_bytes(calls: Sequence[tuple[Flow, bytes]]) -> dict[tuple[int, str], int]:
    """By stream and half, the sizes of header blocks as hyperframe sees them."""
    sizes: Counter[tuple[int, str]] = Counter()
    for flow, half in ((Flow.REQUESTS, "request"), (Flow.RESPONSES, "response")):
        left = memoryview(b"".join(sent for of, sent in calls if of is flow))
        if flow is Flow.REQUESTS:
            left = left[len(PREFACE) :]
        key = 0, half
        while left:
            frame, length = Frame.parse_frame_header(left[:9])
            frame.parse_body(left[9 : 9 + length])
            left = left[9 + length :]
            if isinstance(frame, HeadersFrame):
                key = frame.stream_id, half
            elif isinstance(frame, PushPromiseFrame):
                key = frame.promised_stream_id, "request"
            if isinstance(frame, HeadersFrame | PushPromiseFrame | ContinuationFrame):
                sizes[key] += len(frame.data)
    return sizes


def seen(exchange: Exchange) -> tuple[object, ...]:
    request, response = exchange.request, exchange.response
    what = exchange.method, exchange.path, exchange.host, exchange.status, exchange.grpc_status
    return *what, request.header_bytes, request.body_bytes, response.header_bytes, response.body_bytes


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), streams=st.integers(1, 8), cuts=st.sampled_from([1, 3]))
def test_the_parser_understands_what_the_ends_understand(seed: int, streams: int, cuts: int) -> None:
    source = random.Random(seed)
    conversation = Conversation(source)
    conversation.run(streams)
    losses = Counter[str]()
    parser, told, time = Http2Parser(losses), [], 0
    for flow, sent in conversation.calls:
        places = sorted({source.randrange(1, len(sent) + 1) for _ in range(cuts)} | {len(sent)})
        for begin, end in zip([0, *places], places, strict=False):
            time += 10
            told += parser.feed(flow, Piece(time, time + 1, time, end - begin, sent[begin:end]))
    told += parser.end()
    sizes = header_bytes(conversation.calls)
    expected = [
        (
            facts["method"],
            facts["path"],
            facts["host"],
            int(str(facts["status"])),
            int(str(facts["grpc"])) if "grpc" in facts else None,
            sizes[stream, "request"],
            facts["request_body"],
            sizes[stream, "response"],
            facts["response_body"],
        )
        for stream, facts in conversation.understood.items()
    ]
    assert Counter(map(seen, told)) == Counter(expected)
    assert losses == {}
