"""Logs of exchanges become rows of their own."""

from collections.abc import Callable
from typing import Any

import pytest

from backend.ingest.batch import START, LogKind
from backend.ingest.counts import LogLoss
from backend.ingest.framing import Frames
from backend.ingest.interning import LARGEST_TEXT
from protos.ebpf.accesslog_pb2 import AccessLogHTTPProtocolVersion, AccessLogProtocolLogs
from tests.backend.ingest.messages import http_log, message, read_log
from tests.backend.ingest.streaming import (
    BOOT,
    SECOND,
    TEXTS,
    lost,
    named,
    numbers_of,
    receive,
    remotes,
    stream,
    texts_of,
)


def test_an_exchange_is_a_row_behind_the_kernel_logs_beside_it() -> None:
    exchange = http_log("Post", "/orders", 201, start=90 * SECOND, end=90 * SECOND + 5)
    request, response = exchange.http.request, exchange.http.response
    exchange.http.version, request.host = AccessLogHTTPProtocolVersion.HTTP2, "shop"
    request.sizeOfHeadersBytes, request.sizeOfBodyBytes = 10, 20
    response.sizeOfHeadersBytes, response.sizeOfBodyBytes, response.grpcStatus = 30, 40, 13
    exchange.http.callerEndpoint, exchange.http.slice, exchange.http.isContinued = "GET:/cart", 3, True
    receiving, batch = receive(named(read_log(), read_log(), protocol=exchange))
    assert batch is not None
    assert batch.kind.tolist() == [LogKind.READ, LogKind.READ, LogKind.HTTP]
    assert batch.minute.tolist()[2] == (BOOT + 90) // 60
    assert batch.duration_ns.tolist()[2] == 5
    numbers = numbers_of(batch, 2)
    texts = {name: batch.texts[numbers.pop(name)] for name in [*numbers] if name.endswith(TEXTS)}
    assert numbers == {
        START: 90 * SECOND,
        "http.version": 1,
        "http.request.method": 1,
        "http.request.sizeOfHeadersBytes": 10,
        "http.request.sizeOfBodyBytes": 20,
        "http.response.statusCode": 201,
        "http.response.sizeOfHeadersBytes": 30,
        "http.response.sizeOfBodyBytes": 40,
        "http.response.grpcStatus": 13,
        "http.slice": 3,
        "http.isContinued": 1,
    }
    assert texts == {"http.request.path": "/orders", "http.request.host": "shop", "http.callerEndpoint": "GET:/cart"}
    assert (receiving.counts.logs, receiving.counts.protocol_logs, receiving.counts.accepted) == (3, 1, 3)


def test_texts_are_numbered_once_for_a_batch_however_many_runs_it_is_of() -> None:
    receiving = stream()
    for path in ("/a", "/b", "/a", "", "/c"):
        receiving.take(Frames.of([named(protocol=http_log(path=path)).SerializeToString()]))
    waiting = receiving.waiting_bytes
    batch = receiving.batch()
    assert batch is not None
    assert texts_of(batch, "http.request.path") == ["/a", "/b", "/a", "", "/c"]
    assert list(batch.texts) == ["", "/a", "/b", "/c"]
    assert waiting == 5 * (21 * 8 + 17) + 3 * (2 + 200)
    _, after = receive(named(protocol=http_log(path="/d")), into=receiving)
    assert after is not None
    assert list(after.texts) == ["", "/d"]


def test_long_texts_are_cut_between_characters() -> None:
    _, batch = receive(named(protocol=http_log(path="x" + "ä" * LARGEST_TEXT)))
    assert batch is not None
    assert texts_of(batch, "http.request.path") == ["x" + "ä" * (LARGEST_TEXT // 2 - 1)]


def test_a_method_without_a_number_has_its_name() -> None:
    _, batch = receive(named(protocol=http_log("PROPFIND")), named(protocol=http_log("Get")))
    assert batch is not None
    assert texts_of(batch, "http.request.methodName") == ["PROPFIND", ""]


def test_an_exchange_belongs_to_the_connection_before_it() -> None:
    _, batch = receive(
        named(remote="a", protocol=http_log()), message(protocol=http_log()), message(remote="b", protocol=http_log())
    )
    assert remotes(batch) == ["a", "a", "b"]


@pytest.mark.parametrize(
    ("spoil", "loss"),
    [
        (lambda log: log.http.ClearField("startTime"), LogLoss.TIME_MISSING),
        (lambda log: log.http.endTime.ClearField("offset"), LogLoss.TIME_MISSING),
        (lambda log: setattr(log.http.endTime.offset, "offset", 1), LogLoss.TIME_INVERTED),
        (lambda log: setattr(log.http.endTime.offset, "offset", 2**63), LogLoss.TIME_FUTURE),
        (lambda log: setattr(log.http.request, "sizeOfBodyBytes", 2**53 + 1), LogLoss.VALUE_OUT_OF_RANGE),
        (lambda log: setattr(log.http.response, "sizeOfHeadersBytes", 2**64 - 1), LogLoss.VALUE_OUT_OF_RANGE),
        (lambda log: setattr(log.http.response, "statusCode", -1), LogLoss.VALUE_OUT_OF_RANGE),
        (lambda log: log.ClearField("http"), LogLoss.UNKNOWN_OPERATION),
    ],
)
def test_an_exchange_that_cannot_be_is_lost_alone(
    spoil: Callable[[AccessLogProtocolLogs], object], loss: LogLoss
) -> None:
    exchange = http_log(path="/lost")
    spoil(exchange)
    receiving, batch = receive(named(read_log(), protocol=exchange), message(protocol=http_log(path="/kept")))
    assert batch is not None
    assert batch.kind.tolist() == [LogKind.READ, LogKind.HTTP]
    assert list(batch.texts) == ["", "/kept"]
    assert lost(receiving) == {loss: 1}


def test_numbers_of_an_exchange_that_count_nothing_may_be_anything() -> None:
    odd = http_log(status=77_777)
    http: Any = odd.http  # enums are given numbers without a name
    http.version, http.request.method, http.slice = 99, -3, 2**32 - 1
    odd.http.response.grpcStatus = -1
    _, batch = receive(named(protocol=odd))
    assert batch is not None
    assert batch.columns["http.response.statusCode"].tolist() == [77_777]
    assert batch.columns["http.request.method"].tolist() == [-3]


def test_exchanges_without_a_connection_are_lost_as_other_logs() -> None:
    receiving, batch = receive(message(protocol=http_log(), node="n", boot=BOOT))
    assert batch is None
    assert lost(receiving) == {LogLoss.NO_CONNECTION: 1}
