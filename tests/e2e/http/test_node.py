"""Node.js as server and client: HTTP/1.1 and HTTP/2, plain and over its own OpenSSL, which it keeps in memory."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.http.account import check, merged
from tests.e2e.http.calls import LARGE, Call, calls
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.client import Client, curl, node_client
from tests.e2e.http.conftest import SIMPLE, Check
from tests.e2e.http.server import node_command, started
from tests.e2e.http.watching import Watcher

pytestmark = pytest.mark.kernel


def is_large(call: Call) -> bool:
    return call.body_bytes >= LARGE or str(LARGE) in call.target


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
        compare(server, CLIENTS[client](tmp_path), [call for call in calls() if kind != "h2" or not is_large(call)])


def test_more_frames_in_a_call_than_are_followed(tmp_path: Path, certificates: Certificates, watcher: Watcher) -> None:
    """Node.js encrypts a body of 5 MiB in one call: what is told beside it is right (docs/http.md)."""
    made = calls()
    with started(node_command("servers/server.mjs", "h2"), tmp_path / "log", certificates) as server:
        client = CLIENTS["curl-h2"](tmp_path)
        watcher.wait_for_tls(server.port, lambda: client(server, [SIMPLE]))
        before, since_ns = server.said(), time.monotonic_ns()
        said = client(server, made)
        expected = {one.path: one for one in merged(server.account(len(made), before), said, ("server", "client"))}
        watcher.settle()
        told = [one for one in watcher.observed(server.port, since_ns) if one.role == "server"]
    assert len({one.path for one in told}) == len(told) > 0
    check([expected[one.path] for one in told], [one.account for one in told], ("the programs", "the agent"))
