"""OpenSSL as programs use it: each call and byte against what the programs counted, each on its own connection."""

import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from agent.events.layout import EventKind
from tests.agent.tls.building import tool
from tests.agent.tls.conftest import Certificate
from tests.agent.tls.watching import Run, TlsWatch

pytestmark = pytest.mark.kernel

WORKLOADS = Path(__file__).with_name("workloads")
READ, WRITE = EventKind.READ, EventKind.WRITE
CLIENTS, EXCHANGES = 20, 5


def blocking(tls: TlsWatch, certificate: Certificate, *numbers: int) -> Run:
    return tls.run(sys.executable, "-I", WORKLOADS / "blocking.py", *certificate, *map(str, numbers))


def clients_by_port(run: Run) -> dict[int, set[bytes]]:
    """By the client's port: the names of the clients whose requests were told of its connection."""
    found = defaultdict(set)
    for call in run.calls:
        if name := re.match(rb"GET /client/(\d+)/", call.begins):
            found[run.local_port[call.inode]].add(name[1])
    return found


def check_connections(run: Run, clients: int = CLIENTS) -> None:
    """Each client's requests, and no other's, on its connection; and on the server's end of it."""
    found = clients_by_port(run)
    of_clients = {port: names for port, names in found.items() if port in run.account["ports"]}
    assert set(of_clients) == set(run.account["ports"])
    assert all(len(names) == 1 for names in of_clients.values())
    assert len({name for names in of_clients.values() for name in names}) == clients
    of_inode = defaultdict(set)
    for call in run.calls:
        if name := re.match(rb"GET /client/(\d+)/", call.begins):
            of_inode[call.inode].add(name[1])
    assert len(of_inode) == 2 * clients
    assert all(len(names) == 1 for names in of_inode.values())


def check_exchanges(run: Run, exchanges: int = CLIENTS * EXCHANGES) -> None:
    for kind in (READ, WRITE):
        assert run.count(kind, b"GET /client/") == exchanges
        assert run.count(kind, b"HTTP/1.1 200") == exchanges


@pytest.mark.parametrize("size", [0, 1, 2047, 20480, 1_000_000])
def test_calls_and_bytes_are_those_that_the_program_counted(tls: TlsWatch, certificate: Certificate, size: int) -> None:
    run = blocking(tls, certificate, 4, 3, size)
    for kind, counted in ((WRITE, run.account["sent"]), (READ, run.account["received"])):
        assert Counter(call.size for call in run.calls if call.kind is kind) == Counter(counted)
    check_connections(run, 4)


def test_positions_are_without_gaps(tls: TlsWatch, certificate: Certificate) -> None:
    run = blocking(tls, certificate, 3, 4, 5000)
    at: dict[tuple[int, int, EventKind], int] = defaultdict(int)
    for call in run.calls:
        stream = call.inode, call.session, call.kind
        assert call.position == at[stream]
        at[stream] += call.size
    assert len(at) == 3 * 4


def test_two_processes_at_once(tls: TlsWatch, certificate: Certificate) -> None:
    command: list[str | Path] = [sys.executable, "-I", WORKLOADS / "blocking.py", *certificate, "3", "4", "100"]
    with tls.started(*command) as first:
        one = tls.run(*command)
        said, _ = first.communicate()
    # The first one's calls were taken while the second one was awaited: what it counted is what it moved.
    assert first.returncode == 0
    assert said
    check_connections(one, 3)
    assert sum(one.account["sent"]) == one.bytes(WRITE)


def test_an_event_loop_of_python(tls: TlsWatch, certificate: Certificate) -> None:
    arguments = (*certificate, str(CLIENTS), str(EXCHANGES))
    run = tls.run(sys.executable, "-I", WORKLOADS / "event_loop.py", *arguments)
    check_exchanges(run)
    check_connections(run)


def test_an_event_loop_of_node(tls: TlsWatch, certificate: Certificate) -> None:
    node = Path(tool("node")).resolve()
    with subprocess.Popen([node, "-e", "process.stdin.resume()"], stdin=subprocess.PIPE) as staying:
        if b"SSL_do_handshake" in node.read_bytes():
            tls.until_attached(node)
        run = tls.run(node, WORKLOADS / "event_loop.js", *certificate, str(CLIENTS), str(EXCHANGES))
        staying.kill()
    check_exchanges(run)
    check_connections(run)


def test_a_client_that_lives_for_a_moment(tls: TlsWatch, certificate: Certificate) -> None:
    curl = tool("curl")
    with subprocess.Popen(
        [sys.executable, "-I", WORKLOADS / "server.py", *certificate], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        address = f"https://localhost:{port}/client/0/"
        subprocess.run([curl, "-sf", "--cacert", certificate.path, f"{address}0"], check=True, capture_output=True)
        run = tls.run(curl, "-sf", "--cacert", certificate.path, *(f"{address}{number}" for number in range(3)))
        server.terminate()
    assert run.said == "hello" * 3
    assert run.count(WRITE, b"GET /client/0/") == 3
    assert run.bytes(READ) == 3 * len(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    assert len({call.inode for call in run.calls}) == 1


def test_a_library_of_its_own_in_a_mount_namespace_of_its_own(
    tls: TlsWatch, certificate: Certificate, tmp_path: Path
) -> None:
    """The path is one of the container, where another file is."""
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    libraries = {fields[5] for fields in lines if len(fields) > 5 and re.search(r"/libssl[^/]*$", fields[5])}
    if not libraries:
        pytest.skip("this Python has OpenSSL built in")
    (library,) = libraries
    copy = Path(shutil.copy(library, tmp_path / "copy"))
    own = f"mount --bind {copy} {library} && exec {sys.executable} -I"
    command = f"{own} {WORKLOADS / 'blocking.py'} {certificate.path} {certificate.key} 2 2 10"
    with subprocess.Popen(
        ["unshare", "-m", "sh", "-c", f"{own} -c 'import ssl; input()'"],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as staying:
        tls.until_attached(copy)
        run = tls.run("unshare", "-m", "sh", "-c", command)
        staying.kill()
    assert Counter(call.size for call in run.calls if call.kind is WRITE) == Counter(run.account["sent"])
    check_connections(run, 2)
