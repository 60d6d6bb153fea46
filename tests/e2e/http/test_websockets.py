"""Websockets: the exchange that leads to one is told, once, and none of what its messages hold."""

from functools import partial
from pathlib import Path

import pytest

from tests.e2e.http.calls import Call
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.client import own, python_client
from tests.e2e.http.conftest import Check, CheckLegs
from tests.e2e.http.proxies import websockets_behind_nginx
from tests.e2e.http.server import node_command, python_command, started

pytestmark = pytest.mark.kernel

MESSAGES = 1000
"""Of each connection."""
SOCKETS = [Call("GET", f"/socket/{number}") for number in range(5)]


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
        expected = compare(running, python_client("websocket_client", client, str(MESSAGES)), SOCKETS)
    assert {one.status for one in expected} == {101}


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "tls"])
def test_streams_of_http2(is_secure: bool, tmp_path: Path, certificates: Certificates, compare: Check) -> None:  # noqa: FBT001 - a parameter of pytest
    """RFC 8441: each is a stream, an exchange of the method CONNECT whose bodies are what both ends said."""
    client = own(node_command("clients/websocket.mjs", str(MESSAGES // len(SOCKETS))))
    command = python_command("servers.asgi_server", "hypercorn")
    with started(command, tmp_path / "log", certificates if is_secure else None) as running:
        expected = compare(running, client, SOCKETS)
    assert {(one.method, one.status) for one in expected} == {("CONNECT", 200)}
    assert all(one.request_body_bytes and one.response_body_bytes for one in expected)


@pytest.mark.parametrize("listener", ["plain", "tls"])
def test_a_proxy(listener: str, check_legs: CheckLegs) -> None:
    """nginx between the ends of a websocket: both legs are told."""
    check_legs(partial(websockets_behind_nginx, SOCKETS, listener=listener, messages=MESSAGES))
