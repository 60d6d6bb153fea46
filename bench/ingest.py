"""From HTTP/2 to rows stored: what one backend takes on one core, with all metrics on.

    python -m bench.ingest [--seconds 10] [--logs 1 2 5] [--entities 100 2000 20000 100000] [--journal BYTES]
    python -m bench.ingest --stages [--logs 5] [--entities 20000]

A whole backend, `pyrover-backend serve`, is a process of its own that may use one core only (taskset); the sender is
this one, on another core. It writes raw HTTP/2 on four connections, one stream after another on each, and a stream is
over when it has been answered, which is when everything in it is durable. Each message names its connection, as those
of a sender do that has many connections.

Entities are instances: 10 of each service, each called by one of another service, so that beside n instances there are
n / 10 services, as many relations between services, and n relations between instances. Messages of 5 logs have an HTTP
exchange too, which makes 10 endpoints for each service.

CPU is user plus system time of the server's process, memory its resident set and the most that it was.

With --stages there is no server: flushes of 40,000 messages are decoded in blocks as the server reads them, analysed
and written within this process, on one core. It says the processor time of each stage for a message, which on a busy
machine says more than what a server can take there, and the resident set before the first flush and after the last.
"""

import argparse
import functools
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message

from backend.entities.resolution import Resolver
from backend.ingest.batch import LogBatch
from backend.ingest.framing import Frames
from backend.ingest.interning import Interner
from backend.ingest.stream import LogStream
from backend.metrics.analysis import analyse
from backend.metrics.known_flows import KnownFlows
from backend.oal.compiler import Program
from backend.oal.loader import load
from backend.server.access_logs import BLOCK, PATH
from backend.storage.duckdb import DuckdbStorage
from bench.http2 import Broken, Connection, coalesced, framed
from protos.common import common_pb2
from protos.ebpf import accesslog_pb2

T = TypeVar("T")

SERVER_CORE, SENDER_CORE = 0, 1
CONNECTIONS = 4
UP_NS = 3_600_000_000_000
INSTANCES_OF_A_SERVICE = 10
PATHS = 10
KINDS = {1: ("write",), 2: ("write", "read"), 5: ("connect", "write", "read", "close")}
"""Kernel logs of a message, by the number of its logs; the fifth is an HTTP exchange."""
STREAM_MESSAGES = 20_000
FLUSH_MESSAGES, FLUSHES, FIRST_FLUSHES = 40_000, 8, 3
"""With --stages: messages of a flush, flushes that are measured, and at least those before them, which fill caches."""


def message(number: int, logs: int, boot_seconds: int | None) -> bytes:
    """A message of the connection of an instance."""
    made = accesslog_pb2.EBPFAccessLogMessage()
    if boot_seconds is not None:
        made.node.name = "node-1"
        made.node.bootTime.seconds = boot_seconds
    service = number // INSTANCES_OF_A_SERVICE
    local, remote = made.connection.local.kubernetes, made.connection.remote.kubernetes
    for end, of, port in ((local, service, 9_080), (remote, service + 1, 40_000)):
        end.serviceName = f"service-{of:05}.default"
        end.podName = f"service-{of:05}-6b7d8c9f5-{number % INSTANCES_OF_A_SERVICE:05}"
        end.containerName, end.processName, end.port = "app", "python", port
    made.connection.role = common_pb2.server
    made.connection.protocol = accesslog_pb2.HTTP_1
    for index, name in enumerate(KINDS[logs]):
        operation = getattr(made.kernelLogs.add(), name)
        operation.startTime.offset.offset = UP_NS + number * 1_000 + index
        operation.endTime.offset.offset = operation.startTime.offset.offset + 12_345
        if name in {"connect", "close"}:
            operation.success = True
        else:
            operation.syscall = 2
            for layer in (operation.l2Metrics, operation.l3Metrics, operation.l4Metrics):
                _fill(layer)
    if logs > len(KINDS[logs]):
        http = made.protocolLog.http
        http.startTime.offset.offset, http.endTime.offset.offset = UP_NS, UP_NS + 900_000
        http.request.path, http.request.host = f"/details/{'abcdefghij'[number % PATHS]}", "details:9080"
        http.response.statusCode = 200
    return made.SerializeToString()


def _fill(layer: Message) -> None:
    for item in layer.DESCRIPTOR.fields:
        if item.message_type is None:
            setattr(layer, item.name, 123_456)


@dataclass(frozen=True)
class Server:
    """A backend in a process of its own."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def cpu(self) -> float:
        """CPU seconds that it has used, of user and system (proc(5), fields 14 and 15)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> tuple[float, float]:
        """Megabytes resident now, and at most."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        held = dict(line.split(":", 1) for line in lines)
        now, most = (int(held[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
        return now, most


@contextmanager
def serving(folder: Path, environment: dict[str, str]) -> Iterator[Server]:
    """Run a backend on one core, with its data in a folder."""
    log = folder / "log"
    reading, writing = os.pipe()
    command = ["taskset", "-c", str(SERVER_CORE), sys.executable, "-m", "backend.cli", "serve", "--host", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, "--grpc-port", "0", "--http-port", "0", "--data", folder / "data", "--ready-fd", str(writing)],
        env={**os.environ, **environment},
        pass_fds=(writing,),
        stdout=subprocess.DEVNULL,
        stderr=log.open("wb"),
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as ready:
            line = ready.readline()
        if not line:
            raise SystemExit(f"the backend ended at its start, with {process.wait()}: {log.read_text()}")
        yield Server(process, int(json.loads(line)["grpc"].rpartition(":")[2]), log)
    finally:
        process.terminate()
        process.wait(60)


class Sender(threading.Thread):
    """One connection that sends stream after stream until the time is over."""

    def __init__(self, port: int, payloads: Sequence[bytes], messages: int, until: float) -> None:
        super().__init__()
        self.sent = 0
        self._port, self._payloads, self._messages, self._until = port, payloads, messages, until
        self.failure = ""
        """What the backend said, or did, when it was not what it should."""

    def run(self) -> None:
        """Send."""
        try:
            self._send()
        except (Broken, OSError) as error:
            self.failure = str(error)

    def _send(self) -> None:
        with Connection(self._port) as connection:
            while not self.sent or time.monotonic() < self._until:
                stream = connection.open(PATH)
                connection.send(stream, self._payloads)
                connection.end(stream)
                answer = connection.answer(stream).headers
                if answer.get("grpc-status") != "0" or "pyrover-dropped" in answer:
                    self.failure = str(answer)
                    return
                self.sent += self._messages


def send(server: Server, payloads: Sequence[bytes], messages: int, seconds: float) -> int:
    """Send on all connections for a time; how many messages."""
    senders = [Sender(server.port, payloads, messages, time.monotonic() + seconds) for _ in range(CONNECTIONS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    if failures := [sender.failure for sender in senders if sender.failure]:
        raise SystemExit(f"the backend failed: {failures[0]}\n{server.log.read_text()[-5_000:]}")
    return sum(sender.sent for sender in senders)


def measure(logs: int, entities: int, seconds: float, environment: dict[str, str]) -> str:
    """A row of the table."""
    boot_seconds = (time.time_ns() - UP_NS) // 1_000_000_000
    pool = [framed(message(number, logs, None)) for number in range(entities)]
    messages = max(STREAM_MESSAGES, entities)
    rest = itertools.islice(itertools.cycle(pool), 1, messages)
    body = b"".join([framed(message(0, logs, boot_seconds)), *rest])
    payloads = list(coalesced(body))
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), environment) as server:
        before = server.memory()[0]
        send(server, payloads, messages, 0)
        used, began = server.cpu(), time.monotonic()
        sent = send(server, payloads, messages, seconds)
        took, used = time.monotonic() - began, server.cpu() - used
        now, most = server.memory()
    rate = sent / took
    return (
        f"| {logs} | {entities:,} | {len(body) / messages - 5:.0f} | {rate:,.0f} | {rate * logs:,.0f} |"
        f" {used / sent * 1e6:.2f} us | {used / took:.0%} | {before:.0f}, {now:.0f}, {most:.0f} MB |"
    )


def resident() -> float:
    """Megabytes that this process has resident."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def stages(logs: int, entities: int) -> str:
    """Microseconds of the processor that a message takes, by stage, medians of flushes; and megabytes resident."""
    used: dict[str, list[float]] = {"decode": [], "analyse": [], "write": []}

    def timed(stage: str, work: Callable[[], T]) -> T:
        began = time.process_time()
        made = work()
        used[stage].append((time.process_time() - began) / FLUSH_MESSAGES * 1e6)
        return made

    stream = LogStream(Interner())
    stream.take(Frames.of([message(0, logs, (time.time_ns() - UP_NS) // 1_000_000_000)]))
    following = itertools.cycle([message(number, logs, None) for number in range(entities)])
    block = BLOCK // len(message(0, logs, None))
    program, resolver = Program(load().definitions), Resolver()
    flows = KnownFlows(resolver)

    def decode(blocks: Sequence[Frames]) -> list[LogBatch]:
        batches = []
        for frames in blocks:
            stream.take(frames)
            batches += [batch] if (batch := stream.batch()) else []
        return batches

    with tempfile.TemporaryDirectory() as folder, closing(DuckdbStorage(Path(folder) / "store.duckdb")) as storage:
        before, first = resident(), max(FIRST_FLUSHES, 1 + entities // FLUSH_MESSAGES)
        for number in range(first + FLUSHES):
            sizes = [block] * (FLUSH_MESSAGES // block) + [FLUSH_MESSAGES % block]
            blocks = [Frames.of(list(itertools.islice(following, size))) for size in sizes]
            batches = timed("decode", functools.partial(decode, blocks))
            analysed = timed(
                "analyse", functools.partial(analyse, batches, resolver, program, f"{number}", flows=flows)
            )
            timed("write", functools.partial(storage.write, analysed.flush))
    medians = [statistics.median(of_stage[first:]) for of_stage in used.values()]
    took = " | ".join(f"{each:.2f} us" for each in (*medians, sum(medians)))
    return f"| {logs} | {entities:,} | {took} | {before:.0f}, {resident():.0f} MB |"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each row sends (default: %(default)s)")
    parser.add_argument("--logs", type=int, nargs="+", choices=KINDS, default=list(KINDS), help="logs of a message")
    parser.add_argument("--entities", type=int, nargs="+", default=[100, 2_000, 20_000], help="instances")
    parser.add_argument("--journal", type=int, default=0, help="most bytes of a journal (default: none)")
    parser.add_argument("--stages", action="store_true", help="decode, analyse and write within this process instead")
    options = parser.parse_args()
    os.sched_setaffinity(0, {SENDER_CORE})
    if options.stages:
        print("| logs | instances | decode | analyse | write | together | memory: start, end |")
        print("|---|---|---|---|---|---|---|")
        for logs, entities in itertools.product(options.logs, options.entities):
            print(stages(logs, entities), flush=True)
        return
    print(f"{os.cpu_count()} cores, {CONNECTIONS} connections, {options.seconds:g} s a row\n")
    print("| logs | instances | bytes | messages/s | logs/s | CPU a message | core busy | memory: start, end, most |")
    print("|---|---|---|---|---|---|---|---|")
    for logs, entities in itertools.product(options.logs, options.entities):
        environment = {"PYROVER_BACKEND_LIMITS_JOURNAL_BYTES": str(options.journal)}
        print(measure(logs, entities, options.seconds, environment), flush=True)


if __name__ == "__main__":
    main()
