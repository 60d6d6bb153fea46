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
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import psutil

from agent.events.recording import RecordingError, RecordingReader
from tests.data.make_recording import keep_only
from tests.e2e.http.account import Expected, merged
from tests.e2e.http.calls import LARGE, Call, calls
from tests.e2e.http.certificates import Certificates, make_certificates
from tests.e2e.http.client import Client, boring_client, curl, gnutls_cli, node_client, own, python_client, wrk
from tests.e2e.http.downloads import old_node
from tests.e2e.http.grpc_programs import ask, node_program, python_program
from tests.e2e.http.nghttp import h2load, nghttp
from tests.e2e.http.nginx import nginx
from tests.e2e.http.proxies import (
    Leg,
    Workload,
    behind_nginx,
    grpc_behind_nginx,
    tunnels_to_plain_text,
    tunnels_to_tls,
    websockets_behind_nginx,
    whole_targets,
)
from tests.e2e.http.server import HERE, Server, node_command, python_command, started
from tests.e2e.http.servers.echo import KINDS, SERVICE
from tests.e2e.http.tools import build_go, build_go_grpc
from tests.e2e.programs import PROGRAMS, program, read_line

FOLDER = Path(__file__).resolve().parent / "http"
MADE = [call for call in calls() if str(LARGE) not in call.target and call.body_bytes < LARGE]
ASKED = [call for call in MADE if call.method == "GET"]
SUCCEEDING = [call for call in ASKED if "/status/" not in call.target]


@contextmanager
def recording(file: Path) -> Iterator[None]:
    """The agent records meanwhile."""
    command: list[str | Path] = [PROGRAMS / "pyrover-agent", "record", file, "--flush-period", "200ms"]
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
    since_ns = time.monotonic_ns()
    for _ in range(100):
        exchange()
        time.sleep(1)
        processes: set[int] = set()
        with whole.open("rb") as file, suppress(RecordingError):  # it is not at its end yet
            for moment in RecordingReader(file).moments():
                if moment.now_ns > since_ns:
                    processes.update(fragment.process for fragment in moment.fragments if fragment.session)
        if server.process.pid in _family(processes) and len(processes) > 1:
            return
    raise SystemExit(f"nothing is seen of the TLS of {server.log.parent.name}")


def _family(processes: set[int]) -> set[int]:
    """Processes with those that started them."""
    parents = {psutil.Process(one).ppid() for one in processes if psutil.pid_exists(one)}
    return processes | parents


@dataclass(frozen=True, slots=True)
class Session:
    """A recording under way of all that is made one after the other, and what is to be cut out of it."""

    whole: Path
    ports: dict[str, int] = field(default_factory=dict)
    """Of the server of each pair, by its name."""

    def make(self, name: str, server: Server, client: Client, made: Sequence[Call]) -> None:
        """Record what a client asks of a server that runs already, and write what both say."""
        if server.authority:
            wait_for_tls(self.whole, server, lambda: client(server, made[:1]))
        before, since_ns = server.said(), time.monotonic_ns()
        said = client(server, made)
        expected = merged(server.account(len(made), before), said, ("the server", "the client"))
        time.sleep(1)  # the agent reads about a process when it takes its first events
        self.write(name, Leg(server.port, since_ns, expected))

    def make_legs(self, names: Sequence[str], workload: Workload, folder: Path, certificates: Certificates) -> None:
        """Record calls through a proxy: each leg in a file of its own."""
        with workload(folder, certificates, partial(wait_for_tls, self.whole)) as legs:
            time.sleep(1)  # as above
            for name, leg in zip(names, legs, strict=True):
                self.write(name, leg)

    def write(self, name: str, leg: Leg) -> None:
        """Write what is to be told of the connections to a port, which is a pair's of this name."""
        of_ends = {end: said for end, said in (("at_server", leg.at_server), ("at_client", leg.at_client)) if said}
        account = {"exchanges": leg.exchanges, **of_ends}
        text = {end: [asdict(one) for one in said] for end, said in account.items()}
        whole = {"port": leg.port, "since_ns": leg.since_ns, **text}
        (FOLDER / f"{name}.json").write_text(json.dumps(whole, separators=(",", ":")) + "\n")
        self.ports[name] = leg.port

    def cut(self) -> None:
        """Keep what concerns each pair, when the agent has ended."""
        for name, port in self.ports.items():
            keep_port(self.whole, FOLDER / f"{name}.events", port)
            print(f"{name}: {(FOLDER / f'{name}.events').stat().st_size:,} bytes", flush=True)


def grpc_client(command: Sequence[str | Path]) -> Client:
    """A client of gRPC; what is asked for is told by the calls' targets."""
    return lambda server, made: ask(command, server, [(call.target, [call.body_bytes], [8]) for call in made])


GRPC = [Call("POST", f"{SERVICE}unary.0.{number}", 8 + number) for number in range(23)]

ONE_OF_EACH = [Call("POST", f"{SERVICE}{kind}.0.{number}", 8 + number) for number, kind in enumerate(KINDS * 5)]
SOCKETS = [Call("GET", f"/socket/{number}") for number in range(2)]
FEW_MESSAGES = "20"

Recorder = Callable[[Session, Path, Certificates], None]


@dataclass(frozen=True, slots=True)
class Pair:
    """A server of this project with a client."""

    command: Sequence[str | Path]
    client: Client
    tls: Sequence[str] | None = None
    """What the server is told before its certificate; None without TLS."""
    made: Sequence[Call] = field(default_factory=lambda: MADE)

    def record(self, name: str, session: Session, folder: Path, certificates: Certificates) -> None:
        secrets = None if self.tls is None else certificates
        with started(self.command, folder / "log", secrets, *(self.tls or ())) as server:
            session.make(name, server, self.client, self.made)


def _nginx(name: str, listener: str, client: Callable[[Path], Client], made: Sequence[Call] = MADE) -> Recorder:
    def record(session: Session, folder: Path, certificates: Certificates) -> None:
        with nginx(folder, certificates) as servers:
            session.make(name, servers[listener], client(folder), made)

    return record


def h2load_client(server: Server, made: Sequence[Call]) -> list[Expected]:
    """h2load, which says of no single exchange what it was."""
    h2load(server, made, connections=1, streams=100)
    return [Expected(method=call.method, path=call.target.partition("?")[0]) for call in made]


def python_pairs(folder: Path) -> dict[str, Pair]:
    """Servers in Python."""
    asgi, client = partial(python_command, "servers.asgi_server"), python_client
    threading, streams = python_command("servers.threading_server"), python_command("servers.streams_server")
    h11, httptools, hypercorn = asgi("uvicorn-h11"), asgi("uvicorn-httptools"), asgi("hypercorn")
    keep, asked_once = client("blocking_client", "keep"), client("streams_client", "1")
    http1, http2 = curl("http1.1", files=folder), curl("http2", "parallel", files=folder)
    sockets = client("websocket_client", "asyncio", FEW_MESSAGES)
    streams_of_http2 = own(node_command("clients/websocket.mjs", FEW_MESSAGES))
    return {
        "http-server-and-http-client": Pair(threading, keep),
        "http-server-and-http-client-tls": Pair(threading, keep, ("openssl",)),
        "http-server-and-urllib": Pair(threading, client("blocking_client", "urllib")),
        "http-server-and-curl-1.0": Pair(threading, curl("http1.0", files=folder)),
        "http-server-and-gnutls-tls": Pair(threading, client("blocking_client", "gnutls"), ("gnutls",)),
        "streams-and-curl": Pair(streams, http1),
        "streams-and-curl-tls": Pair(streams, http1, ()),
        "streams-and-streams": Pair(streams, client("streams_client", "4", "7")),
        "streams-and-streams-tls": Pair(streams, client("streams_client", "4"), ()),
        "uvicorn-and-streams": Pair(httptools, asked_once),
        "uvicorn-and-streams-tls": Pair(httptools, asked_once, ()),
        "uvicorn-and-http-client": Pair(h11, keep),
        "uvicorn-and-http-client-tls": Pair(h11, keep, ()),
        "uvicorn-and-boring-tls": Pair(h11, boring_client("http1"), ()),
        "uvicorn-and-websockets": Pair(httptools, sockets, None, SOCKETS),
        "uvicorn-and-websockets-tls": Pair(httptools, sockets, (), SOCKETS),
        "hypercorn-and-curl": Pair(hypercorn, http1),
        "hypercorn-and-curl-h2c": Pair(hypercorn, curl("http2-prior-knowledge", files=folder, apart=True)),
        "hypercorn-and-curl-h2-tls": Pair(hypercorn, http2, ()),
        "hypercorn-and-nghttp-upgrade": Pair(hypercorn, nghttp("--upgrade"), None, ASKED),
        "hypercorn-and-boring-h2-tls": Pair(hypercorn, boring_client("http2"), ()),
        "hypercorn-and-node-websockets-h2-tls": Pair(hypercorn, streams_of_http2, (), SOCKETS),
    }


def other_pairs(folder: Path) -> dict[str, Pair]:
    """Servers in JavaScript and Go, and those of gRPC."""
    node, old = partial(node_command, "servers/server.mjs"), old_node()
    go, go_grpc = build_go(folder, stripped=False), build_go_grpc(folder)
    grpcio, grpclib, grpc_node = (
        python_program("grpc", "server"),
        python_program("grpclib", "server"),
        node_program("server"),
    )
    http1, http2 = curl("http1.1", files=folder), curl("http2", files=folder)
    go_1, go_2 = own([go, "client", "http1"]), own([go, "client", "http2"])
    old_server, old_client = [old, HERE / "servers" / "server.mjs"], [old, HERE / "clients" / "client.mjs"]
    by_grpclib, by_go = grpc_client(python_program("grpclib", "client")), grpc_client([go_grpc, "client"])
    by_grpcio, by_node = grpc_client(python_program("grpc", "client")), grpc_client(node_program("client"))
    return {
        "node-and-node": Pair(node("http"), node_client(1)),
        "node-and-node-tls": Pair(node("https"), node_client(1), ()),
        "node-and-node-h2c": Pair(node("h2c"), node_client(2)),
        "node-and-node-h2-tls": Pair(node("h2"), node_client(2), ()),
        "node-and-curl-tls": Pair(node("https"), http1, ()),
        "node-and-curl-h2-tls": Pair(node("h2"), http2, ()),
        "node-16-and-node-16-tls": Pair([*old_server, "https"], own([*old_client, "http1"]), ()),
        "node-16-and-node-16-h2-tls": Pair([*old_server, "h2"], own([*old_client, "http2"]), ()),
        "go-and-go": Pair([go, "server", "http"], go_1),
        "go-and-go-tls": Pair([go, "server", "https"], go_1, ()),
        "go-and-go-h2c": Pair([go, "server", "h2c"], go_2),
        "go-and-go-h2-tls": Pair([go, "server", "h2"], go_2, ()),
        "go-and-curl-tls": Pair([go, "server", "https"], http1, ()),
        "go-and-curl-h2-tls": Pair([go, "server", "h2"], http2, ()),
        "grpc-and-grpc": Pair(grpcio, by_grpcio, None, GRPC),
        "grpc-and-grpc-node": Pair(grpcio, by_node, None, ONE_OF_EACH),
        "grpc-node-and-grpc-node": Pair(grpc_node, by_node, None, ONE_OF_EACH),
        "grpc-node-and-grpc-node-tls": Pair(grpc_node, by_node, (), ONE_OF_EACH),
        "grpclib-and-grpclib": Pair(grpclib, by_grpclib, None, ONE_OF_EACH),
        "grpclib-and-grpclib-tls": Pair(grpclib, by_grpclib, (), ONE_OF_EACH),
        "grpclib-and-grpc-go-tls": Pair(grpclib, by_go, (), ONE_OF_EACH),
        "grpc-go-and-grpc-go": Pair([go_grpc, "server"], by_go, None, ONE_OF_EACH),
        "grpc-go-and-grpc-go-tls": Pair([go_grpc, "server"], by_go, (), ONE_OF_EACH),
        "grpc-go-and-grpclib-tls": Pair([go_grpc, "server"], by_grpclib, (), ONE_OF_EACH),
    }


def nginx_recorders() -> dict[str, Recorder]:
    """nginx, by one of its listeners."""
    http1, parallel = partial(curl, "http1.1"), partial(curl, "http2", "parallel")
    clients: dict[str, tuple[str, Callable[[Path], Client], Sequence[Call]]] = {
        "gnutls": ("tls", lambda _: gnutls_cli(), MADE),
        "curl": ("plain", lambda files: http1(files=files), MADE),
        "curl-written": ("written", lambda files: http1(files=files), MADE),
        "curl-tls": ("tls", lambda files: http1(files=files), MADE),
        "curl-h2c": ("h2c", lambda files: curl("http2-prior-knowledge", files=files, apart=True), MADE),
        "curl-h2-tls": ("tls", lambda files: parallel(files=files), MADE),
        "streams": ("plain", lambda _: python_client("streams_client", "4"), MADE),
        "wrk": ("plain", lambda _: wrk(depth=4), ASKED[: len(ASKED) // 4 * 4]),
        "wrk-tls": ("tls", lambda _: wrk(depth=4), ASKED[: len(ASKED) // 4 * 4]),
        "nghttp": ("h2c", lambda _: nghttp(), ASKED),
        "nghttp-tls": ("tls", lambda _: nghttp(), ASKED),
        "h2load": ("h2c", lambda _: h2load_client, SUCCEEDING),
        "h2load-tls": ("tls", lambda _: h2load_client, SUCCEEDING),
    }
    return {f"nginx-and-{name}": _nginx(f"nginx-and-{name}", *how) for name, how in clients.items()}


def proxy_recorders() -> dict[str, Recorder]:
    """Proxies: the names of both legs, the one in front first."""
    by_grpclib = grpc_client(python_program("grpclib", "client"))
    sockets = partial(websockets_behind_nginx, SOCKETS, listener="tls", messages=5)
    workloads: dict[str, Workload] = {
        "nginx-proxy-and-curl+streams-and-nginx-proxy": partial(behind_nginx, MADE),
        "nginx-proxy-and-grpclib-tls+grpc-and-nginx-proxy": partial(grpc_behind_nginx, by_grpclib, ONE_OF_EACH),
        "nginx-proxy-and-websockets-tls+uvicorn-and-nginx-proxy": sockets,
        "tinyproxy-and-urllib+streams-and-tinyproxy": partial(whole_targets, MADE),
        "tinyproxy-tunnels-and-curl+streams-and-tinyproxy-tunnels": partial(tunnels_to_plain_text, MADE),
        "tinyproxy-tunnels-and-curl-tls+streams-and-tinyproxy-tunnels-tls": partial(tunnels_to_tls, "https", MADE),
        "tinyproxy-tunnels-and-curl-h2-tls+nginx-and-tinyproxy-tunnels-h2-tls": partial(tunnels_to_tls, "h2", MADE),
    }
    return {names: _legs(names.split("+"), workload) for names, workload in workloads.items()}


def _legs(names: Sequence[str], workload: Workload) -> Recorder:
    return lambda session, folder, certificates: session.make_legs(names, workload, folder, certificates)


def recorders(folder: Path) -> dict[str, Recorder]:
    """What is recorded, by name."""
    pairs = {**python_pairs(folder), **other_pairs(folder)}
    of_pairs = {name: partial(pair.record, name) for name, pair in pairs.items()}
    return {**of_pairs, **nginx_recorders(), **proxy_recorders()}


def main() -> None:
    """Record those that are named, or all."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificates = make_certificates(folder)
        known = recorders(folder)
        session = Session(folder / "whole")
        with recording(session.whole):
            for wanted in sys.argv[1:] or known:
                (folder / wanted).mkdir()
                known[wanted](session, folder / wanted, certificates)
                print(f"{wanted}: made", flush=True)
        session.cut()


if __name__ == "__main__":
    main()
