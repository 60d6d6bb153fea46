"""Many streams at once on a connection: h2load and nghttp, whose own figures say how large header blocks are."""

import time
from pathlib import Path

import pytest

from tests.e2e.http.calls import MANY, Call, asked_calls, calls, many_calls
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.conftest import Check
from tests.e2e.http.nghttp import h2load, nghttp
from tests.e2e.http.nginx import nginx
from tests.e2e.http.server import node_command, python_command, started
from tests.e2e.http.watching import Watcher

pytestmark = pytest.mark.kernel

STREAMS = 100


WORKLOADS: dict[str, tuple[list[Call], int]] = {
    # calls, connections
    "every-size": (asked_calls(), 1),
    "many": (many_calls(), 1),
    # Each connection asks for all targets from the first one on; so they are all alike.
    "many-on-four": ([Call("GET", "/bytes/2048/0")] * MANY, 4),
}


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("listener", ["h2c", "tls"])
def test_a_hundred_streams(
    listener: str, workload: str, tmp_path: Path, certificates: Certificates, watcher: Watcher
) -> None:
    made, connections = WORKLOADS[workload]
    with nginx(tmp_path, certificates) as servers:
        server = servers[listener]
        if server.authority:
            watcher.wait_for_tls(server.port, lambda: h2load(server, made[:1], connections=1, streams=1))
        before = server.said()
        since_ns = time.monotonic_ns()
        said = h2load(server, made, connections=connections, streams=STREAMS)
        account = server.account(len(made), before)
        assert len(account) == said.exchanges == len(made)
        assert sum(one.response_body_bytes or 0 for one in account) == said.response_body_bytes
        told = watcher.check(server.port, since_ns, account)
        for role in ("server", "client"):
            header_bytes = sum(one.response_header_bytes for one in told if one.role == role)
            assert header_bytes == said.response_header_bytes


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("options", [("--no-dep",), (), ("--padding=30",), ("--continuation",)], ids="".join)
def test_the_size_of_each_header_block(
    options: tuple[str, ...],
    is_secure: bool,  # noqa: FBT001 - a parameter of pytest
    tmp_path: Path,
    certificates: Certificates,
    compare: Check,
) -> None:
    made = [call for call in calls() if call.method == "GET"]
    with nginx(tmp_path, certificates) as servers:
        expected = compare(servers["tls" if is_secure else "h2c"], nghttp(*options), made)
    assert all(one.request_header_bytes and one.response_header_bytes for one in expected)


@pytest.mark.parametrize(
    ("kind", "made"),
    [("node", asked_calls()), ("hypercorn", asked_calls()), ("hypercorn", many_calls())],  # Node.js refuses so many
    ids=["node", "hypercorn", "hypercorn-many"],
)
def test_servers_that_compress_as_they_go(kind: str, made: list[Call], tmp_path: Path, compare: Check) -> None:
    command = (
        node_command("servers/server.mjs", "h2c") if kind == "node" else python_command("servers.asgi_server", kind)
    )
    with started(command, tmp_path / "log", None) as server:
        compare(server, nghttp(), made)


def test_an_upgrade_from_http1(tmp_path: Path, compare: Check) -> None:
    """The first exchange begins as HTTP/1.1 and is answered as stream 1."""
    made = [call for call in calls() if call.method == "GET"]
    with started(python_command("servers.asgi_server", "hypercorn"), tmp_path / "log", None) as server:
        compare(server, nghttp("--upgrade"), made)
