"""What sending a batch costs: the agent's transport beside grpcio, in the same run.

    python -m bench.transport [--rounds 7]

Each sender is a process of its own that sends batches of about 6 MB, one after the other. The server, a process too,
reads frames and throws them away: the least that a server can do, so that the senders are what is measured. Rounds are
interleaved, so that both meet the same machine. Time is wall clock of a batch until its answer; CPU is user plus system
time of the sender's process by getrusage(2), all its threads; memory is what /proc/self/smaps_rollup calls resident,
after the imports and after the last batch.
"""

import argparse
import json
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from agent.export.assembler import Batch

SIZES = (100, 300, 1_000_000)
BATCH_BYTES = 6_000_000
SENDERS = ("this transport", "grpcio")
TIMEOUT = 60.0
_SETTINGS, _PING, _HEADERS, _DATA, _WINDOW_UPDATE = 4, 6, 1, 0, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_HEAD = 9
_WINDOW = 1 << 20


def serve(server: socket.socket) -> NoReturn:
    """Take connections for ever."""
    while True:
        connected, _ = server.accept()
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_take, args=(connected,), daemon=True).start()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _take(connected: socket.socket) -> None:
    """Answer every request with OK, and give room for what was read."""
    # hpack: indexed ":status: 200", then literals without indexing.
    headers = b"\x88" + _literal(b"content-type", b"application/grpc")
    trailers = _literal(b"grpc-status", b"0")
    settings = (4).to_bytes(2, "big") + _WINDOW.to_bytes(4, "big")
    connected.sendall(_frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW_UPDATE, 0, 0, _WINDOW.to_bytes(4, "big")))
    stream = connected.makefile("rb", buffering=1 << 18)
    stream.read(24)
    due = 0
    while len(head := stream.read(_HEAD)) == _HEAD:
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        number = int.from_bytes(head[5:], "big")
        payload = stream.read(length)
        answer = b""
        if kind == _SETTINGS and not flags & _ACK:
            answer = _frame(_SETTINGS, _ACK, 0, b"")
        elif kind == _PING and not flags & _ACK:
            answer = _frame(_PING, _ACK, 0, payload)
        elif kind == _DATA:
            due += length
            ends = bool(flags & _END_STREAM)
            if due and (ends or due >= _WINDOW // 4):
                answer = _frame(_WINDOW_UPDATE, 0, 0, due.to_bytes(4, "big"))
                answer += b"" if ends else _frame(_WINDOW_UPDATE, 0, number, due.to_bytes(4, "big"))
                due = 0
            if ends:
                answer += _frame(_HEADERS, _END_HEADERS, number, headers) + _frame(_DATA, 0, number, b"\0\0\0\0\0")
                answer += _frame(_HEADERS, _END_HEADERS | _END_STREAM, number, trailers)
        if answer:
            connected.sendall(answer)


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def resident() -> float:
    """Resident memory of this process, in MB."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("Rss:"))) / 1024


def opened(name: str, address: str) -> Callable[[Batch], bool]:
    """A sender by its name; what it returns says whether a batch was delivered."""
    if name == "grpcio":
        return _opened_grpcio(address)
    from agent.export.transport import GrpcTransport, Outcome  # noqa: PLC0415 - the other sender does without

    transport = GrpcTransport(address)
    return lambda batch: transport.send(batch, TIMEOUT).outcome is Outcome.DELIVERED


def _opened_grpcio(address: str) -> Callable[[Batch], bool]:
    import grpc  # noqa: PLC0415 - the other sender does without

    channel = grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)])
    method = channel.stream_unary(
        "/skywalking.v3.EBPFAccessLogService/collect", request_serializer=None, response_deserializer=None
    )

    def send(batch: Batch) -> bool:
        call = method.future(iter(batch.messages), timeout=TIMEOUT, metadata=(("pyrover-batch-id", batch.id),))
        call.result()
        return call.code() is grpc.StatusCode.OK

    return send


def send_on_demand(name: str, address: str) -> None:
    """Send one batch for each line on standard input, which says the size of its messages; answer with what it cost."""
    send = opened(name, address)
    print(json.dumps({"resident": resident()}), flush=True)
    for line in sys.stdin:
        size = int(line)
        batch = Batch([bytes(size)] * (BATCH_BYTES // size), 1)
        before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        delivered = send(batch)
        seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
        if not delivered:
            raise SystemExit(f"{name}: a batch was not delivered")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(json.dumps({"seconds": seconds, "cpu": cpu, "resident": resident()}), flush=True)


class Sender:
    """A process that sends when it is told."""

    def __init__(self, name: str, address: str) -> None:
        command = [sys.executable, "-m", "bench.transport", "--sender", name, "--address", address]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.resident = float(self._answer()["resident"])

    def send(self, size: int) -> dict[str, float]:
        """One batch."""
        if self._process.stdin is None:
            raise AssertionError
        self._process.stdin.write(f"{size}\n")
        self._process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """Let it end."""
        self._process.communicate()

    def _answer(self) -> dict[str, float]:
        if self._process.stdout is None:
            raise AssertionError
        answer: dict[str, float] = json.loads(self._process.stdout.readline())
        return answer


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sender", choices=SENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    parser.add_argument("--server", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sender:
        send_on_demand(options.sender, options.address)
        return
    if options.server:
        with socket.create_server(("127.0.0.1", 0)) as server:
            print(server.getsockname()[1], flush=True)
            serve(server)
    command = [sys.executable, "-m", "bench.transport", "--server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as peer:
        try:
            if peer.stdout is None:
                raise AssertionError
            measure(f"127.0.0.1:{int(peer.stdout.readline())}", options.rounds)
        finally:
            peer.kill()


def measure(address: str, rounds: int) -> None:
    """All senders and sizes, in turn."""
    senders = {name: Sender(name, address) for name in SENDERS}
    print(f"messages in batches of {BATCH_BYTES / 1e6:.0f} MB, medians of {rounds} interleaved rounds")
    for size in SIZES:
        count = BATCH_BYTES // size
        results: dict[str, list[dict[str, float]]] = {name: [] for name in SENDERS}
        for number in range(rounds + 1):
            for name, sender in senders.items():
                result = sender.send(size)
                if number:  # the first one warms up
                    results[name].append(result)
        for name, measured in results.items():
            seconds, cpu = (statistics.median(each[key] for each in measured) for key in ("seconds", "cpu"))
            print(
                f"  {size:9,} bytes, {name:15} {seconds / count * 1e6:9.2f} us a message,"
                f" CPU {cpu / count * 1e6:9.2f} us, {BATCH_BYTES / seconds / 1e6:7.1f} MB/s,"
                f" resident {measured[-1]['resident']:.1f} MB"
            )
    for name, sender in senders.items():
        print(f"  {name}: {sender.resident:.1f} MB resident before the first batch")
        sender.end()


if __name__ == "__main__":
    main()
