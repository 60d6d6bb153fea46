"""Calls through a proxy, and what both of its legs have to show of them.

Each workload yields its legs while its programs still run. `wait` is given a server with TLS and what makes an exchange
with it, and returns when the plain text of both ends is seen.
"""

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from tests.e2e.http.account import Expected, check, merged
from tests.e2e.http.calls import SIMPLE, Call
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.client import curl, own, python_client
from tests.e2e.http.grpc_programs import python_program
from tests.e2e.http.nginx import nginx
from tests.e2e.http.server import Server, python_command, started
from tests.e2e.http.tinyproxy import tinyproxy
from tests.e2e.http.tools import tool
from tests.waiting import PATIENCE

Wait = Callable[[Server, Callable[[], object]], None]
Start = Callable[[Path, Certificates], AbstractContextManager[Server]]
Asked = TypeVar("Asked")
"""What a client makes a call of."""
Ask = Callable[[Server, Sequence[Asked]], list[Expected]]
TUNNELS = 5


@dataclass(frozen=True, slots=True)
class Leg:
    """The connections to one port: what is to be told of them from a time on."""

    port: int
    since_ns: int
    """CLOCK_MONOTONIC."""
    exchanges: Sequence[Expected]
    """At both ends."""
    at_server: Sequence[Expected] = ()
    """At this end alone."""
    at_client: Sequence[Expected] = ()

    def at(self, role: str) -> list[Expected]:
        """Of one end, "client" or "server"."""
        return [*self.exchanges, *(self.at_server if role == "server" else self.at_client)]


def _without_heads(exchange: Expected) -> Expected:
    return replace(exchange, request_header_bytes=None, response_header_bytes=None)


Workload = Callable[[Path, Certificates, Wait], AbstractContextManager[list[Leg]]]


@contextmanager
def behind_nginx(made: Sequence[Call], folder: Path, certificates: Certificates, _wait: Wait) -> Iterator[list[Leg]]:
    """Both legs of each exchange are in the same process of nginx."""
    with (
        started(python_command("servers.streams_server"), folder / "behind.log", None) as behind,
        nginx(folder / "nginx", certificates, behind.port) as servers,
    ):
        front = servers["plain"]
        asked_for = [replace(call, target=f"/application{call.target}") for call in made]
        since_ns = time.monotonic_ns()
        said = curl("http1.1", files=folder)(front, asked_for)
        in_front = merged(front.account(len(made)), said, ("nginx", "curl"))
        # What nginx asks for is what curl asked for, and what it is answered is what it answers; heads are its own.
        asked = [replace(_without_heads(one), path=one.path.removeprefix("/application")) for one in in_front]
        behind_it = merged(behind.account(len(made)), asked, ("the server behind it", "nginx"))
        yield [Leg(front.port, since_ns, in_front), Leg(behind.port, since_ns, behind_it)]


def _unchanged(behind: Server, front: Server, client: Ask[Asked], made: Sequence[Asked], wait: Wait) -> list[Leg]:
    """The legs of a proxy that changes nothing of an exchange, with TLS in front of it alone, if anywhere."""
    if front.authority:
        wait(front, lambda: client(front, made[:1]))
    before, before_behind, since_ns = front.said(), behind.said(), time.monotonic_ns()
    said = client(front, made)
    in_front = merged(front.account(len(made), before), said, ("nginx", "the client"))
    behind_it = behind.account(len(made), before_behind)
    check([replace(one, tls=False) for one in in_front], behind_it, ("nginx", "the server behind it"))
    return [Leg(front.port, since_ns, in_front), Leg(behind.port, since_ns, behind_it)]


@contextmanager
def grpc_behind_nginx(
    client: Ask[Asked], made: Sequence[Asked], folder: Path, certificates: Certificates, wait: Wait
) -> Iterator[list[Leg]]:
    """nginx ends TLS in front of a server that has none."""
    with (
        started(python_program("grpc", "server"), folder / "behind.log", None) as behind,
        nginx(folder / "nginx", certificates, behind.port) as servers,
    ):
        yield _unchanged(behind, servers["tls"], client, made, wait)


@contextmanager
def websockets_behind_nginx(
    made: Sequence[Call], folder: Path, certificates: Certificates, wait: Wait, *, listener: str, messages: int
) -> Iterator[list[Leg]]:
    """nginx between the ends of websockets, of each of which as many messages follow."""
    client = python_client("websocket_client", "asyncio", str(messages))
    with (
        started(python_command("servers.asgi_server", "uvicorn-h11"), folder / "behind.log", None) as behind,
        nginx(folder / "nginx", certificates, behind.port) as servers,
    ):
        yield _unchanged(behind, servers[listener], client, made, wait)


def _tunnel(server: Server, status: int, body_bytes: int | None = 0) -> Expected:
    """The exchange that makes a tunnel to a server, or does not."""
    authority = server.base.partition("//")[2]
    return Expected(
        method="CONNECT",
        path=authority,
        status=status,
        request_body_bytes=0,
        response_body_bytes=body_bytes,
        version=1,
    )


def _make_tunnels(
    proxy: Server, server: Server, made: Sequence[Call], options: Sequence[str], files: Path
) -> tuple[list[Expected], list[Expected]]:
    """Make the calls through each of several tunnels, one after the other: the tunnels, and what passes in them."""
    client, before = curl(f'proxy = "{proxy.base}"', *options, files=files), server.said()
    # curl adds the heads of the tunnel to those of its first call.
    said = [_without_heads(one) for _ in range(TUNNELS) for one in client(server, made)]
    within = merged(server.account(TUNNELS * len(made), before), said, ("the server", "curl"))
    tunnels = [_tunnel(server, 200)] * TUNNELS
    check(tunnels, proxy.account(TUNNELS), ("the test", "the proxy"))  # and it was asked for no more
    return tunnels, within


@contextmanager
def _nginx_with_tls(folder: Path, certificates: Certificates) -> Iterator[Server]:
    with nginx(folder, certificates) as servers:
        yield servers["tls"]


SECURE: dict[str, tuple[Start, str]] = {
    "https": (
        lambda folder, certificates: started(python_command("servers.streams_server"), folder / "log", certificates),
        "http1.1",
    ),
    "h2": (_nginx_with_tls, "http2"),
}


@contextmanager
def tunnels_to_tls(
    kind: str, made: Sequence[Call], folder: Path, certificates: Certificates, wait: Wait
) -> Iterator[list[Leg]]:
    """What passes in a tunnel is told where it is plain: by the TLS libraries of its ends, not by the proxy."""
    start, version = SECURE[kind]
    (folder / "server").mkdir()
    with start(folder / "server", certificates) as server, tinyproxy(folder / "proxy", [server.port]) as proxy:
        direct = curl(version, files=folder)
        wait(server, lambda: direct(server, [SIMPLE]))
        since_ns = time.monotonic_ns()
        tunnels, within = _make_tunnels(proxy, server, made, [version], folder)
        yield [
            Leg(proxy.port, since_ns, tunnels, at_client=within),
            Leg(server.port, since_ns, [], at_server=within),
        ]


@contextmanager
def tunnels_to_plain_text(
    made: Sequence[Call], folder: Path, _certificates: Certificates, _wait: Wait
) -> Iterator[list[Leg]]:
    """What passes in a tunnel is told on the proxy's other leg, where nothing says that it comes out of one."""
    with (
        started(python_command("servers.streams_server"), folder / "log", None) as server,
        tinyproxy(folder / "proxy", [server.port]) as proxy,
    ):
        since_ns = time.monotonic_ns()
        tunnels, within = _make_tunnels(proxy, server, made, ["http1.1", "proxytunnel"], folder)
        yield [Leg(proxy.port, since_ns, tunnels), Leg(server.port, since_ns, within)]


@contextmanager
def refused_tunnels(folder: Path, _certificates: Certificates, _wait: Wait) -> Iterator[list[Leg]]:
    """Nothing reaches the server."""
    with (
        started(python_command("servers.streams_server"), folder / "log", None) as server,
        tinyproxy(folder / "proxy", [1]) as proxy,
    ):
        since_ns = time.monotonic_ns()
        options = ["--silent", "--proxytunnel", "--proxy", proxy.base, "--write-out", "%{http_connect}"]
        for _ in range(TUNNELS):
            done = subprocess.run(
                [tool("curl"), *options, f"{server.base}/bytes/1/0"], capture_output=True, timeout=PATIENCE, check=False
            )
            assert done.stdout == b"403"
        refused = [_tunnel(server, 403, None)] * TUNNELS
        check(refused, proxy.account(TUNNELS), ("the test", "the proxy"))
        yield [Leg(proxy.port, since_ns, refused), Leg(server.port, since_ns, [])]


@contextmanager
def whole_targets(made: Sequence[Call], folder: Path, _certificates: Certificates, _wait: Wait) -> Iterator[list[Leg]]:
    """Both legs have the same paths.

    The client has a connection for each call: the proxy ends them without having said so, and a request that finds its
    connection at its end is made twice.
    """
    with (
        started(python_command("servers.streams_server"), folder / "log", None) as server,
        tinyproxy(folder / "proxy", []) as proxy,
    ):
        since_ns = time.monotonic_ns()
        urllib = own(["env", f"http_proxy={proxy.base}", *python_command("clients.blocking_client", "urllib")])
        said = urllib(server, made)
        in_front = merged(proxy.account(len(made)), said, ("the proxy", "the client"))
        behind_it = merged(server.account(len(made)), in_front, ("the server", "the proxy"))
        yield [Leg(proxy.port, since_ns, in_front), Leg(server.port, since_ns, behind_it)]
