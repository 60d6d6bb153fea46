"""What gRPC's own library sends, recorded between its client and its server and read by the parser."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import grpc
import pytest

from agent.protocols.exchange import Exchange, Flow, Piece
from agent.protocols.http2 import Http2Parser

Calls = list[tuple[Flow, bytes]]


def respond(request: bytes, context: grpc.ServicerContext) -> bytes:
    if request.startswith(b"fail"):
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
    return request * 2


def count(request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
    for number in range(int(request)):
        yield bytes(number)


def total(requests: Iterator[bytes], _context: grpc.ServicerContext) -> bytes:
    return str(sum(map(len, requests))).encode()


@contextmanager
def server() -> Iterator[int]:
    with ThreadPoolExecutor(4) as executor:
        served = grpc.server(executor)
        handlers = {
            "Respond": grpc.unary_unary_rpc_method_handler(respond),
            "Count": grpc.unary_stream_rpc_method_handler(count),
            "Total": grpc.stream_unary_rpc_method_handler(total),
        }
        served.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", handlers),))
        port = served.add_insecure_port("127.0.0.1:0")
        served.start()
        try:
            yield port
        finally:
            served.stop(None).wait()


@contextmanager
def recorder(port: int) -> Iterator[tuple[int, Calls]]:
    """A port that leads to another one, and what passes on its first connection."""
    calls: Calls = []
    lock = threading.Lock()

    def forward(flow: Flow, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):  # an end that is done may reset the connection
            while data := source.recv(65_536):
                with lock:
                    calls.append((flow, data))
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def connect() -> None:
        client, _ = listener.accept()
        with client, socket.create_connection(("127.0.0.1", port)) as onward:
            back = threading.Thread(target=forward, args=(Flow.RESPONSES, onward, client))
            back.start()
            forward(Flow.REQUESTS, client, onward)
            back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=connect)
        thread.start()
        yield listener.getsockname()[1], calls
        thread.join()


def converse(port: int) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        unary = channel.unary_unary("/test.Service/Respond", bytes, bytes)
        counting = channel.unary_stream("/test.Service/Count", bytes, bytes)
        totalling = channel.stream_unary("/test.Service/Total", bytes, bytes)
        for size in (0, 1, 100, 70_000):
            assert len(unary(bytes(size), metadata=(("b3", f"{size + 1:032x}-{1:016x}"),))) == 2 * size
        waiting = [unary.future(bytes(number)) for number in range(30)]
        assert [len(future.result()) for future in waiting] == [2 * number for number in range(30)]
        assert [len(part) for part in counting(b"50")] == list(range(50))
        assert totalling(iter([bytes(10)] * 20)) == b"200"
        with pytest.raises(grpc.RpcError):
            unary(b"fail")


def read(calls: Calls) -> tuple[list[Exchange], Counter[str]]:
    losses = Counter[str]()
    parser = Http2Parser(losses)
    told = []
    for number, (flow, data) in enumerate(calls):
        told += parser.feed(flow, Piece(10 * number + 1, 10 * number + 2, 10 * number + 1, len(data), data))
    assert not parser.is_busy
    return told, losses


def test_calls_of_a_client_are_understood() -> None:
    with server() as port, recorder(port) as (recorded_port, calls):
        converse(recorded_port)
    told, losses = read(calls)
    assert losses == {}
    assert {exchange.host for exchange in told} == {f"127.0.0.1:{recorded_port}"}
    assert all(exchange.request.header_bytes and exchange.response.header_bytes for exchange in told)
    seen = Counter(
        (one.method, one.path, one.status, one.grpc_status, one.request.body_bytes, one.response.body_bytes)
        for one in told
    )
    message = 5  # bytes before each message: gRPC over HTTP/2, "Length-Prefixed-Message"
    unary = [("POST", "/test.Service/Respond", 200, 0, size + message, 2 * size + message) for size in range(30)]
    unary += [("POST", "/test.Service/Respond", 200, 0, n + message, 2 * n + message) for n in (0, 1, 100, 70_000)]
    assert seen == Counter(
        [
            *unary,
            ("POST", "/test.Service/Count", 200, 0, 2 + message, sum(range(50)) + 50 * message),
            ("POST", "/test.Service/Total", 200, 0, 20 * (10 + message), 3 + message),
            ("POST", "/test.Service/Respond", 200, 5, 4 + message, 0),
        ]
    )
    traces = {one.trace.trace_id: one.request.body_bytes for one in told if one.trace is not None}
    assert traces == {f"{size + 1:032x}": size + message for size in (0, 1, 100, 70_000)}
