"""Exchanges on the wire, read back by the schema."""

import pytest

from agent.export.protocol_logs import encode_protocol_log
from agent.protocols.exchange import Exchange, Half, TraceContext, TraceProvider, Version
from protos.ebpf import accesslog_pb2 as wire


def sent(exchange: Exchange) -> wire.AccessLogHTTPProtocol:
    return wire.EBPFAccessLogMessage.FromString(encode_protocol_log(exchange)).protocolLog.http


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
