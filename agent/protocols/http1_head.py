"""Heads of HTTP/1 messages: the start line, and what a reader of exchanges needs of the header fields.

Sources: RFC 9112 2 to 6 (syntax and framing), RFC 9110 5.6.2 (tokens). The well-kept parsers on PyPI (h11, httptools)
are not used because they have to be given every byte of bodies, and make an object of each field.
"""

import re
from collections.abc import Collection, Mapping

from agent.protocols.exchange import Head, TraceContext
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
_LENGTH = re.compile(r"[0-9]{1,18}")
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}"
_SPACE = " \t\r\n\v\f"
# Fields are read as the characters of the same numbers (latin-1): one step for all of them.
_FOLDING = re.compile(r"(?:\r?\n)+[ \t]+")
_HOST, _EXPECT, _UPGRADE, _TRAILER = "host", "expect", "upgrade", "trailer"
_CONTENT_LENGTH, _TRANSFER_ENCODING = "content-length", "transfer-encoding"
_LISTS = frozenset((_CONTENT_LENGTH, _TRANSFER_ENCODING))  # their elements may stand in several fields


def _pattern(names: Collection[str]) -> re.Pattern[str]:
    """Finds names and values of fields, and lines that go on with the value before, as nothing and nothing."""
    firsts = "".join(sorted({name[:1] for name in names}))
    return re.compile(
        # What may come first is asked first: most lines are passed over by that.
        rf"\n(?:(?=[{firsts}])({'|'.join(names)}):([^\n]*)|[ \t])",
        re.IGNORECASE | re.ASCII,
    )


_FRAMING = (_CONTENT_LENGTH, _TRANSFER_ENCODING, _TRAILER, _UPGRADE)
_REQUEST_FIELDS = _pattern((*_FRAMING, _HOST, _EXPECT, *sorted(TRACE_FIELDS)))
_RESPONSE_FIELDS = _pattern(_FRAMING)

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


class RequestHead(Head, frozen=True, gc=False):
    """What the head of a request says; `body` is a number of bytes, CHUNKED or NOT_UNDERSTOOD."""

    method: str
    path: str
    """Without the query; "*" and an authority (CONNECT) as they are."""
    host: str
    trace: TraceContext | None
    announces_trailers: bool = False
    expects_continue: bool = False
    upgrade: str = ""
    """The protocols that the sender would like to go on with, in lower case."""


class ResponseHead(Head, frozen=True, gc=False):
    """What the head of a response says; `body` is what there is where there may be one, also UNTIL_END."""

    status: int
    announces_trailers: bool = False
    upgrade: str = ""
    """The protocol that the connection goes on with (only read with 101), in lower case."""


def end_of_head(data: bytes | bytearray, start: int) -> int:
    """Where the head ends that begins at or before `start`: behind its empty line; -1 when it goes on."""
    # Two searches for fixed bytes take less than half as long as one for a pattern of both.
    end = data.find(b"\n\r\n", start)
    bare = data.find(b"\n\n", start, len(data) if end < 0 else end + 1)
    if bare >= 0:
        return bare + 2
    return end + 3 if end >= 0 else -1


def request_head(head: bytes) -> RequestHead | None:
    """Read a head, which ends with its empty line; None when its first line is no request line."""
    line = REQUEST_START.match(head)
    if line is None:
        return None
    fields = _fields(_REQUEST_FIELDS, head.decode("latin-1"))
    method, target = line[1].decode(), line[2].decode("latin-1")
    host = fields.get(_HOST, "")
    if target[0] == "/":
        path = target.partition("?")[0]
    else:
        path, authority = _other_target(method, target)
        host = host or authority
    body = _body(fields, otherwise=0, unknown_coding=NOT_UNDERSTOOD)
    return RequestHead(
        len(head),
        body,
        method,
        path[:MAXIMUM_PATH],
        host[:MAXIMUM_HOST],
        None if TRACE_FIELDS.isdisjoint(fields) else read_trace(fields, len(head)),
        body == CHUNKED and _TRAILER in fields,
        body != 0 and fields.get(_EXPECT, "").lower() == "100-continue",
        fields[_UPGRADE].lower() if _UPGRADE in fields else "",
    )


def response_head(head: bytes) -> ResponseHead | None:
    """Read a head, which ends with its empty line; None when its first line is no status line."""
    line = RESPONSE_START.match(head)
    if line is None:
        return None
    fields = _fields(_RESPONSE_FIELDS, head.decode("latin-1"))
    status, body = int(line[1]), _body(fields, otherwise=UNTIL_END, unknown_coding=UNTIL_END)
    upgrade = fields.get(_UPGRADE, "").lower() if status == SWITCHING_PROTOCOLS else ""
    return ResponseHead(len(head), body, status, body == CHUNKED and _TRAILER in fields, upgrade)


def _fields(wanted: re.Pattern[str], head: str) -> dict[str, str]:
    """The first of the fields of each name, by lower-case name; of lists all elements."""
    fields: dict[str, str] = {}
    for written, value in wanted.findall(head):
        if not written:
            return _fields(wanted, _FOLDING.sub(" ", head))
        name = written.lower()
        if name not in fields:
            fields[name] = value.strip(_SPACE)
        elif name in _LISTS:
            fields[name] += "," + value
    return fields


def _elements(values: str) -> list[str]:
    """The elements of a list, in lower case."""
    return [element.strip(_SPACE) for element in values.lower().split(",")]


def _other_target(method: str, target: str) -> tuple[str, str]:
    """Path and authority of a target that is not in origin form (RFC 9112 3.2)."""
    if method == "CONNECT":
        return target, target
    scheme, mark, rest = target.partition("?")[0].partition("://")
    if not mark:
        return scheme, ""
    authority, _, path = rest.partition("/")
    return "/" + path, authority.rpartition("@")[2]


def _body(fields: Mapping[str, str], *, otherwise: int, unknown_coding: int) -> int:
    """How the end of the body is found (RFC 9112 6.3)."""
    if _TRANSFER_ENCODING in fields:
        return CHUNKED if _elements(fields[_TRANSFER_ENCODING])[-1] == "chunked" else unknown_coding
    if _CONTENT_LENGTH not in fields:
        return otherwise
    length = fields[_CONTENT_LENGTH]
    if "," in length:
        lengths = set(_elements(length))
        length = lengths.pop() if len(lengths) == 1 else ""
    return int(length) if _LENGTH.fullmatch(length) else NOT_UNDERSTOOD


def read_trace(fields: Mapping[str, str], head_bytes: int) -> TraceContext | None:
    """The trace that the fields of a request's head of so many bytes name."""
    if head_bytes > _MAXIMUM_TRACE_FIELD:
        fields = {name: value for name, value in fields.items() if len(value) <= _MAXIMUM_TRACE_FIELD}
    return trace_context(fields)
