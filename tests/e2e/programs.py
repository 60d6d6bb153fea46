"""The real programs, started and stopped: backend, agent, workload. Everything is awaited."""

import json
import os
import select
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.waiting import where_it_waits
from tests.waiting import PATIENCE, until

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAMS = Path(sys.executable).parent
WORKLOAD = Path(__file__).with_name("workload.py")
ATTACH = os.environ.get("PYROVER_ATTACH", "auto")
"""The kind of kernel hooks that the tests are run for."""


def read_line(pipe: int, what: str) -> str:
    """One line from a pipe, or a clear failure."""
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([pipe], [], [], PATIENCE)[0]:
            raise AssertionError(f"{what}: no line within {PATIENCE:.0f} s; so far {line!r}")
        if not (byte := os.read(pipe, 1)):
            raise AssertionError(f"{what} ended; it last said {line!r}")
        line += byte
    return line.decode()


@contextmanager
def program(
    command: Sequence[str | Path],
    **options: Any,  # noqa: ANN401 - whatever Popen takes
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is gone afterwards, whatever happened."""
    process = subprocess.Popen(command, cwd=ROOT, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def finish(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> None:
    """Ask a program to end and check that it ends well."""
    process.send_signal(number)
    try:
        status = process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"it does not end after {number.name}:\n{where_it_waits(process.pid)}") from None
    assert status == 0


@dataclass(frozen=True)
class Backend:
    """A running backend."""

    process: subprocess.Popen[bytes]
    grpc: str
    http: str

    def get(self, path: str, **query: str | list[str]) -> Any:  # noqa: ANN401 - JSON
        """A JSON answer of its API."""
        address = f"{self.http}{path}?{urllib.parse.urlencode(query, doseq=True)}"
        with urllib.request.urlopen(address, timeout=PATIENCE) as response:  # noqa: S310 - always http
            return json.load(response)

    def until(self, what: str, is_so: Callable[[], bool]) -> None:
        """Ask until something is so: other processes write it, which say nothing of that."""
        until(is_so, lambda: f"{what}; the backend has {self.get('/api/status')}", pause=0.05)

    def totals(self, names: Sequence[str], entity: str) -> dict[str, int]:
        """Sum over the last quarter of an hour of metrics that add up by the minute; absent ones are left out."""
        answer = self.get("/api/metrics", name=list(names), entity=entity, start="-15m", end="now", step="minute")
        totals = {}
        for series in answer["series"]:
            values = [point["value"] for point in series["points"] if point["value"] is not None]
            if values:
                totals[series["name"]] = sum(values)
        return totals


@contextmanager
def backend(data: Path, log: Path, grpc_port: int = 0) -> Iterator[Backend]:
    """A backend, ready; on free ports, unless told."""
    ready, announce = os.pipe()
    ports = ["--host", "127.0.0.1", "--http-port", "0", "--grpc-port", str(grpc_port)]
    told: list[str | Path] = ["--data", data, "--ready-fd", str(announce)]
    command = [PROGRAMS / "pyrover-backend", "serve", *ports, *told]
    with ExitStack() as stack:
        output = stack.enter_context(log.open("ab"))
        process = stack.enter_context(program(command, stdout=output, stderr=output, pass_fds=(announce,)))
        os.close(announce)
        stack.callback(os.close, ready)
        addresses = json.loads(read_line(ready, f"the backend (its log: {log})"))
        yield Backend(process, addresses["grpc"], addresses["http"])


@contextmanager
def agent(*arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """An agent that is attached to the kernel; what it says on standard output is piped."""
    command = [PROGRAMS / "pyrover-agent", "run", "--attach", ATTACH, *arguments]
    with program(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        started = read_line(process.stderr.fileno(), "the agent")
        assert "hooks" in started, started
        yield process


@contextmanager
def network_namespace(name: str) -> Iterator[list[str]]:
    """A network of its own, where only the workload moves the kernel's counters; yields the command prefix."""
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        prefix = ["ip", "netns", "exec", name]
        subprocess.run([*prefix, "ip", "link", "set", "lo", "up"], check=True)
        yield prefix
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


@contextmanager
def workload(prefix: Sequence[str], family: str) -> Iterator[dict[str, dict[str, int]]]:
    """Run both sides of the known workload; what each says it did. Both are there meanwhile, to be looked at."""
    python: list[str | Path] = [*prefix, sys.executable, WORKLOAD]
    with program([*python, "server", family], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        ports = json.loads(read_line(server.stdout.fileno(), "the server"))
        arguments = [family, str(ports["port"]), str(ports["full_port"])]
        with program([*python, "client", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            client_totals = json.loads(read_line(client.stdout.fileno(), "the client"))
            server_totals = json.loads(read_line(server.stdout.fileno(), "the server"))
            yield {"client": client_totals, "server": server_totals}
            for process in (client, server):
                assert process.stdin is not None
                process.stdin.close()
                assert process.wait(PATIENCE) == 0
