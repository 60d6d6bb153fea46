"""Makes http/*.events and http/*.json: recordings of real servers with real clients, and what both say they did.

    sudo .venv/bin/python -m tests.data.make_http_recordings [NAME ...]

The programs are those of tests/e2e/http. Only what concerns the processes at a server's port is kept. The agent that
records begins before the server does, so that every connection is seen from its first byte on.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

import psutil

from agent.events.recording import RecordingError, RecordingReader
from tests.data.make_recording import keep_only
from tests.e2e.http.account import Expected, merged, read_account
from tests.e2e.http.calls import LARGE, Call, calls
from tests.e2e.http.certificates import Certificates, make_certificates
from tests.e2e.http.client import Client, curl, gnutls_cli, node_client, own, python_client, run, wrk
from tests.e2e.http.nghttp import nghttp
from tests.e2e.http.nginx import nginx
from tests.e2e.http.server import Server, node_command, python_command, started
from tests.e2e.http.servers.echo import SERVICE
from tests.e2e.http.tools import build_go
from tests.e2e.programs import PROGRAMS, program, read_line

FOLDER = Path(__file__).resolve().parent / "http"
MADE = [call for call in calls() if str(LARGE) not in call.target and call.body_bytes < LARGE]
WITHOUT_BODY = [call for call in MADE if not call.body_bytes]
ASKED = [call for call in MADE if call.method == "GET"]


@contextmanager
def recording(file: Path) -> Iterator[None]:
    """The agent records meanwhile."""
    command = [PROGRAMS / "pyrover-agent", "record", file, "--flush-period", "200ms"]
    with program(command, stderr=subprocess.PIPE) as agent:
        assert agent.stderr is not None
        read_line(agent.stderr.fileno(), "the agent")
        yield
        agent.terminate()
        assert agent.wait(60) == 0


def keep_port(whole: Path, kept: Path, port: int) -> None:
    """Keep what concerns the processes at both ends of connections to a port."""
    pids: set[int] = set()
    with whole.open("rb") as file:
        for moment in RecordingReader(file).moments():
            at_port = (moment.events["local_port"] == port) | (moment.events["remote_port"] == port)
            pids.update(moment.events["process"][at_port].tolist())
    keep_only(whole, kept, pids)


def wait_for_tls(whole: Path, server: Server, exchange: Callable[[], object]) -> None:
    """Make exchanges until the plain text of both ends is recorded: files are looked at in the background."""
    for _ in range(100):
        exchange()
        time.sleep(1)
        processes: set[int] = set()
        with whole.open("rb") as file, suppress(RecordingError):  # it is not at its end yet
            for moment in RecordingReader(file).moments():
                processes.update(fragment.process for fragment in moment.fragments if fragment.session)
        if server.process.pid in _family(processes) and len(processes) > 1:
            return
    raise SystemExit(f"nothing is seen of the TLS of {server.log.parent.name}")


def _family(processes: set[int]) -> set[int]:
    """Processes with those that started them."""
    parents = {psutil.Process(one).ppid() for one in processes if psutil.pid_exists(one)}
    return processes | parents


def make(name: str, server: Server, client: Client, made: Sequence[Call], whole: Path) -> None:
    """Record what a client asks of a server that runs already, and write what both say."""
    with recording(whole):
        if server.authority:
            wait_for_tls(whole, server, lambda: client(server, made[:1]))
        before, since_ns = server.said(), time.monotonic_ns()
        said = client(server, made)
        expected = merged(server.account(len(made), before), said, ("the server", "the client"))
        time.sleep(1)  # the agent reads about a process when it takes its first events
    keep_port(whole, FOLDER / f"{name}.events", server.port)
    account = {"port": server.port, "since_ns": since_ns, "exchanges": [asdict(one) for one in expected]}
    (FOLDER / f"{name}.json").write_text(json.dumps(account, separators=(",", ":")) + "\n")


def grpc_client(server: Server, made: Sequence[Call]) -> list[Expected]:
    """gRPC's client; what is asked for is told by the calls' targets."""
    address = f"localhost:{server.port}" if server.authority else f"127.0.0.1:{server.port}"
    asked = [[call.target, [call.body_bytes], [8]] for call in made]
    given = {"address": address, "ca": server.authority, "calls": asked}
    return read_account(run(python_command("clients.grpc_client"), json.dumps(given).encode()))


GRPC = [Call("POST", f"{SERVICE}unary.0.{number}", 8 + number) for number in range(23)]

Recorder = Callable[[Path, Certificates], None]


def _program(
    name: str, command: Sequence[str | Path], client: Client, *, secure: bool, made: Sequence[Call] = MADE
) -> Recorder:
    def record(folder: Path, certificates: Certificates) -> None:
        with started(command, folder / "log", certificates if secure else None) as server:
            make(name, server, client, made, folder / "whole")

    return record


def _nginx(name: str, listener: str, client: Callable[[Path], Client], made: Sequence[Call] = MADE) -> Recorder:
    def record(folder: Path, certificates: Certificates) -> None:
        with nginx(folder, certificates) as servers:
            make(name, servers[listener], client(folder), made, folder / "whole")

    return record


def recorders(folder: Path) -> dict[str, Recorder]:
    """What is recorded, by name."""
    go = build_go(folder, stripped=False)
    asgi, node = partial(python_command, "servers.asgi_server"), partial(node_command, "servers/server.mjs")
    threading, streams = python_command("servers.threading_server"), python_command("servers.streams_server")
    grpc = python_command("servers.grpc_server")
    once, over_h2c = curl("http1.1", files=folder), curl("http2-prior-knowledge", files=folder, apart=True)
    servers: dict[str, tuple[Sequence[str | Path], Client, bool]] = {
        "http-server-and-http-client": (threading, python_client("blocking_client", "keep"), False),
        "streams-and-curl": (streams, once, False),
        "streams-and-curl-tls": (streams, once, True),
        "uvicorn-and-streams": (asgi("uvicorn-httptools"), python_client("streams_client", "1"), False),
        "hypercorn-and-curl-h2c": (asgi("hypercorn"), over_h2c, False),
        "node-and-node": (node("http"), node_client(1), False),
        "node-and-node-h2-tls": (node("h2"), node_client(2), True),
        "go-and-go": ([go, "server", "http"], own([go, "client", "http1"]), False),
        "go-and-go-h2-tls": ([go, "server", "h2"], own([go, "client", "http2"]), True),
    }
    return {
        **{name: _program(name, command, client, secure=secure) for name, (command, client, secure) in servers.items()},
        "grpc-and-grpc": _program("grpc-and-grpc", grpc, grpc_client, secure=False, made=GRPC),
        "nginx-and-gnutls": _nginx("nginx-and-gnutls", "tls", lambda _: gnutls_cli(), WITHOUT_BODY),
        "nginx-and-curl": _nginx("nginx-and-curl", "plain", lambda files: curl("http1.1", files=files)),
        "nginx-and-curl-h2-tls": _nginx(
            "nginx-and-curl-h2-tls", "tls", lambda files: curl("http2", "parallel", files=files)
        ),
        "nginx-and-wrk": _nginx("nginx-and-wrk", "plain", lambda _: wrk(depth=4), ASKED[: len(ASKED) // 4 * 4]),
        "nginx-and-nghttp": _nginx("nginx-and-nghttp", "h2c", lambda _: nghttp(), ASKED),
    }


def main() -> None:
    """Record those that are named, or all."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificates = make_certificates(folder)
        known = recorders(folder)
        for wanted in sys.argv[1:] or known:
            (folder / wanted).mkdir()
            known[wanted](folder / wanted, certificates)
            print(f"{wanted}: {(FOLDER / f'{wanted}.events').stat().st_size:,} bytes", flush=True)


if __name__ == "__main__":
    main()
