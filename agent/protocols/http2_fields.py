"""What a header block of HTTP/2 says of its exchange (RFC 9113 8.3), as the head of a request and of a response."""

from collections.abc import Mapping
from typing import NamedTuple

from agent.protocols.exchange import TraceContext
from agent.protocols.http2_losses import Loss
from agent.protocols.trace_context import TRACE_FIELDS, trace_context

MAXIMUM_PATH = 4_096
"""Characters of a path that are kept."""
MAXIMUM_NAME = 256
"""Characters of a method or host that are kept."""

_STATUS_DIGITS = 3
_GRPC_DIGITS = 9


class RequestFields(NamedTuple):
    """What a block says as the head of a request."""

    method: str
    path: str
    """Without its query."""
    host: str
    trace: TraceContext | None
    loss: Loss | None
    """Why the request cannot be told; then all others are empty."""


class ResponseFields(NamedTuple):
    """What a block says as the head or the trailers of a response."""

    status: int | None
    """0 when it is none; None when the block has none."""
    loss: Loss | None
    """Why the status is not known, if it is not known from another block."""
    grpc_status: int | None


def request_fields(fields: Mapping[str, str], *, has_unknown: bool) -> RequestFields:
    """Read the needed fields of a block; `has_unknown` when there were others that may have been needed."""
    method, host, path = fields.get(":method"), fields.get(":authority"), fields.get(":path")
    if method == "CONNECT" and path is None and ":protocol" not in fields and not has_unknown:
        path = host
    if method is None or path is None:
        return RequestFields("", "", "", None, Loss.TABLE_UNKNOWN if has_unknown else Loss.REQUEST_MALFORMED)
    if host is None and not has_unknown:  # an unknown field may be the authority, which counts for more
        host = fields.get("host")
    return RequestFields(
        method[:MAXIMUM_NAME],
        path.partition("?")[0][:MAXIMUM_PATH],
        (host or "")[:MAXIMUM_NAME],
        None if TRACE_FIELDS.isdisjoint(fields) else trace_context(fields),
        None,
    )


def response_fields(fields: Mapping[str, str], *, has_unknown: bool) -> ResponseFields:
    """As `request_fields`, of a response."""
    status, grpc_status = fields.get(":status"), fields.get("grpc-status")
    return ResponseFields(
        *_status(status, has_unknown=has_unknown),
        int(grpc_status) if grpc_status and len(grpc_status) <= _GRPC_DIGITS and _is_number(grpc_status) else None,
    )


def _status(status: str | None, *, has_unknown: bool) -> tuple[int | None, Loss | None]:
    """The status, and why it is not known."""
    if status is None:
        return None, Loss.TABLE_UNKNOWN if has_unknown else Loss.NOT_SEEN_WHOLE
    number = int(status) if len(status) == _STATUS_DIGITS and _is_number(status) else 0
    return number, None if number else Loss.REQUEST_MALFORMED


def _is_number(text: str) -> bool:
    return text.isdecimal() and text.isascii()
