"""The trace that a request belongs to, by the header fields that tracers add.

Sources: SkyWalking's cross-process propagation protocol version 3 (sw8), B3 propagation (Zipkin) in its single and its
multiple header encoding, and W3C Trace Context level 1 (traceparent).
"""

import base64
import binascii
import re
from collections.abc import Mapping

from agent.protocols.exchange import TraceContext, TraceProvider

TRACE_FIELDS = frozenset(("sw8", "b3", "x-b3-traceid", "x-b3-spanid", "traceparent"))
"""Lower-case names of the fields that `trace_context` reads; all others may be left out."""

MAXIMUM_ID = 256
"""Characters of an id of SkyWalking's, which are free text of any length; those with a longer one are ignored."""

_SW8_PARTS = 8
_SPAN_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)
_B3_TRACE = r"(?!0+(?![0-9a-fA-F]))([0-9a-fA-F]{32}|[0-9a-fA-F]{16})"
_B3_SPAN = r"(?!0{16})([0-9a-fA-F]{16})"
_B3_TRACE_ID = re.compile(_B3_TRACE)
_B3_SPAN_ID = re.compile(_B3_SPAN)
_B3_SINGLE = re.compile(rf"{_B3_TRACE}-{_B3_SPAN}(?:-[01d](?:-[0-9a-fA-F]{{16}})?)?")
# Versions after 00 may append parts behind another "-".
_TRACEPARENT = re.compile(
    r"(?:00|(?P<later>(?!00|ff)[0-9a-f]{2}))-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}"
    r"(?(later)(?:-.*)?)"
)


def trace_context(fields: Mapping[str, str]) -> TraceContext | None:
    """The trace context of a request; where it has several, the first of sw8, b3, x-b3-*, traceparent.

    Args:
        fields: The request's header fields, lower-case names to values; `TRACE_FIELDS` suffice. A field that is
            malformed counts as absent.
    """
    if (value := fields.get("sw8")) and (context := _skywalking(value)):
        return context
    if (value := fields.get("b3")) and (found := _B3_SINGLE.fullmatch(value)):
        return _zipkin(found[1], found[2])
    trace = fields.get("x-b3-traceid")
    if trace and _B3_TRACE_ID.fullmatch(trace):
        span = fields.get("x-b3-spanid", "")
        if _B3_SPAN_ID.fullmatch(span):
            return _zipkin(trace, span)
    if (value := fields.get("traceparent")) and (found := _TRACEPARENT.fullmatch(value)):
        return _zipkin(found[2], found[3])
    return None


def _zipkin(trace_id: str, span_id: str) -> TraceContext:
    return TraceContext(TraceProvider.ZIPKIN, trace_id, "", span_id)


def _skywalking(value: str) -> TraceContext | None:
    parts = value.split("-")
    if len(parts) != _SW8_PARTS or parts[0] not in {"0", "1"} or not _SPAN_NUMBER.fullmatch(parts[3]):
        return None
    trace_id, segment_id = _decoded(parts[1]), _decoded(parts[2])
    if not trace_id or not segment_id:
        return None
    return TraceContext(TraceProvider.SKYWALKING, trace_id, segment_id, parts[3])


def _decoded(encoded: str) -> str:
    """What a part of sw8 says, or "" where it is no text in base64."""
    if len(encoded) > MAXIMUM_ID * 2:
        return ""
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    return text if len(text) <= MAXIMUM_ID and text.isprintable() else ""
