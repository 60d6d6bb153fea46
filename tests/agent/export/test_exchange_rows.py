"""Exchanges as columns."""

import numpy as np
import pytest

from agent.connections.view import View
from agent.events.layout import EventKind
from agent.export.exchange_rows import EXCHANGE, NO_GRPC_STATUS, ExchangeRows
from agent.protocols.conversations import Told
from agent.protocols.exchange import Exchange, Half, TraceContext, TraceProvider, Version
from protos.ebpf import accesslog_pb2 as wire
from tests.agent.synthetic import World, event

(VIEW,) = World().track(event(EventKind.ACCEPT, local=("127.0.0.1", 80))).views.values()
LARGEST = 2**64 - 1
TRACE = TraceContext(TraceProvider.ZIPKIN, "trace", "segment", "span")


def told(exchange: Exchange, requests: EventKind = EventKind.READ, *, is_tls: bool = False) -> Told:
    return Told(VIEW, exchange, requests, is_tls)


def test_every_column() -> None:
    exchange = Exchange(
        Version.HTTP2,
        "MKCOL",
        "/path",
        "host",
        599,
        Half(1, 2, 3, 4, 5, 6),
        Half(7, 8, 9, 10, 11, LARGEST),
        TRACE,
        grpc_status=0,
        slice=12,
        is_last=False,
        caller="GET:/",
    )
    rows, views = ExchangeRows(), dict[int, View]()
    rows.add([told(exchange, EventKind.WRITE, is_tls=True)], views)
    (row,), texts = rows.table(), rows.texts()
    assert views == {VIEW.number: VIEW}
    assert row["view"] == VIEW.number
    assert row["request"].tolist() == (1, 2, 3, 4, 5, 6)
    assert row["response"].tolist() == (7, 8, 9, 10, 11, LARGEST)
    assert texts.paths[row["path"]] == "/path"
    assert texts.hosts[row["host"]] == "host"
    assert texts.method_names[row["method_name"]] == "MKCOL"
    assert texts.callers[row["caller"]] == "GET:/"
    assert texts.traces[row["trace"]] is TRACE
    assert (row["slice"], row["grpc_status"], row["status"]) == (12, 0, 599)
    assert (row["method"], row["version"], row["requests"]) == (wire.Post, wire.HTTP2, EventKind.WRITE)
    assert (bool(row["is_continued"]), bool(row["is_tls"])) == (True, True)


def test_what_is_not_there_stands_at_place_0() -> None:
    rows = ExchangeRows()
    rows.add([told(Exchange(Version.HTTP1, "GET", "/"))], {})
    (row,) = rows.table()
    assert [int(row[name]) for name in ("host", "method_name", "caller", "trace", "slice", "status")] == [0] * 6
    assert row["grpc_status"] == NO_GRPC_STATUS
    texts = rows.texts()
    assert (texts.hosts, texts.method_names, texts.callers, texts.traces) == ([""], [""], [""], [None])


def test_each_distinct_text_is_kept_once() -> None:
    rows = ExchangeRows()
    for number in range(6):
        rows.add([told(Exchange(Version.HTTP1, "GET", f"/{number % 2}", "host"))], {})
    assert rows.table()["path"].tolist() == [1, 2, 1, 2, 1, 2]
    assert rows.texts().paths == ["", "/0", "/1"]
    assert rows.texts().hosts == ["", "host"]
    assert len(rows) == 6


def test_what_happens_to_an_exchange_after_it_was_told_changes_nothing() -> None:
    exchange = Exchange(Version.HTTP1, "GET", "/", request=Half(1, 2, 3, 4, 5, 6))
    rows = ExchangeRows()
    rows.add([told(exchange)], {})
    exchange.request.body_bytes += 1
    assert rows.table()["request"]["body_bytes"].tolist() == [6]


def test_the_columns_are_those_that_are_packed() -> None:
    assert EXCHANGE.itemsize == 144
    rows = ExchangeRows()
    assert len(rows.table()) == len(rows) == 0
    with pytest.raises(ValueError, match="read-only"):
        rows.table()["view"][:] = np.int64(1)
