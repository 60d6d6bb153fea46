"""gRPC's own server and client: every kind of call, small and large, well and failing, plain and over BoringSSL."""

import json
import time
from pathlib import Path

import pytest

from tests.e2e.http.account import Expected, merged, read_account
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.client import run
from tests.e2e.http.server import python_command, started
from tests.e2e.http.servers.grpc_server import SERVICE
from tests.e2e.http.watching import Watcher

pytestmark = pytest.mark.kernel

LARGE = 5 * 1024 * 1024
CALLS: list[tuple[str, list[int], list[int], int]] = [
    # kind, bytes of each request, bytes of the answer that each asks for, status
    ("unary", [8], [0], 0),
    ("unary", [8], [1], 0),
    ("unary", [2047], [2048], 0),
    ("unary", [20480], [2047], 0),
    ("unary", [LARGE], [20480], 0),
    ("unary", [100], [LARGE], 0),
    ("unary", [8], [8], 5),
    ("upload", [8, 2047, 20480], [1, 2, 3], 0),
    ("upload", [100], [LARGE], 0),
    ("download", [8], [2048], 0),
    ("download", [8], [100_000], 0),
    ("download", [8], [8], 13),
    ("both", [8, 2047, 2048, 20480], [0, 1, 2047, 20480], 0),
    ("both", [LARGE, 8], [8, LARGE], 0),
]
FEW = 23
SOME = 1000


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("count", [len(CALLS), SOME])
def test_every_kind_of_call(
    count: int,
    is_secure: bool,  # noqa: FBT001 - a parameter of pytest
    tmp_path: Path,
    certificates: Certificates,
    watcher: Watcher,
) -> None:
    kinds = CALLS if count == len(CALLS) else [call for call in CALLS if LARGE not in (*call[1], *call[2])]
    made = []
    for number in range(count):
        kind, requests, answers, status = kinds[number % len(kinds)]
        made.append((f"{SERVICE}{kind}.{status}.{number}", requests, answers, status))
    with started(
        python_command("servers.grpc_server"), tmp_path / "log", certificates if is_secure else None
    ) as server:
        address = f"localhost:{server.port}" if is_secure else f"127.0.0.1:{server.port}"

        def client(calls: list[tuple[str, list[int], list[int], int]]) -> list[Expected]:
            given = {"address": address, "ca": server.authority, "calls": [call[:3] for call in calls]}
            return read_account(run(python_command("clients.grpc_client"), json.dumps(given).encode()))

        if is_secure:
            watcher.wait_for_tls(server.port, lambda: client([(f"{SERVICE}unary.0.first", [8], [0], 0)]))
        before = server.said()
        since_ns = time.monotonic_ns()
        said = client(made)
        expected = merged(server.account(count, before), said, ("the server", "the client"))
        assert {one.path: one.grpc_status for one in expected} == {call[0]: call[3] for call in made}
        watcher.check(server.port, since_ns, expected)
