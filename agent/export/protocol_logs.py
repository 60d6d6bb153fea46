"""Exchanges as the serialised `protocolLog` of the access-log message."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar, cast

import numpy as np
from google.protobuf.descriptor import Descriptor
from numpy.typing import NDArray

from agent.export.encoder import Block, Column, MessageEncoder, encode_varint, packed
from agent.export.exchange_rows import NO_GRPC_STATUS, Exchanges, Texts
from agent.protocols.exchange import TraceContext, TraceProvider
from protos.ebpf import accesslog_pb2 as wire

_Value = TypeVar("_Value")

PORTION: Final = 1_000
"""Exchanges encoded at a time: each takes as much memory as the longest text among them."""

_OF_EXCHANGE: Final = {
    "http.version": "version",
    "http.request.method": "method",
    "http.response.statusCode": "status",
    "http.slice": "slice",
    "http.isContinued": "is_continued",
}
_OF_REQUEST: Final = {
    "http.request.sizeOfHeadersBytes": "header_bytes",
    "http.request.sizeOfBodyBytes": "body_bytes",
}
_OF_RESPONSE: Final = {
    "http.response.sizeOfHeadersBytes": "header_bytes",
    "http.response.sizeOfBodyBytes": "body_bytes",
}
"""Wire path: name in EXCHANGE, in HALF."""
_ONE_BYTE: Final = 0x7F
"""The largest number whose varint has one byte."""
_TIMES: Final = ("http.startTime.offset.offset", "http.endTime.offset.offset")
_PATH, _HOST, _METHOD_NAME = "http.request.path", "http.request.host", "http.request.methodName"
_CALLER, _TRACE, _GRPC_STATUS = "http.callerEndpoint", "http.request.trace", "http.response.grpcStatus"
_TEXTS: Final = (_PATH, _HOST, _METHOD_NAME, _CALLER)
_GIVEN: Final = (*_TEXTS, _TRACE, _GRPC_STATUS)
_ENCODER: Final = MessageEncoder(
    wire.EBPFAccessLogMessage,
    "protocolLog",
    [*_TIMES, *_OF_EXCHANGE, *_OF_REQUEST, *_OF_RESPONSE, *_GIVEN],
    given=_GIVEN,
)


def _tag_of(path: str) -> bytes:
    """The tag of a text field of the protocol log."""
    # The C implementation's descriptors have the same interface; only the type stubs tell them apart.
    message = cast("Descriptor", wire.AccessLogProtocolLogs.DESCRIPTOR)
    *parents, name = path.split(".")
    for parent in parents:
        message = cast("Descriptor", message.fields_by_name[parent].message_type)
    return encode_varint(message.fields_by_name[name].number << 3 | 2)  # length-delimited


_TAGS: Final = {path: _tag_of(path) for path in (*_TEXTS, _TRACE)}
_TRACE_ID, _SEGMENT_ID, _SPAN_ID = (_tag_of(f"{_TRACE}.{name}") for name in ("traceId", "traceSegmentId", "spanId"))
_PROVIDERS: Final = tuple(
    wire.AccessLogTraceInfo(provider=provider.value).SerializeToString()  # type: ignore[arg-type] # the enum's values
    for provider in sorted(TraceProvider)
)
"""By number."""


def encode_protocol_logs(exchanges: Exchanges, texts: Texts) -> tuple[memoryview, NDArray[np.int64]]:
    """Exchanges to bytes: the `protocolLog` of a message for each.

    Times run from the first byte of the request to the last one of the exchange.

    Returns:
        The serialised logs one after the other, each with its tag and length; per exchange, where its log ends.
    """
    encoded, lengths = [], []
    for first in range(0, len(exchanges), PORTION):
        portion = exchanges[first : first + PORTION]
        block = _ENCODER.encode(_columns(portion, texts), len(portion))
        encoded.append(block.data[block.present])
        lengths.append(block.lengths)
    if not encoded:
        return memoryview(b""), np.empty(0, dtype=np.int64)
    return np.concatenate(encoded).data, np.concatenate(lengths).cumsum()


def _columns(exchanges: Exchanges, texts: Texts) -> dict[str, Column]:
    request, response = exchanges["request"], exchanges["response"]
    begun, answered = request["first_ns"], response["first_ns"]
    return {
        _TIMES[0]: np.where((begun == 0) | (answered == 0), begun + answered, np.minimum(begun, answered)),
        _TIMES[1]: np.maximum(request["last_ns"], response["last_ns"]),
        **{path: exchanges[name] for path, name in _OF_EXCHANGE.items()},
        **{path: request[name] for path, name in _OF_REQUEST.items()},
        **{path: response[name] for path, name in _OF_RESPONSE.items()},
        _PATH: _given(exchanges["path"], texts.paths, partial(_text, _TAGS[_PATH])),
        _HOST: _given(exchanges["host"], texts.hosts, partial(_text, _TAGS[_HOST])),
        _METHOD_NAME: _given(exchanges["method_name"], texts.method_names, partial(_text, _TAGS[_METHOD_NAME])),
        _CALLER: _given(exchanges["caller"], texts.callers, partial(_text, _TAGS[_CALLER])),
        _TRACE: _given(exchanges["trace"], texts.traces, _trace),
        _GRPC_STATUS: _grpc_statuses(exchanges["grpc_status"]),
    }


def _given(places: NDArray[np.uint32], values: Sequence[_Value], serialised: Callable[[_Value], bytes]) -> Block:
    """The values at some places, each distinct one serialised once."""
    distinct, inverse = np.unique(places, return_inverse=True)
    return _spread(packed([serialised(values[place]) if place else b"" for place in distinct.tolist()]), inverse)


def _grpc_statuses(statuses: NDArray[np.int32]) -> Block:
    """Also a status of 0 is written."""
    distinct, inverse = np.unique(statuses, return_inverse=True)
    return _spread(
        packed(
            [
                b""
                if status == NO_GRPC_STATUS
                else wire.AccessLogHTTPProtocolResponse(grpcStatus=status).SerializeToString()
                for status in distinct.tolist()
            ]
        ),
        inverse,
    )


def _spread(block: Block, rows: NDArray[np.intp]) -> Block:
    """Some rows of a block, in the order given."""
    return Block(block.data[rows], block.present[rows], block.lengths[rows])


def _text(tag: bytes, value: str) -> bytes:
    return _sized(tag, value.encode()) if value else b""


def _sized(tag: bytes, encoded: bytes) -> bytes:
    size = len(encoded)
    return b"%b%c%b" % (tag, size, encoded) if size <= _ONE_BYTE else tag + encode_varint(size) + encoded


def _trace(trace: TraceContext | None) -> bytes:
    if trace is None:
        return b""
    ids = _text(_TRACE_ID, trace.trace_id) + _text(_SEGMENT_ID, trace.segment_id) + _text(_SPAN_ID, trace.span_id)
    return _sized(_TAGS[_TRACE], _PROVIDERS[trace.provider] + ids)
