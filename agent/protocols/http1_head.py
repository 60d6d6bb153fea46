"""Heads of HTTP/1 messages: the start line, and what a reader of exchanges needs of the header fields.

Sources: RFC 9112 2 to 6 (syntax and framing), RFC 9110 5.6.2 (tokens). The well-kept parsers on PyPI (h11, httptools)
are not used because they have to be given every byte of bodies, and make an object of each field.
"""

import re
from typing import NamedTuple

from agent.protocols.exchange import TraceContext
from agent.protocols.trace_context import TRACE_FIELDS, trace_context

CHUNKED = -1
"""Length of a body whose chunks tell its end."""
UNTIL_END = -2
"""Length of a body that ends with the connection."""
NOT_UNDERSTOOD = -3
"""Length of a body that nobody could find the end of."""

SWITCHING_PROTOCOLS = 101
"""The status behind which a connection goes on as something else."""

MAXIMUM_PATH = 4096
"""Characters kept of a path."""
MAXIMUM_HOST = 1024
"""Characters kept of a host."""

_MAXIMUM_TRACE_FIELD = 2048
_CONTENT_LENGTH = b"\ncontent-length:"
_LENGTH = re.compile(rb"[0-9]{1,18}")
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}"
_FOLDING = re.compile(rb"\r?\n[ \t]+")
_TRACE_FIELDS = tuple((name, b"\n%s:" % name.encode()) for name in sorted(TRACE_FIELDS))

REQUEST_START = re.compile(rb"(" + _TOKEN + rb") (\S+) HTTP/1\.[0-9]\r?\n")
"""A request line."""
REQUEST_START_CUT = re.compile(_TOKEN + rb"(?: \S*(?: [HTP/1.0-9]{0,8}\r?)?)?\Z")
"""What may become a request line."""
REQUEST_FOUND = re.compile(
    # Methods of which none ends with another: a call may begin within a method, too.
    rb"(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH|PROPFIND|PROPPATCH|MKCOL|COPY|MOVE|SEARCH|REPORT|QUERY) "
    rb"(?:\S+ HTTP/1\.[0-9]\r?\n|(?:/|\*|https?://)\S*(?: [HTP/1.0-9]{0,8}\r?)?\Z)"
)
"""A request line, or what becomes one, so likely that reading may begin with it."""
RESPONSE_START = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n")
"""A status line."""
RESPONSE_START_CUT = re.compile(rb"(?:H|HT|HTT|HTTP|HTTP/|HTTP/1|HTTP/1\.|HTTP/1\.[0-9](?: [^\n]*)?)\Z")
"""What may become a status line."""
RESPONSE_FOUND = re.compile(rb"HTTP/1\.[0-9] [1-9][0-9]{2}(?: [^\r\n]*)?\r?(?:\n|\Z)")
"""A status line, or what becomes one, so likely that reading may begin with it."""


class RequestHead(NamedTuple):
    """What the head of a request says."""

    method: str
    path: str
    """Without the query; "*" and an authority (CONNECT) as they are."""
    host: str
    trace: TraceContext | None
    body: int
    """Bytes, CHUNKED or NOT_UNDERSTOOD."""
    announces_trailers: bool
    expects_continue: bool
    upgrade: str
    """The protocols that the sender would like to go on with, in lower case."""


class ResponseHead(NamedTuple):
    """What the head of a response says."""

    status: int
    body: int
    """Bytes, CHUNKED, UNTIL_END or NOT_UNDERSTOOD, for a response that may have a body."""
    announces_trailers: bool
    upgrade: str
    """The protocol that the connection goes on with (only read with 101), in lower case."""


def read_request_head(head: bytes) -> RequestHead | None:
    """Read a head, which ends with its empty line; None when its first line is no request line."""
    line = REQUEST_START.match(head)
    if line is None:
        return None
    if b"\n " in head or b"\n\t" in head:
        head = _FOLDING.sub(b" ", head)
    lower = head.lower()
    method, target = line[1].decode(), line[2].decode("latin-1")
    host = _value(head, lower, b"\nhost:").decode("latin-1")
    if target[0] == "/":
        path = target.partition("?")[0]
    else:
        path, authority = _other_target(method, target)
        host = host or authority
    body = _body(lower, is_request=True)
    return RequestHead(
        method,
        path[:MAXIMUM_PATH],
        host[:MAXIMUM_HOST],
        _trace(head, lower),
        body,
        body == CHUNKED and b"\ntrailer:" in lower,
        body != 0 and _value(lower, lower, b"\nexpect:") == b"100-continue",
        _value(lower, lower, b"\nupgrade:").decode("latin-1"),
    )


def read_response_head(head: bytes) -> ResponseHead | None:
    """Read a head, which ends with its empty line; None when its first line is no status line."""
    line = RESPONSE_START.match(head)
    if line is None:
        return None
    if b"\n " in head or b"\n\t" in head:
        head = _FOLDING.sub(b" ", head)
    lower = head.lower()
    status, body = int(line[1]), _body(lower, is_request=False)
    upgrade = _value(lower, lower, b"\nupgrade:").decode("latin-1") if status == SWITCHING_PROTOCOLS else ""
    return ResponseHead(status, body, body == CHUNKED and b"\ntrailer:" in lower, upgrade)


def end_of_head(data: bytes | bytearray, start: int) -> int:
    """Where the head ends that begins at or before `start`: behind its empty line; -1 when it goes on."""
    end = data.find(b"\n\r\n", start)
    bare = data.find(b"\n\n", start) if end < 0 else data.find(b"\n\n", start, end + 1)
    if bare >= 0:
        return bare + 2
    return end + 3 if end >= 0 else -1


def _value(head: bytes, lower: bytes, field: bytes) -> bytes:
    """The value of the first of the fields of a name, which stands between a line's beginning and a colon."""
    at = lower.find(field)
    if at < 0:
        return b""
    at += len(field)
    return head[at : head.index(b"\n", at)].strip()


def _values(lower: bytes, field: bytes) -> list[bytes]:
    """The elements of all lists that the fields of a name have."""
    return [
        element.strip()
        for line in lower.split(field)[1:]  # each begins with a value
        for element in line.partition(b"\n")[0].split(b",")
    ]


def _other_target(method: str, target: str) -> tuple[str, str]:
    """Path and authority of a target that is not in origin form (RFC 9112 3.2)."""
    if method == "CONNECT":
        return target, target
    scheme, mark, rest = target.partition("?")[0].partition("://")
    if not mark:
        return scheme, ""
    authority, _, path = rest.partition("/")
    return "/" + path, authority.rpartition("@")[2]


def _body(lower: bytes, *, is_request: bool) -> int:
    """How the end of the body is found (RFC 9112 6.3)."""
    if b"\ntransfer-encoding:" in lower:
        if _values(lower, b"\ntransfer-encoding:")[-1] == b"chunked":
            return CHUNKED
        return NOT_UNDERSTOOD if is_request else UNTIL_END
    at = lower.find(_CONTENT_LENGTH)
    if at < 0:
        return 0 if is_request else UNTIL_END
    at += len(_CONTENT_LENGTH)
    length = lower[at : lower.index(b"\n", at)].strip()
    if lower.find(_CONTENT_LENGTH, at) >= 0 or b"," in length:
        lengths = set(_values(lower, _CONTENT_LENGTH))
        length = lengths.pop() if len(lengths) == 1 else b""
    return int(length) if _LENGTH.fullmatch(length) else NOT_UNDERSTOOD


def _trace(head: bytes, lower: bytes) -> TraceContext | None:
    if not (b"\nsw8:" in lower or b"\ntraceparent:" in lower or b"\nb3:" in lower or b"\nx-b3-traceid:" in lower):
        return None
    fields = {
        name: value.decode("latin-1")
        for name, field in _TRACE_FIELDS
        if field in lower and len(value := _value(head, lower, field)) <= _MAXIMUM_TRACE_FIELD
    }
    return trace_context(fields) if fields else None
