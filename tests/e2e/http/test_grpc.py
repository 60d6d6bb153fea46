"""gRPC's own server and client: every kind of call, small and large, well and failing."""

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.http.account import Expected, check, merged, read_account
from tests.e2e.http.calls import FEW, MANY
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.client import run
from tests.e2e.http.nginx import nginx
from tests.e2e.http.server import Server, python_command, started
from tests.e2e.http.servers.echo import SERVICE
from tests.e2e.http.watching import Moved, Watcher

pytestmark = pytest.mark.kernel

LARGE = 5 * 1024 * 1024
Made = tuple[str, list[int], list[int], int]
Programs = Callable[[str, str], list[str]]
Compare = Callable[[tuple[str, str], int], None]
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


SECURE_PAIRS = [
    # server, client; grpcio's own TLS cannot be seen
    ("grpclib", "grpclib"),
    ("grpclib", "go"),
    ("go", "go"),
    ("go", "grpclib"),
]


def make_calls(count: int, *, repeats: bool) -> list[Made]:
    """All kinds when there are few; without the large ones when there are many.

    Each has a path of its own, or calls of a kind have the same one.
    """
    kinds = CALLS if count <= FEW else [call for call in CALLS if LARGE not in (*call[1], *call[2])]
    return [
        (f"{SERVICE}{kind}.{status}.{number % len(kinds) if repeats else number}", requests, answers, status)
        for number, (kind, requests, answers, status) in zip(range(count), itertools.cycle(kinds))
    ]


@pytest.fixture
def programs(request: pytest.FixtureRequest) -> Programs:
    """The command of a server or a client of a kind."""

    def command(kind: str, role: str) -> list[str]:
        if kind == "go":
            return [str(request.getfixturevalue("go_grpc_program")), role]
        return python_command(f"{role}s.{'grpc' if kind == 'grpcio' else kind}_{role}")

    return command


def client(command: Sequence[str], server: Server, made: Sequence[Made]) -> list[Expected]:
    """Make the calls; what the client says of them."""
    address = f"localhost:{server.port}" if server.authority else f"127.0.0.1:{server.port}"
    given = {"address": address, "ca": server.authority, "calls": [call[:3] for call in made]}
    said = read_account(run(command, json.dumps(given).encode()))
    assert Counter((one.path, one.grpc_status) for one in said) == Counter((call[0], call[3]) for call in made)
    return said


def exchange(command: Sequence[str], server: Server, made: Sequence[Made]) -> list[Expected]:
    """Make the calls; what both programs say of them."""
    before = server.said()
    said = client(command, server, made)
    return merged(server.account(len(made), before), said, ("the server", "the client"))


@pytest.mark.parametrize("kind", ["grpcio", "grpclib", "go"])
def test_every_kind_of_call(kind: str, programs: Programs, tmp_path: Path, watcher: Watcher) -> None:
    with started(programs(kind, "server"), tmp_path / "log", None) as server:
        since_ns = time.monotonic_ns()
        expected = exchange(programs(kind, "client"), server, make_calls(FEW, repeats=kind == "grpclib"))
        watcher.check(server.port, since_ns, expected)


@pytest.mark.parametrize("kind", ["grpcio", "go"])
def test_ten_thousand_calls(kind: str, programs: Programs, tmp_path: Path, watcher: Watcher) -> None:
    with started(programs(kind, "server"), tmp_path / "log", None) as server:
        since_ns = time.monotonic_ns()
        expected = exchange(programs(kind, "client"), server, make_calls(MANY, repeats=False))
        watcher.check(server.port, since_ns, expected)


@pytest.fixture
def compare_over_tls(programs: Programs, tmp_path: Path, certificates: Certificates, watcher: Watcher) -> Compare:
    def compare(pair: tuple[str, str], count: int) -> None:
        server, client = pair
        made, command = make_calls(count, repeats=server == "grpclib"), programs(client, "client")
        with started(programs(server, "server"), tmp_path / "log", certificates) as running:
            watcher.wait_for_tls(running.port, lambda: exchange(command, running, made[:1]))
            since_ns = time.monotonic_ns()
            expected = exchange(command, running, made)
            watcher.check(running.port, since_ns, expected)

    return compare


@pytest.mark.parametrize("pair", SECURE_PAIRS, ids="-".join)
def test_every_kind_of_call_over_tls(pair: tuple[str, str], compare_over_tls: Compare) -> None:
    compare_over_tls(pair, FEW)


@pytest.mark.parametrize("pair", SECURE_PAIRS[1:], ids="-".join)
def test_ten_thousand_calls_over_tls(pair: tuple[str, str], compare_over_tls: Compare) -> None:
    compare_over_tls(pair, MANY)


def test_a_proxy_that_ends_tls(
    programs: Programs, tmp_path: Path, certificates: Certificates, watcher: Watcher
) -> None:
    """nginx in front of a server without TLS: each call is told on both legs, with its status."""
    made, command = make_calls(FEW, repeats=False), programs("grpclib", "client")
    with (
        started(programs("grpcio", "server"), tmp_path / "behind.log", None) as behind,
        nginx(tmp_path / "nginx", certificates, behind.port) as servers,
    ):
        front = servers["tls"]
        watcher.wait_for_tls(front.port, lambda: client(command, front, made[:1]))
        before, before_behind, since_ns = front.said(), behind.said(), time.monotonic_ns()
        said = client(command, front, made)
        in_front = merged(front.account(FEW, before), said, ("nginx", "the client"))
        behind_it = behind.account(FEW, before_behind)
        check(in_front, [replace(one, tls=True) for one in behind_it], ("nginx", "the server behind it"))
        watcher.check(front.port, since_ns, in_front)
        watcher.check(behind.port, since_ns, behind_it)


def test_a_tls_library_without_any_names(tmp_path: Path, certificates: Certificates, watcher: Watcher) -> None:
    """Python's package of gRPC has BoringSSL inside and no symbols of it: bytes are told, as TLS, and no exchange."""
    with started(python_command("servers.grpc_server"), tmp_path / "log", certificates) as server:
        since_ns, before = time.monotonic_ns(), watcher.moved(server.port)
        made = exchange(python_command("clients.grpc_client"), server, make_calls(FEW, repeats=False))
        up = sum(one.request_body_bytes or 0 for one in made)
        down = sum(one.response_body_bytes or 0 for one in made)
        watcher.settle()
        watcher.settle()
        assert watcher.observed(server.port, since_ns) == []
        moved = watcher.moved(server.port) - before
    bodies = {("client", "write"): up, ("server", "read"): up, ("server", "write"): down, ("client", "read"): down}
    assert moved.keys() == {Moved(role, server.port, way, tls=True) for role, way in bodies}
    for one, size in moved.items():
        # Packages are more, by what frames and records are made of, and where they are sent again.
        assert size == pytest.approx(bodies[one.role, one.operation], rel=0.1)
