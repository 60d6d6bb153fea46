"""Exchanges as the serialised `protocolLog` of the access-log message."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, cast

import numpy as np
from google.protobuf.descriptor import Descriptor

from agent.export.encoder import Block, Column, MessageEncoder, encode_varint, packed
from agent.protocols.exchange import Exchange
from protos.ebpf import accesslog_pb2 as wire

PORTION: Final = 1_000
"""Exchanges encoded at a time: each takes as much memory as the longest text among them."""

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
_OTHER_METHODS: Final = dict.fromkeys(("PROPFIND", "REPORT", "SEARCH", "QUERY"), wire.Get)
"""Methods that only ask (IANA's registry of HTTP methods), for which the wire has no value; all others are POST."""

_NUMBERS: Final = (
    "http.startTime.offset.offset",
    "http.endTime.offset.offset",
    "http.version",
    "http.request.method",
    "http.request.sizeOfHeadersBytes",
    "http.request.sizeOfBodyBytes",
    "http.response.statusCode",
    "http.response.sizeOfHeadersBytes",
    "http.response.sizeOfBodyBytes",
    "http.slice",
    "http.isContinued",
)
"""In the order of `_numbers`."""
_PATH, _HOST, _METHOD_NAME = "http.request.path", "http.request.host", "http.request.methodName"
_CALLER, _TRACE, _GRPC_STATUS = "http.callerEndpoint", "http.request.trace", "http.response.grpcStatus"
_TEXTS: Final = (_PATH, _HOST, _METHOD_NAME, _CALLER)
_GIVEN: Final = (*_TEXTS, _TRACE, _GRPC_STATUS)
_ENCODER: Final = MessageEncoder(wire.EBPFAccessLogMessage, "protocolLog", [*_NUMBERS, *_GIVEN], given=_GIVEN)


def _tag_of(path: str) -> bytes:
    """The tag of a text field of the protocol log."""
    # The C implementation's descriptors have the same interface; only the type stubs tell them apart.
    message = cast("Descriptor", wire.AccessLogProtocolLogs.DESCRIPTOR)
    *parents, name = path.split(".")
    for parent in parents:
        message = cast("Descriptor", message.fields_by_name[parent].message_type)
    return encode_varint(message.fields_by_name[name].number << 3 | 2)  # length-delimited


_TAGS: Final = {path: _tag_of(path) for path in _TEXTS}


def encode_protocol_logs(exchanges: Sequence[Exchange]) -> list[bytes]:
    """The `protocolLog` of a message for each exchange, with its tag.

    A method for which the wire has no value stands as GET when it only asks, else as POST, and by its name in
    `methodName`. Times run from the first byte of the request to the last one of the exchange.
    """
    encoded: list[bytes] = []
    for first in range(0, len(exchanges), PORTION):
        portion = exchanges[first : first + PORTION]
        block = _ENCODER.encode(_columns(portion), len(portion))
        data, ends = block.data[block.present].tobytes(), block.lengths.cumsum().tolist()
        encoded += [data[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
    return encoded


def _columns(exchanges: Sequence[Exchange]) -> dict[str, Column]:
    numbers = np.array([_numbers(exchange) for exchange in exchanges], dtype=np.uint64)
    return {
        **{path: numbers[:, at] for at, path in enumerate(_NUMBERS)},
        _PATH: _texts(_PATH, (exchange.path for exchange in exchanges)),
        _HOST: _texts(_HOST, (exchange.host for exchange in exchanges)),
        _METHOD_NAME: _texts(
            _METHOD_NAME, ("" if exchange.method in _METHODS else exchange.method for exchange in exchanges)
        ),
        _CALLER: _texts(_CALLER, (exchange.caller for exchange in exchanges)),
        _TRACE: packed([_trace(exchange) for exchange in exchanges]),
        _GRPC_STATUS: packed([_grpc_status(exchange.grpc_status) for exchange in exchanges]),
    }


def _numbers(exchange: Exchange) -> tuple[int, ...]:
    request, response = exchange.request, exchange.response
    begun = request.first_ns, response.first_ns
    method = _METHODS.get(exchange.method)
    return (
        min(begun) or max(begun),
        max(request.last_ns, response.last_ns),
        exchange.version,
        _OTHER_METHODS.get(exchange.method, wire.Post) if method is None else method,
        request.header_bytes,
        request.body_bytes,
        exchange.status,
        response.header_bytes,
        response.body_bytes,
        exchange.slice,
        not exchange.is_last,
    )


def _texts(path: str, values: Iterable[str]) -> Block:
    tag = _TAGS[path]
    encoded = (value.encode() for value in values)
    return packed([tag + encode_varint(len(value)) + value if value else b"" for value in encoded])


def _trace(exchange: Exchange) -> bytes:
    if exchange.trace is None:
        return b""
    trace = wire.AccessLogTraceInfo(
        provider=exchange.trace.provider.value,  # type: ignore[arg-type] # the enum's values
        traceId=exchange.trace.trace_id,
        traceSegmentId=exchange.trace.segment_id,
        spanId=exchange.trace.span_id,
    )
    return wire.AccessLogHTTPProtocolRequest(trace=trace).SerializeToString()


@lru_cache(maxsize=64)
def _grpc_status(status: int | None) -> bytes:
    """Also a status of 0 is written."""
    return b"" if status is None else wire.AccessLogHTTPProtocolResponse(grpcStatus=status).SerializeToString()
