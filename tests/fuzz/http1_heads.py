"""Fuzz target: many heads of HTTP/1, damaged, read together and one at a time.

python -m tests.fuzz http1-heads --seconds 20
"""

import random

from agent.protocols.http1_head import end_of_head, request_head, response_head
from agent.protocols.http1_many import read_request_heads, read_response_heads
from tests.fuzz.mutations import mutated

_LINES = (
    b"Host: shop",
    b"hOST:shop:80 ",
    b"Content-Length: 42",
    b"content-length:7, 7",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Trailer: A",
    b"Expect: 100-continue",
    b"Upgrade: h2c",
    b" goes on",
    b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    b"b3: 4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
    b"X-B3-TraceId: 4bf92f3577b34da6a3ce929d0e0e4736",
    b"X-B3-SpanId: 00f067aa0ba902b7",
    b"sw8: 1-VFJBQ0U=-U0VHTUVOVA==-3-UEFSRU5U-SU5TVEFOQ0U=-RU5EUE9JTlQ=-QUREUkVTUw==",
    b"Accept: */*",
    b"Cookie: " + b"c" * 200,
)
_REQUESTS = (b"GET /a?b HTTP/1.1", b"POST / HTTP/1.0", b"DELETE /a/b HTTP/1.1", b"OPTIONS * HTTP/1.1", b"X /a HTTP/1.1")
_RESPONSES = (b"HTTP/1.1 200 OK", b"HTTP/1.0 404", b"HTTP/1.1 101 Switching Protocols", b"HTTP/1.1 204 ")


def target(source: random.Random) -> None:
    """Both ways of reading say the same of each head."""
    requests, responses = (
        [_head(source, firsts) for _ in range(source.randint(0, 12))] for firsts in (_REQUESTS, _RESPONSES)
    )
    assert read_request_heads(requests) == [request_head(head) for head in requests]
    assert read_response_heads(responses) == [response_head(head) for head in responses]


def _head(source: random.Random, firsts: tuple[bytes, ...]) -> bytes:
    end = source.choice((b"\r\n", b"\r\n", b"\r\n", b"\n"))
    head = end.join((source.choice(firsts), *source.choices(_LINES, k=source.randint(0, 6)), b"", b""))
    if source.random() < 0.6:
        head = (mutated(source, head) or b"x") + b"\r\n\r\n"
    return head[: end_of_head(head, 0)]
