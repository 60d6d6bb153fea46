"""CPU per message: pyrover's receiver beside a grpcio server of the same service, in the same run.

    python -m bench.receiver [--messages 50000] [--rounds 5]

Each server is a process of its own that takes EBPFAccessLogService.collect:

* pyrover: receives, decodes into columns, judges each log, hands batches to a sink that stores nothing;
* grpcio, same columns: the same work with grpcio and protobuf (bench/grpcio_columns.py);
* grpcio, counting: iterates over parsed messages and counts their logs, the least that a handler can do.

Rounds are interleaved, so that all meet the same machine. The sender writes raw HTTP/2 and is a process of its own:
this one. CPU is user plus system time of the server's process by getrusage(2), before and after each round.
"""

import argparse
import asyncio
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import Message

from backend.ingest.batch import LogBatch
from backend.ingest.warm import warm
from backend.server.access_logs import PATH, AccessLogService
from backend.server.application import BackendApplication
from backend.server.readiness import Readiness
from backend.server.serving import listen, serving
from bench.grpcio_columns import Columns
from bench.http2 import Connection, coalesced, framed
from protos.ebpf import accesslog_pb2, accesslog_pb2_grpc

CONNECTIONS = 1_000
TARGET = 20.0
PYROVER, SAME_COLUMNS, COUNTING = SERVERS = ("pyrover", "grpcio, same columns", "grpcio, counting")
FRAMES = ("one frame a message", "frames of 16 KB")


def message(number: int, *, node: bool) -> bytes:
    """About 400 bytes: a connection with connect, write, read and close, and one HTTP log."""
    made = accesslog_pb2.EBPFAccessLogMessage()
    if node:
        made.node.name = "node-1"
        made.node.bootTime.seconds = int(time.time()) - 3_600
    local, remote = made.connection.local.kubernetes, made.connection.remote.ip
    local.serviceName, local.podName = "productpage.default", f"productpage-6b7d8c-{number:05}"
    local.containerName, local.processName, local.port = "app", "python", 9_080
    remote.host, remote.port = f"10.1.{number // 250}.{number % 250}", 9_080
    made.connection.protocol = accesslog_pb2.HTTP_1
    for index, name in enumerate(("connect", "write", "read", "close")):
        operation = getattr(made.kernelLogs.add(), name)
        operation.startTime.offset.offset = 3_500_000_000_000 + number * 1_000 + index
        operation.endTime.offset.offset = operation.startTime.offset.offset + 12_345
        if name in {"connect", "close"}:
            operation.success = True
        else:
            operation.syscall = 2
            for layer in ("l2Metrics", "l3Metrics", "l4Metrics"):
                _fill(getattr(operation, layer))
    http = made.protocolLog.http
    http.startTime.offset.offset, http.endTime.offset.offset = 3_500_000_000_000, 3_500_000_900_000
    http.request.path, http.request.host, http.response.statusCode = "/details/0", "details:9080", 200
    return made.SerializeToString()


def _fill(layer: Message) -> None:
    for item in layer.DESCRIPTOR.fields:
        if item.message_type is None:
            setattr(layer, item.name, 123_456)


class Discard:
    """A sink that takes everything and keeps nothing."""

    def submit(self, _batch: LogBatch) -> Awaitable[None]:
        """Say that it is durable."""
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class Servicer(accesslog_pb2_grpc.EBPFAccessLogServiceServicer):
    """grpcio's side."""

    def __init__(self, take: Callable[[Iterator[accesslog_pb2.EBPFAccessLogMessage]], None]) -> None:
        self._take = take

    def collect(
        self, request_iterator: Iterator[accesslog_pb2.EBPFAccessLogMessage], context: grpc.ServicerContext
    ) -> accesslog_pb2.EBPFAccessLogDownstream:
        """Take a stream."""
        del context
        self._take(request_iterator)
        return accesslog_pb2.EBPFAccessLogDownstream()


def count(messages: Iterator[accesslog_pb2.EBPFAccessLogMessage]) -> None:
    """Count the logs of a stream, for nothing."""
    for item in messages:
        len(item.kernelLogs)


def make_columns(messages: Iterator[accesslog_pb2.EBPFAccessLogMessage]) -> None:
    """Make columns of a stream."""
    columns = Columns()
    columns.take(messages)
    if not columns.logs:
        raise ValueError("no log was taken")


def report_usage() -> None:
    """Answer each line on standard input with this process's CPU seconds, until it ends."""
    for _ in sys.stdin:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        print(usage.ru_utime + usage.ru_stime, flush=True)


async def serve_pyrover() -> None:
    """Run pyrover's receiver until standard input ends."""
    warm()
    service = AccessLogService(Discard())
    application = BackendApplication(Readiness(()))
    application.open({PATH: service.collect}, [])
    listener = listen("127.0.0.1", 0, "")
    async with serving(application, [listener], 5.0):
        print(listener.port, flush=True)
        await asyncio.to_thread(report_usage)


def serve_grpcio(take: Callable[[Iterator[accesslog_pb2.EBPFAccessLogMessage]], None]) -> None:
    """Run grpcio's server until standard input ends."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    accesslog_pb2_grpc.add_EBPFAccessLogServiceServicer_to_server(Servicer(take), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    reporter = threading.Thread(target=report_usage)
    reporter.start()
    reporter.join()
    server.stop(None)


@dataclass
class Server:
    """A server's process."""

    name: str
    process: subprocess.Popen[str]
    port: int
    costs: dict[str, list[float]] = field(default_factory=dict)
    """CPU microseconds per message, by kind of frames."""

    @classmethod
    def start(cls, name: str) -> "Server":
        """Start one and wait until it listens."""
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.receiver", "--serve", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        return cls(name, process, int(process.stdout.readline()))

    def cpu(self) -> float:
        """CPU seconds it has used."""
        assert self.process.stdin is not None  # noqa: S101 - they are pipes
        assert self.process.stdout is not None  # noqa: S101
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def measure(self, kind: str, payloads: list[bytes], messages: int) -> None:
        """Send one stream and note its cost."""
        before = self.cpu()
        with Connection(self.port) as connection:
            stream = connection.open(PATH)
            connection.send(stream, payloads)
            connection.end(stream)
            status = connection.answer(stream).headers.get("grpc-status")
        if status != "0":
            raise SystemExit(f"{self.name} answered with status {status}")
        self.costs.setdefault(kind, []).append((self.cpu() - before) / messages * 1e6)

    def stop(self) -> None:
        """End it."""
        self.process.communicate(timeout=30)


def main() -> int:
    """Measure and print; 0 when the target is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", choices=SERVERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve == PYROVER:
        asyncio.run(serve_pyrover())
    elif options.serve:
        serve_grpcio(make_columns if options.serve == SAME_COLUMNS else count)
    if options.serve:
        return 0
    return measure(options.messages, options.rounds)


def measure(messages: int, rounds: int) -> int:
    """Run the rounds and print the table."""
    bodies = [framed(message(number % CONNECTIONS, node=number == 0)) for number in range(messages)]
    payloads = dict(zip(FRAMES, (bodies, list(coalesced(b"".join(bodies)))), strict=True))
    servers = [Server.start(name) for name in SERVERS]
    try:
        for server in servers:
            server.measure("to warm up", payloads[FRAMES[0]][:5_000], 5_000)
        for _ in range(rounds):
            for kind in FRAMES:
                for server in servers:
                    server.measure(kind, payloads[kind], messages)
    finally:
        for server in servers:
            server.stop()
    size = sum(map(len, bodies)) / messages - 5
    print(f"{messages} messages of {size:.0f} bytes (4 kernel logs, 1 HTTP log), {rounds} rounds, interleaved\n")
    print("| frames | server | CPU per message, least | median | most | times pyrover's (median) |")
    print("|---|---|---|---|---|---|")
    least = min(table_rows(servers))
    print(f"\ntarget: {SAME_COLUMNS} at least {TARGET:.0f} times pyrover's; {'met' if least >= TARGET else 'NOT met'}")
    return 0 if least >= TARGET else 1


def table_rows(servers: list[Server]) -> Iterator[float]:
    """Print the rows; what the same columns cost with grpcio in pyrover's cost, per kind of frames."""
    for kind in FRAMES:
        medians = {server.name: statistics.median(server.costs[kind]) for server in servers}
        for server in servers:
            costs = server.costs[kind]
            cells = [f"{value:.2f} us" for value in (min(costs), medians[server.name], max(costs))]
            times = medians[server.name] / medians[PYROVER]
            print(f"| {kind} | {server.name} | {' | '.join(cells)} | {times:.1f} |")
        yield medians[SAME_COLUMNS] / medians[PYROVER]


if __name__ == "__main__":
    sys.exit(main())
