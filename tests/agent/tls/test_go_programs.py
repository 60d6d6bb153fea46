"""Programs that encrypt with Go's own library, whose goroutines move between threads."""

import contextlib
import struct
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.events.layout import EventKind
from agent.kernel import bpf_maps
from tests.agent.tls.conftest import Certificate
from tests.agent.tls.test_openssl import check_connections
from tests.agent.tls.watching import Run, TlsWatch
from tests.waiting import until

pytestmark = pytest.mark.kernel

READ, WRITE = EventKind.READ, EventKind.WRITE
CLIENTS, EXCHANGES = 20, 10


@contextlib.contextmanager
def running(
    tls: TlsWatch, program: Path, certificate: Certificate, numbers: tuple[int, ...] = ()
) -> Iterator["subprocess.Popen[str]"]:
    """A server and its clients in one program, which has waited until it has its probes.

    Numbers for that of go_program/: clients, exchanges of each, bytes of each answer.
    """
    with tls.started(program, *certificate, *map(str, numbers)) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "ready\n"
        tls.until_attached(program)
        child.stdin.write("go\n")
        child.stdin.flush()
        yield child


def run_program(tls: TlsWatch, program: Path, certificate: Certificate, numbers: tuple[int, ...] = ()) -> Run:
    """The same, to its end."""
    with running(tls, program, certificate, numbers) as child:
        assert child.stdout is not None
        said = child.stdout.read()
    assert child.returncode == 0
    return tls.ended(child.pid, said)


@pytest.mark.parametrize("program", ["go_program", "stripped_go_program"])
def test_exchanges_are_told_on_their_connections(
    tls: TlsWatch, certificate: Certificate, program: str, request: pytest.FixtureRequest
) -> None:
    run = run_program(tls, request.getfixturevalue(program), certificate, (CLIENTS, EXCHANGES, 100))
    check_connections(run)
    assert run.count(WRITE, b"GET /client/") == CLIENTS * EXCHANGES
    assert run.count(WRITE, b"HTTP/1.1 200 OK") == CLIENTS * EXCHANGES
    # The server reads the next request's first byte apart, as soon as it waits for it.
    ports = set(run.account["ports"])
    of_clients = [call for call in run.calls if run.local_port[call.inode] in ports]
    sent = sum(call.size for call in of_clients if call.kind is WRITE)
    assert sent == run.account["request_bytes"]
    of_server = [call for call in run.calls if run.local_port[call.inode] not in ports]
    assert sum(call.size for call in of_server if call.kind is READ) == sent


def test_large_answers_are_counted_to_the_byte(tls: TlsWatch, certificate: Certificate, go_program: Path) -> None:
    run = run_program(tls, go_program, certificate, (4, 3, 300_000))
    assert run.account["response_bodies"] == 4 * 3 * 300_000
    ports = set(run.account["ports"])
    sums: dict[bool, int] = defaultdict(int)
    for call in run.calls:
        is_client = run.local_port[call.inode] in ports
        if is_client == (call.kind is READ):
            sums[is_client] += call.size
    assert sums[True] == sums[False] > run.account["response_bodies"]


def test_positions_are_without_gaps(tls: TlsWatch, certificate: Certificate, go_program: Path) -> None:
    run = run_program(tls, go_program, certificate, (5, 5, 50_000))
    at: dict[tuple[int, EventKind], int] = defaultdict(int)
    for call in run.calls:
        assert call.position == at[call.inode, call.kind]
        at[call.inode, call.kind] += call.size
    assert len(at) == 2 * 2 * 5


def test_a_write_that_is_left_when_its_connection_is_gone_is_told(
    tls: TlsWatch, certificate: Certificate, late_go_program: Path
) -> None:
    run = run_program(tls, late_go_program, certificate)
    account = run.account
    of_server = [call for call in run.calls if run.local_port[call.inode] != account["port"]]
    assert [(call.kind, call.size) for call in of_server] == [(READ, account["request"]), (WRITE, account["response"])]
    assert of_server[1].begins.endswith(b"\r\n\r\nlate")


def test_calls_of_a_program_that_was_killed_within_them_are_forgotten(
    tls: TlsWatch, certificate: Certificate, go_program: Path
) -> None:
    def calls_of(process: int) -> list[bytes]:
        keys = bpf_maps.keys(tls.source.loaded.maps["go_calls"])
        return [key for key in keys if struct.unpack_from("=QI", key)[1] == process]

    with running(tls, go_program, certificate, (CLIENTS, 1_000_000, 100)) as child:
        until(lambda: len(calls_of(child.pid)) >= CLIENTS)
        child.kill()
    tls.ended(child.pid)
    assert calls_of(child.pid)
    tls.review()
    assert not calls_of(child.pid)
    # Others may be of the whole machine: mappings that a busy agent was not told of.
    assert not [cause for cause in tls.watcher.failures() if "Go programs" in cause]
