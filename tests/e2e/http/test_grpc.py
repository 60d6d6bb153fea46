"""gRPC's own server and client: every kind of call, small and large, well and failing."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.http.account import Expected, merged, read_account
from tests.e2e.http.calls import FEW, MANY
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.client import run
from tests.e2e.http.server import Server, python_command, started
from tests.e2e.http.servers.grpc_server import SERVICE
from tests.e2e.http.watching import Watcher

pytestmark = pytest.mark.kernel

LARGE = 5 * 1024 * 1024
Made = tuple[str, list[int], list[int], int]
CALLS: list[Made] = [
    # kind, bytes of each request, bytes of the answer that each asks for, status
    ("unary", [8], [0], 0),
    ("unary", [8], [1], 0),
    ("unary", [2047], [2048], 0),
    ("unary", [20480], [2047], 0),
    ("unary", [LARGE], [20480], 0),
    ("unary", [100], [LARGE], 0),
    ("unary", [2048], [LARGE], 0),
    ("unary", [8], [20480], 0),
    ("unary", [8], [8], 1),
    ("unary", [20480], [0], 5),
    ("unary", [8], [1], 16),
    ("upload", [8, 2047, 20480], [1, 2, 3], 0),
    ("upload", [100], [LARGE], 0),
    ("upload", [2048, LARGE], [0, 1], 0),
    ("upload", [8, 8], [1, 1], 9),
    ("download", [8], [2048], 0),
    ("download", [8], [100_000], 0),
    ("download", [2047], [LARGE], 0),
    ("download", [8], [8], 13),
    ("both", [8, 2047, 2048, 20480], [0, 1, 2047, 20480], 0),
    ("both", [LARGE, 8], [8, LARGE], 0),
    ("both", [8], [20480], 0),
    ("both", [2047, 2048], [1, 1], 14),
]
assert len(CALLS) == FEW


def make_calls(count: int) -> list[Made]:
    """All kinds when there are few; without the large ones when there are many."""
    kinds = CALLS if count <= FEW else [call for call in CALLS if LARGE not in (*call[1], *call[2])]
    chosen = [kinds[number % len(kinds)] for number in range(count)]
    return [
        (f"{SERVICE}{kind}.{status}.{number}", requests, answers, status)
        for number, (kind, requests, answers, status) in enumerate(chosen)
    ]


def exchange(server: Server, made: Sequence[Made]) -> list[Expected]:
    """Make the calls; what both programs say of them."""
    address = f"localhost:{server.port}" if server.authority else f"127.0.0.1:{server.port}"
    given = {"address": address, "ca": server.authority, "calls": [call[:3] for call in made]}
    said = read_account(run(python_command("clients.grpc_client"), json.dumps(given).encode()))
    expected = merged(server.account(len(made)), said, ("the server", "the client"))
    assert {one.path: one.grpc_status for one in expected} == {call[0]: call[3] for call in made}
    return expected


@pytest.mark.parametrize("count", [FEW, MANY])
def test_every_kind_of_call(count: int, tmp_path: Path, watcher: Watcher) -> None:
    with started(python_command("servers.grpc_server"), tmp_path / "log", None) as server:
        since_ns = time.monotonic_ns()
        expected = exchange(server, make_calls(count))
        watcher.check(server.port, since_ns, expected)


def test_a_tls_library_without_any_names(tmp_path: Path, certificates: Certificates, watcher: Watcher) -> None:
    """Python's package of gRPC has BoringSSL inside and no symbols of it: nothing is told, and nothing wrong."""
    with started(python_command("servers.grpc_server"), tmp_path / "log", certificates) as server:
        since_ns = time.monotonic_ns()
        exchange(server, make_calls(FEW))
        watcher.settle()
        watcher.settle()
        assert watcher.observed(server.port, since_ns) == []
