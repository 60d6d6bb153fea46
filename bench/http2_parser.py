"""What reading HTTP/2 costs: exchanges per second of one core, and how much of it is HPACK.

    .venv/bin/python bench/http2_parser.py [EXCHANGES]

Conversations are made up beforehand, with the encoder of the library hpack: unary calls of gRPC, the same with a trace
in each request (which no table can know), and GETs of a load generator. Each call of an end is a piece; a body over 512
bytes is not captured. Shown is the median of several runs; then, for the same header blocks, what this project's
decoder takes and what hpack's takes; then a long Huffman-coded string byte by byte and by halves of bytes.
"""

import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from hpack import Decoder, Encoder
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman as decode_by_halves

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agent.protocols.exchange import Flow, Piece
from agent.protocols.header_blocks import HeaderBlocks
from agent.protocols.http2 import Http2Parser
from agent.protocols.http2_frames import PREFACE
from agent.protocols.huffman import _decode

REPETITIONS = 7
AT_ONCE = 10
BODY = 4_096
Fields = list[tuple[str, str]]

CALL: Fields = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/shop.Cart/Add"),
    (":authority", "cart:50051"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
    ("user-agent", "grpc-go/1.60.0"),
    ("grpc-timeout", "1S"),
]
CALL_ANSWER: Fields = [(":status", "200"), ("content-type", "application/grpc")]
CALL_END: Fields = [("grpc-status", "0"), ("grpc-message", "")]
GET: Fields = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "127.0.0.1:8080"),
    (":path", "/index.html?q=1"),
    ("user-agent", "h2load nghttp2/1.52.0"),
]


class Conversation:
    """Pieces of both flows of one connection, and the header blocks in them."""

    def __init__(self, exchanges: int, write: "Callable[[Conversation, int], None]") -> None:
        self.pieces: list[tuple[Flow, Piece]] = []
        self.blocks: dict[Flow, list[bytes]] = {flow: [] for flow in Flow}
        self.exchanges = exchanges
        self._encoders = {flow: Encoder() for flow in Flow}
        self._time = 1_000
        self.call(Flow.REQUESTS, PREFACE + frame(4, 0, 0, b""))
        self.call(Flow.RESPONSES, frame(4, 0, 0, b"") + frame(4, 1, 0, b""))
        for number in range(exchanges):
            write(self, number)

    def headers(self, flow: Flow, stream: int, fields: Fields, *, ends: bool = False) -> bytes:
        """A frame with all of a header block."""
        block = self._encoders[flow].encode(fields)
        self.blocks[flow].append(block)
        return frame(1, 5 if ends else 4, stream, block)

    def call(self, flow: Flow, *parts: bytes | int) -> None:
        """One call, of bytes that were captured and of some that were not."""
        self._time += 1_000
        for part in parts:
            size, data = (part, None) if isinstance(part, int) else (len(part), part)
            self.pieces.append((flow, Piece(self._time, self._time + 500, self._time, size, data)))


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def unary(conversation: Conversation, number: int, extra: Sequence[tuple[str, str]] = ()) -> None:
    """A call of gRPC, of which `AT_ONCE` are open."""
    stream = 2 * number + 1
    request = conversation.headers(Flow.REQUESTS, stream, [*CALL, *extra])
    conversation.call(Flow.REQUESTS, request + frame(0, 1, stream, b"\0\0\0\0\x20" + bytes(32)))
    is_last = number == conversation.exchanges - 1
    for other in range(max(0, number - AT_ONCE), number + 1 if is_last else number - AT_ONCE + 1):
        _answer(conversation, 2 * other + 1)


def _answer(conversation: Conversation, stream: int) -> None:
    head = conversation.headers(Flow.RESPONSES, stream, CALL_ANSWER)
    end = conversation.headers(Flow.RESPONSES, stream, CALL_END, ends=True)
    conversation.call(Flow.RESPONSES, head + frame(0, 0, stream, b"\0\0\0\0\x20" + bytes(32)) + end)


def traced(conversation: Conversation, number: int) -> None:
    """A call of gRPC with a trace."""
    unary(conversation, number, [("traceparent", f"00-{number * 7919 + 1:032x}-{number * 104_729 + 1:016x}-01")])


def get(conversation: Conversation, number: int) -> None:
    """A GET whose body is not captured."""
    stream = 2 * number + 1
    conversation.call(Flow.REQUESTS, conversation.headers(Flow.REQUESTS, stream, GET, ends=True))
    answer: Fields = [
        (":status", "200"),
        ("server", "nginx"),
        ("date", f"Mon, 01 Jan 2024 00:{number // 6_000 % 60:02}:{number // 100 % 60:02} GMT"),
        ("content-type", "text/html"),
        ("content-length", str(BODY)),
    ]
    head = conversation.headers(Flow.RESPONSES, stream, answer)
    conversation.call(Flow.RESPONSES, head + frame(0, 1, stream, bytes(BODY))[:9], BODY)


def read(conversation: Conversation) -> None:
    """Read a connection."""
    losses: Counter[str] = Counter()
    parser = Http2Parser(losses)
    told = 0
    for flow, piece in conversation.pieces:
        told += len(parser.feed(flow, piece))
    if told != conversation.exchanges or losses:
        sys.exit(f"{told} of {conversation.exchanges} exchanges, losses: {losses}")


def decode(conversation: Conversation) -> None:
    """Decode its header blocks."""
    for blocks in conversation.blocks.values():
        decoder = HeaderBlocks(is_complete=True)
        for block in blocks:
            decoder.decode(block)


def decode_with_hpack(conversation: Conversation) -> None:
    """Decode its header blocks with hpack's decoder."""
    for blocks in conversation.blocks.values():
        decoder = Decoder()
        for block in blocks:
            decoder.decode(block, raw=True)


def microseconds(function: Callable[[], object], count: int) -> float:
    """Of one of `count`; the median of several runs."""
    runs = []
    for _ in range(REPETITIONS):
        began = time.process_time()
        function()
        runs.append(time.process_time() - began)
    return statistics.median(runs) / count * 1e6


def main() -> None:
    """Measure each conversation."""
    exchanges = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print(f"{'':28}{'exchanges/s':>12}{'us each':>9}{'HPACK us':>10}{'by hpack':>10}")
    for name, write in (("unary calls of gRPC", unary), ("the same with a trace", traced), ("GETs", get)):
        conversation = Conversation(exchanges, write)
        each = microseconds(partial(read, conversation), exchanges)
        ours = microseconds(partial(decode, conversation), exchanges)
        theirs = microseconds(partial(decode_with_hpack, conversation), exchanges)
        print(f"{name:28}{1e6 / each:12,.0f}{each:9.1f}{ours:10.1f}{theirs:10.1f}")
    text = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(b"00-463ac35c9f6413ad48485a3953bb6124-01" * 5)
    whole = microseconds(lambda: [_decode(text) for _ in range(1_000)], 1_000)
    halves = microseconds(lambda: [decode_by_halves(text) for _ in range(1_000)], 1_000)
    print(f"a Huffman-coded string of {len(text)} bytes: {whole:.1f} us by bytes, {halves:.1f} us by halves")


if __name__ == "__main__":
    main()
