"""Exchanges as the serialised `protocolLog` of an access-log message."""

from typing import Final

from agent.export.encoder import encode_varint
from agent.protocols.exchange import Exchange, Half
from protos.ebpf import accesslog_pb2 as wire

_TAG: Final = encode_varint(
    wire.EBPFAccessLogMessage.DESCRIPTOR.fields_by_name["protocolLog"].number << 3 | 2  # length-delimited
)

_METHODS: Final = {
    "GET": wire.Get,
    "POST": wire.Post,
    "PUT": wire.Put,
    "DELETE": wire.Delete,
    "HEAD": wire.Head,
    "PATCH": wire.Patch,
    "OPTIONS": wire.Options,
    "TRACE": wire.Trace,
    "CONNECT": wire.Connect,
}
_SAFE_METHODS: Final = frozenset(("PROPFIND", "REPORT", "SEARCH", "QUERY"))
"""Methods that only ask (IANA's registry of HTTP methods), for which the wire has no value."""


def encode_protocol_log(exchange: Exchange) -> bytes:
    """The `protocolLog` of a message, with its tag.

    A method for which the wire has no value stands as GET when it only asks, else as POST, and by its name in
    `methodName`.
    """
    request = wire.AccessLogHTTPProtocolRequest(
        method=_METHODS.get(exchange.method, wire.Get if exchange.method in _SAFE_METHODS else wire.Post),
        path=exchange.path,
        sizeOfHeadersBytes=exchange.request.header_bytes,
        sizeOfBodyBytes=exchange.request.body_bytes,
        host=exchange.host,
    )
    if exchange.method not in _METHODS:
        request.methodName = exchange.method
    if exchange.trace is not None:
        request.trace.provider = exchange.trace.provider.value  # type: ignore[assignment] # the enum's values
        request.trace.traceId = exchange.trace.trace_id
        request.trace.traceSegmentId = exchange.trace.segment_id
        request.trace.spanId = exchange.trace.span_id
    start_ns, end_ns = _times(exchange)
    log = wire.AccessLogProtocolLogs(
        http=wire.AccessLogHTTPProtocol(
            startTime=_timestamp(start_ns),
            endTime=_timestamp(end_ns),
            version=exchange.version.value,  # type: ignore[arg-type] # the enum's values
            request=request,
            response=wire.AccessLogHTTPProtocolResponse(
                statusCode=exchange.status,
                sizeOfHeadersBytes=exchange.response.header_bytes,
                sizeOfBodyBytes=exchange.response.body_bytes,
                grpcStatus=exchange.grpc_status,
            ),
            callerEndpoint=exchange.caller,
            slice=exchange.slice,
            isContinued=not exchange.is_last,
        )
    ).SerializeToString(deterministic=True)
    return _TAG + encode_varint(len(log)) + log


def _times(exchange: Exchange) -> tuple[int, int]:
    """From the first byte of the request to the last one of the response; of a half that had none, the other's."""
    halves: tuple[Half, Half] = exchange.request, exchange.response
    begun = [half.first_ns for half in halves if half.first_ns]
    return min(begun, default=0), max(half.last_ns for half in halves)


def _timestamp(ns: int) -> wire.EBPFTimestamp:
    return wire.EBPFTimestamp(offset=wire.EBPFOffsetTimestamp(offset=ns))
