"""Proxies that clients ask: tunnels (CONNECT) to servers with TLS and without, and requests by whole targets."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.http.account import Expected, check, merged
from tests.e2e.http.calls import FEW, calls
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.client import Client, curl, own
from tests.e2e.http.conftest import SIMPLE
from tests.e2e.http.nginx import nginx
from tests.e2e.http.server import Server, python_command, started
from tests.e2e.http.tinyproxy import tinyproxy
from tests.e2e.http.tools import tool
from tests.e2e.http.watching import Watcher
from tests.e2e.programs import PATIENCE

pytestmark = pytest.mark.kernel

TUNNELS = 5
Start = Callable[[Path, Certificates], AbstractContextManager[Server]]


@contextmanager
def nginx_tls(folder: Path, certificates: Certificates) -> Iterator[Server]:
    with nginx(folder, certificates) as servers:
        yield servers["tls"]


SECURE: dict[str, tuple[Start, str]] = {
    "https": (
        lambda folder, certificates: started(python_command("servers.streams_server"), folder / "log", certificates),
        "http1.1",
    ),
    "h2": (nginx_tls, "http2"),
}


def through(proxy: Server, *options: str, files: Path) -> Client:
    """curl, all of whose calls of a run go through one tunnel."""
    return curl(f'proxy = "http://127.0.0.1:{proxy.port}"', *options, files=files)


def without_heads(exchange: Expected) -> Expected:
    """Without the sizes of heads: curl adds those of the tunnel to its first call's."""
    return replace(exchange, request_header_bytes=None, response_header_bytes=None)


def tunnel(server: Server, status: int, body_bytes: int | None = 0) -> Expected:
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


def make_tunnels(proxy: Server, server: Server, client: Client, before: int = 0) -> list[Expected]:
    """Make all calls through each of several tunnels, one after the other; what server and client say of them."""
    said = [without_heads(one) for _ in range(TUNNELS) for one in client(server, calls())]
    made = merged(server.account(TUNNELS * FEW, before), said, ("the server", "curl"))
    check(
        [tunnel(server, 200)] * TUNNELS, proxy.account(TUNNELS), ("the test", "the proxy")
    )  # and it was asked for no more
    return made


@pytest.mark.parametrize("kind", SECURE)
def test_tunnels_to_tls(kind: str, tmp_path: Path, certificates: Certificates, watcher: Watcher) -> None:
    """What passes in a tunnel is told where it is plain: by the TLS libraries of its ends."""
    start, version = SECURE[kind]
    (tmp_path / "server").mkdir()
    with (
        start(tmp_path / "server", certificates) as server,
        tinyproxy(tmp_path / "proxy", [server.port]) as proxy,
    ):
        direct = curl(version, files=tmp_path)
        watcher.wait_for_tls(server.port, lambda: direct(server, [SIMPLE]))
        before, since_ns = server.said(), time.monotonic_ns()
        made = make_tunnels(proxy, server, through(proxy, version, files=tmp_path), before)
        tunnels = [tunnel(server, 200)] * TUNNELS
        watcher.check(proxy.port, since_ns, tunnels, roles=["server"])
        watcher.check(proxy.port, since_ns, [*tunnels, *made], roles=["client"])
        watcher.check(server.port, since_ns, made, roles=["server"])
        watcher.check(server.port, since_ns, [], roles=["client"])  # the proxy knows nothing of what it carries


def test_tunnels_to_plain_text(tmp_path: Path, watcher: Watcher) -> None:
    """What passes in a tunnel is told on the proxy's other leg, where nothing says that it comes out of one."""
    with (
        started(python_command("servers.streams_server"), tmp_path / "log", None) as server,
        tinyproxy(tmp_path / "proxy", [server.port]) as proxy,
    ):
        since_ns = time.monotonic_ns()
        made = make_tunnels(proxy, server, through(proxy, "http1.1", "proxytunnel", files=tmp_path))
        watcher.check(proxy.port, since_ns, [tunnel(server, 200)] * TUNNELS)
        watcher.check(server.port, since_ns, made)


def test_a_tunnel_that_is_refused(tmp_path: Path, watcher: Watcher) -> None:
    with (
        started(python_command("servers.streams_server"), tmp_path / "log", None) as server,
        tinyproxy(tmp_path / "proxy", [1]) as proxy,
    ):
        since_ns = time.monotonic_ns()
        options = ["--silent", "--proxytunnel", "--proxy", proxy.base, "--write-out", "%{http_connect}"]
        for _ in range(TUNNELS):
            done = subprocess.run(
                [tool("curl"), *options, f"{server.base}/bytes/1/0"], capture_output=True, timeout=PATIENCE, check=False
            )
            assert done.stdout == b"403"
        asked = proxy.account(TUNNELS)
        check([tunnel(server, 403, None)] * TUNNELS, asked, ("the test", "the proxy"))
        watcher.check(proxy.port, since_ns, [tunnel(server, 403, None)] * TUNNELS)
        assert watcher.observed(server.port, since_ns) == []


def test_whole_targets(tmp_path: Path, watcher: Watcher) -> None:
    """Both legs are told, by the same paths.

    The client has a connection for each call: the proxy ends them without having said so, and a request that finds its
    connection at its end is made twice.
    """
    with (
        started(python_command("servers.streams_server"), tmp_path / "log", None) as server,
        tinyproxy(tmp_path / "proxy", []) as proxy,
    ):
        since_ns = time.monotonic_ns()
        said = own(["env", f"http_proxy={proxy.base}", *python_command("clients.blocking_client", "urllib")])(
            server, calls()
        )
        in_front = merged(proxy.account(FEW), said, ("the proxy", "curl"))
        behind_it = merged(server.account(FEW), in_front, ("the server", "the proxy"))
        watcher.check(proxy.port, since_ns, in_front)
        watcher.check(server.port, since_ns, behind_it)
