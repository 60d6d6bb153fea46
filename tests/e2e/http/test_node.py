"""Node.js as server and client: HTTP/1.1 and HTTP/2, plain and over its own OpenSSL, which it keeps in memory."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.http.calls import calls, many_calls
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.client import Client, curl, node_client
from tests.e2e.http.conftest import Check
from tests.e2e.http.server import node_command, started

pytestmark = pytest.mark.kernel


CLIENTS: dict[str, Callable[[Path], Client]] = {
    "node-1": lambda _: node_client(1),
    "node-2": lambda _: node_client(2),
    "curl": lambda files: curl("http1.1", files=files),
    "curl-h2": lambda files: curl("http2", files=files),
}


@pytest.mark.parametrize(
    ("kind", "client"),
    [
        ("http", "node-1"),
        ("http", "curl"),
        ("h2c", "node-2"),
        ("https", "node-1"),
        ("https", "curl"),
        ("h2", "node-1"),
        ("h2", "node-2"),
        ("h2", "curl-h2"),
    ],
)
def test_every_kind_of_exchange(
    kind: str, client: str, tmp_path: Path, certificates: Certificates, compare: Check
) -> None:
    secrets = None if kind in {"http", "h2c"} else certificates
    with started(node_command("servers/server.mjs", kind), tmp_path / "log", secrets) as server:
        compare(server, CLIENTS[client](tmp_path), calls())


@pytest.mark.parametrize(
    ("kind", "client"), [("http", "node-1"), ("h2c", "node-2"), ("https", "node-1"), ("h2", "node-2")]
)
def test_ten_thousand_exchanges(
    kind: str, client: str, tmp_path: Path, certificates: Certificates, compare: Check
) -> None:
    secrets = None if kind in {"http", "h2c"} else certificates
    with started(node_command("servers/server.mjs", kind), tmp_path / "log", secrets) as server:
        compare(server, CLIENTS[client](tmp_path), many_calls())
