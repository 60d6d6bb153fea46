"""Exchanges on the wire, read back by the schema."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events.layout import EventKind
from agent.export.exchange_rows import ExchangeRows
from agent.export.protocol_logs import PORTION
from agent.export.protocol_logs import encode_protocol_logs as encoded_rows
from agent.protocols.conversations import Told
from agent.protocols.exchange import Exchange, Half, TraceContext, TraceProvider, Version
from protos.ebpf import accesslog_pb2 as wire
from tests.agent.synthetic import World, event

(VIEW,) = World().track(event(EventKind.ACCEPT, local=("127.0.0.1", 80))).views.values()


def encode_protocol_logs(exchanges: list[Exchange]) -> list[bytes]:
    """Each by itself."""
    rows = ExchangeRows()
    rows.add([Told(VIEW, exchange, EventKind.READ, is_tls=False) for exchange in exchanges], {})
    data, ends = encoded_rows(rows.table(), rows.texts())
    return [bytes(data[begin:end]) for begin, end in pairwise([0, *ends.tolist()])]


def sent(exchange: Exchange) -> wire.AccessLogHTTPProtocol:
    (encoded,) = encode_protocol_logs([exchange])
    return wire.EBPFAccessLogMessage.FromString(encoded).protocolLog.http


REQUEST = Half(first_ns=100, last_ns=110, first_call_ns=90, last_call_ns=105, header_bytes=50, body_bytes=7)
RESPONSE = Half(first_ns=120, last_ns=130, first_call_ns=119, last_call_ns=125, header_bytes=60, body_bytes=1 << 40)


def test_every_field() -> None:
    trace = TraceContext(TraceProvider.SKYWALKING, "trace", "segment", "3")
    http = sent(
        Exchange(
            Version.HTTP2,
            "PATCH",
            "/a",
            "host:80",
            404,
            REQUEST,
            RESPONSE,
            trace,
            grpc_status=0,
            slice=2,
            is_last=False,
            caller="GET:/b",
        )
    )
    assert http.startTime.offset.offset == 100
    assert http.endTime.offset.offset == 130
    assert http.version == wire.HTTP2
    assert (http.request.method, http.request.path, http.request.host) == (wire.Patch, "/a", "host:80")
    assert (http.request.sizeOfHeadersBytes, http.request.sizeOfBodyBytes) == (50, 7)
    assert (http.response.statusCode, http.response.sizeOfHeadersBytes) == (404, 60)
    assert http.response.sizeOfBodyBytes == 1 << 40
    assert http.request.trace == wire.AccessLogTraceInfo(
        provider=wire.SkyWalking, traceId="trace", traceSegmentId="segment", spanId="3"
    )
    assert http.response.HasField("grpcStatus")
    assert http.response.grpcStatus == 0
    assert (http.slice, http.isContinued, http.callerEndpoint) == (2, True, "GET:/b")


def test_what_is_not_known_is_absent() -> None:
    http = sent(Exchange(Version.HTTP1, "GET", "/", request=REQUEST))
    assert http.endTime.offset.offset == 110
    assert not http.response.HasField("grpcStatus")
    assert not http.request.HasField("trace")
    assert (http.response.statusCode, http.slice, http.isContinued, http.callerEndpoint) == (0, 0, False, "")


def test_a_response_that_was_there_before_the_end_of_the_request() -> None:
    request = Half(first_ns=100, last_ns=200, header_bytes=1)
    assert sent(Exchange(Version.HTTP1, "PUT", "/", request=request, response=RESPONSE)).endTime.offset.offset == 200


@pytest.mark.parametrize(
    ("method", "stands_as", "name"),
    [
        ("GET", wire.Get, ""),
        ("POST", wire.Post, ""),
        ("PUT", wire.Put, ""),
        ("DELETE", wire.Delete, ""),
        ("HEAD", wire.Head, ""),
        ("PATCH", wire.Patch, ""),
        ("OPTIONS", wire.Options, ""),
        ("TRACE", wire.Trace, ""),
        ("CONNECT", wire.Connect, ""),
        ("PROPFIND", wire.Get, "PROPFIND"),
        ("MKCOL", wire.Post, "MKCOL"),
        ("get", wire.Post, "get"),  # methods are case-sensitive (RFC 9110, section 9.1)
    ],
)
def test_any_method(method: str, stands_as: int, name: str) -> None:
    request = sent(Exchange(Version.HTTP1, method, "/", request=REQUEST)).request
    assert (request.method, request.methodName) == (stands_as, name)


HALVES = st.builds(
    Half,
    first_ns=st.integers(1, 2**63),
    last_ns=st.integers(1, 2**63),
    header_bytes=st.integers(0, 2**40),
    body_bytes=st.integers(0, 2**63),
)
TEXTS = st.text(st.characters(max_codepoint=255), max_size=40)
EXCHANGES = st.builds(
    Exchange,
    st.sampled_from(Version),
    st.sampled_from(["GET", "POST", "CONNECT", "MKCOL", "SEARCH"]),
    TEXTS,
    TEXTS,
    st.integers(0, 999),
    HALVES,
    HALVES,
    st.one_of(st.none(), st.builds(TraceContext, st.sampled_from(TraceProvider), TEXTS, TEXTS, TEXTS)),
    st.one_of(st.none(), st.integers(0, 16)),
    st.integers(0, 3),
    st.booleans(),
    TEXTS,
)


def field_by_field(exchange: Exchange) -> wire.EBPFAccessLogMessage:
    message = wire.EBPFAccessLogMessage()
    http = message.protocolLog.http
    http.startTime.offset.offset = min(exchange.request.first_ns, exchange.response.first_ns)
    http.endTime.offset.offset = max(exchange.request.last_ns, exchange.response.last_ns)
    http.version = exchange.version.value  # type: ignore[assignment] # the enum's values
    methods = {"GET": wire.Get, "POST": wire.Post, "CONNECT": wire.Connect, "MKCOL": wire.Post, "SEARCH": wire.Get}
    http.request.method = methods[exchange.method]
    if exchange.method in {"MKCOL", "SEARCH"}:
        http.request.methodName = exchange.method
    http.request.path, http.request.host = exchange.path, exchange.host
    for half, side in ((exchange.request, http.request), (exchange.response, http.response)):
        side.sizeOfHeadersBytes, side.sizeOfBodyBytes = half.header_bytes, half.body_bytes
    if exchange.trace:
        http.request.trace.provider = exchange.trace.provider.value  # type: ignore[assignment] # same
        http.request.trace.traceId = exchange.trace.trace_id
        http.request.trace.traceSegmentId, http.request.trace.spanId = exchange.trace.segment_id, exchange.trace.span_id
    http.response.statusCode = exchange.status
    if exchange.grpc_status is not None:
        http.response.grpcStatus = exchange.grpc_status
    http.callerEndpoint, http.slice, http.isContinued = exchange.caller, exchange.slice, not exchange.is_last
    return message


@given(st.lists(EXCHANGES, max_size=9))
def test_bytes_are_those_of_the_message_built_field_by_field(exchanges: list[Exchange]) -> None:
    expected = [field_by_field(exchange) for exchange in exchanges]
    encoded = encode_protocol_logs(exchanges)
    assert [wire.EBPFAccessLogMessage.FromString(data) for data in encoded] == expected
    assert encoded == [message.SerializeToString(deterministic=True) for message in expected]


def test_more_than_are_encoded_at_a_time() -> None:
    exchanges = [Exchange(Version.HTTP1, "GET", f"/{number}", request=REQUEST) for number in range(2 * PORTION + 1)]
    paths = [
        wire.EBPFAccessLogMessage.FromString(data).protocolLog.http.request.path
        for data in encode_protocol_logs(exchanges)
    ]
    assert paths == [exchange.path for exchange in exchanges]
