"""Servers and clients of gRPC: every kind of call, small and large, well and failing by every status."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.e2e.http.account import Expected, merged
from tests.e2e.http.calls import FEW, MANY
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.conftest import CheckLegs
from tests.e2e.http.grpc_programs import ask, given, node_program, python_program
from tests.e2e.http.proxies import grpc_behind_nginx
from tests.e2e.http.relay import relay
from tests.e2e.http.server import Server, started
from tests.e2e.http.servers.echo import KINDS, SERVICE
from tests.e2e.http.watching import Moved, Watcher
from tests.e2e.programs import program, read_line
from tests.waiting import PATIENCE

pytestmark = pytest.mark.kernel

LARGE = 5 * 1024 * 1024
LARGEST_PACKAGE = 2 << 16
"""Bytes: TCP sends two segments together where it can (net.ipv4.tcp_min_tso_segs), each as long as loopback takes."""
Made = tuple[str, list[int], list[int], int]
Programs = Callable[[str, str], list[str]]
Compare = Callable[..., None]
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


LIBRARIES = ("grpcio", "grpclib", "go", "node")
PAIRS = list(itertools.product(LIBRARIES, LIBRARIES))
"""Server, client."""
SECURE_PAIRS = [pair for pair in PAIRS if "grpcio" not in pair]  # whose own TLS cannot be seen
MANY_SECURE_PAIRS = [("grpclib", "grpclib"), ("grpclib", "go"), ("go", "go"), ("go", "grpclib"), ("node", "node")]
KNOW_METHODS_BY_NAME = ("grpclib", "node")
"""Servers that know no more than 23 methods of a kind and a status."""
FAILURES = range(1, 17)
"""Every status but that of success."""


def make_calls(count: int, server: str) -> list[Made]:
    """All kinds when there are few; without the large ones when there are many.

    Each has a path of its own, where the server can have as many methods; else calls of a kind have the same one.
    """
    repeats = server in KNOW_METHODS_BY_NAME
    kinds = CALLS if count <= FEW else [call for call in CALLS if LARGE not in (*call[1], *call[2])]
    return [
        (f"{SERVICE}{kind}.{status}.{number % len(kinds) if repeats else number}", requests, answers, status)
        for number, (kind, requests, answers, status) in zip(range(count), itertools.cycle(kinds))
    ]


@pytest.fixture
def programs(request: pytest.FixtureRequest) -> Programs:
    """The command of a server or a client by its library."""

    def command(library: str, role: str) -> list[str]:
        if library == "go":
            return [str(request.getfixturevalue("go_grpc_program")), role]
        if library == "node":
            return node_program(role)
        return python_program("grpc" if library == "grpcio" else library, role)

    return command


def client(command: Sequence[str], server: Server, made: Sequence[Made]) -> list[Expected]:
    """Make the calls; what the client says of them."""
    said = ask(command, server, [call[:3] for call in made])
    assert Counter((one.path, one.grpc_status) for one in said) == Counter((call[0], call[3]) for call in made)
    return said


def exchange(command: Sequence[str], server: Server, made: Sequence[Made]) -> list[Expected]:
    """Make the calls; what both programs say of them."""
    before = server.said()
    said = client(command, server, made)
    return merged(server.account(len(made), before), said, ("the server", "the client"))


@pytest.fixture
def compare(programs: Programs, tmp_path: Path, watcher: Watcher) -> Compare:
    def compare(pair: tuple[str, str], made: Sequence[Made], certificates: Certificates | None = None) -> None:
        server, client = pair
        command = programs(client, "client")
        with started(programs(server, "server"), tmp_path / "log", certificates) as running:
            if certificates:
                watcher.wait_for_tls(running.port, lambda: exchange(command, running, made[:1]))
            since_ns = time.monotonic_ns()
            expected = exchange(command, running, made)
            watcher.check(running.port, since_ns, expected)

    return compare


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_every_kind_of_call(pair: tuple[str, str], compare: Compare) -> None:
    compare(pair, make_calls(FEW, pair[0]))


@pytest.mark.parametrize("pair", SECURE_PAIRS, ids="-".join)
def test_every_kind_of_call_over_tls(pair: tuple[str, str], certificates: Certificates, compare: Compare) -> None:
    compare(pair, make_calls(FEW, pair[0]), certificates)


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_status(library: str, compare: Compare) -> None:
    failing: list[Made] = [(f"{SERVICE}{kind}.{status}.0", [8], [8], status) for kind in KINDS for status in FAILURES]
    compare((library, library), failing)


@pytest.mark.parametrize("library", LIBRARIES)
def test_ten_thousand_calls(library: str, compare: Compare) -> None:
    compare((library, library), make_calls(MANY, library))


@pytest.mark.parametrize("pair", MANY_SECURE_PAIRS, ids="-".join)
def test_ten_thousand_calls_over_tls(pair: tuple[str, str], certificates: Certificates, compare: Compare) -> None:
    compare(pair, make_calls(MANY, pair[0]), certificates)


def test_a_proxy_that_ends_tls(programs: Programs, check_legs: CheckLegs) -> None:
    """nginx in front of a server without TLS: each call is told on both legs, with its status."""
    made = make_calls(FEW, "grpcio")
    check_legs(partial(grpc_behind_nginx, partial(client, programs("grpclib", "client")), made))


@pytest.mark.parametrize("count", [FEW, 1000])
def test_a_tls_library_without_any_names(
    count: int, programs: Programs, tmp_path: Path, certificates: Certificates, watcher: Watcher
) -> None:
    """Python's package of gRPC has BoringSSL inside and no symbols of it: bytes are told, as TLS, and no exchange.

    They are those that a relay between client and server has moved, and what is told to have been sent again.
    """
    made = make_calls(count, "grpcio")
    with started(programs("grpcio", "server"), tmp_path / "log", certificates) as server, relay(server.port) as between:
        since_ns = time.monotonic_ns()
        before = {port: watcher.moved(port) for port in (between.port, server.port)}
        with program(programs("grpcio", "client"), stdin=PIPE, stdout=PIPE) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            client.stdin.write(given(between.port, server.authority, [call[:3] for call in made]) + b"\n")
            client.stdin.flush()
            for _ in made:
                read_line(client.stdout.fileno(), "the client")
            up, down = between.end()
            client.stdin.close()
            assert client.wait(PATIENCE) == 0
        # Who is told that the connection has ended says a few last words and closes. These may have to wait, and leave
        # when nobody has the socket any more whose next event could tell of them: they are told as read, by the relay.
        ways = [
            (between.port, up.read, up.read - up.written, "client", "server"),
            (between.port, down.written, 0, "server", "client"),
            (server.port, up.written, 0, "client", "server"),
            (server.port, down.read, down.read - down.written, "server", "client"),
        ]

        def moved(port: int, writer: str, reader: str) -> tuple[int, int]:
            found = watcher.moved(port) - before[port]
            return found[Moved(writer, port, "write", tls=True)], found[Moved(reader, port, "read", tls=True)]

        def is_told(port: int, size: int, last: int, *ends: str) -> bool:
            # The kernel drops some packages before they are anybody's to read. Timers send these again, on top of any
            # task, and hardened kernels run no program on top of some tasks (docs/stages.md): the bytes of such a
            # package may be missing on either side, and so may the last package, with the end of a socket.
            written, read = moved(port, *ends)
            again = (watcher.sent_again(port) + 1) * LARGEST_PACKAGE
            return size <= read + again and read <= written + last + again and written <= size + again

        # What is moved after the last call is told when a connection has been closed, by programs that take their time.
        watcher.settle_until(lambda: all(is_told(*way) for way in ways))
        for port in (between.port, server.port):
            assert watcher.observed(port, since_ns) == []
            assert len(watcher.moved(port) - before[port]) == 2 * 2
        for port, size, last, *ends in ways:
            assert is_told(port, size, last, *ends), (moved(port, *ends), size, last, watcher.sent_again(port))
