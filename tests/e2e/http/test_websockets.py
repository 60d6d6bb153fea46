"""Websockets: the exchange that leads to one is told, once, and none of what its messages hold."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.http.account import check, merged
from tests.e2e.http.calls import Call
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.client import own, python_client
from tests.e2e.http.conftest import Check
from tests.e2e.http.nginx import nginx
from tests.e2e.http.server import node_command, python_command, started
from tests.e2e.http.watching import Watcher

pytestmark = pytest.mark.kernel

MESSAGES = 1000
"""Of each connection."""
MADE = [Call("GET", f"/socket/{number}") for number in range(5)]


@pytest.mark.parametrize(
    "pair", [("uvicorn-h11", "sync"), ("uvicorn-httptools", "asyncio"), ("hypercorn", "asyncio")], ids="-".join
)
@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "tls"])
def test_servers(
    is_secure: bool,  # noqa: FBT001 - a parameter of pytest
    pair: tuple[str, str],
    tmp_path: Path,
    certificates: Certificates,
    compare: Check,
) -> None:
    server, client = pair
    command, secrets = python_command("servers.asgi_server", server), certificates if is_secure else None
    with started(command, tmp_path / "log", secrets) as running:
        expected = compare(running, python_client("websocket_client", client, str(MESSAGES)), MADE)
    assert {one.status for one in expected} == {101}


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "tls"])
def test_streams_of_http2(is_secure: bool, tmp_path: Path, certificates: Certificates, compare: Check) -> None:  # noqa: FBT001 - a parameter of pytest
    """RFC 8441: each is a stream, an exchange of the method CONNECT whose bodies are what both ends said."""
    client = own(node_command("clients/websocket.mjs", str(MESSAGES // len(MADE))))
    command = python_command("servers.asgi_server", "hypercorn")
    with started(command, tmp_path / "log", certificates if is_secure else None) as running:
        expected = compare(running, client, MADE)
    assert {(one.method, one.status) for one in expected} == {("CONNECT", 200)}
    assert all(one.request_body_bytes and one.response_body_bytes for one in expected)


@pytest.mark.parametrize("listener", ["plain", "tls"])
def test_a_proxy(listener: str, tmp_path: Path, certificates: Certificates, watcher: Watcher) -> None:
    """nginx between the ends of a websocket: both legs are told."""
    client = python_client("websocket_client", "asyncio", str(MESSAGES))
    with (
        started(python_command("servers.asgi_server", "uvicorn-h11"), tmp_path / "behind.log", None) as behind,
        nginx(tmp_path / "nginx", certificates, behind.port) as servers,
    ):
        front = servers[listener]
        if front.authority:
            watcher.wait_for_tls(front.port, lambda: client(front, MADE[:1]))
        before, before_behind, since_ns = front.said(), behind.said(), time.monotonic_ns()
        said = client(front, MADE)
        in_front = merged(front.account(len(MADE), before), said, ("nginx", "the client"))
        behind_it = behind.account(len(MADE), before_behind)
        check([replace(one, tls=False) for one in in_front], behind_it, ("nginx", "the server behind it"))
        watcher.check(front.port, since_ns, in_front)
        watcher.check(behind.port, since_ns, behind_it)
