"""GnuTLS as its own programs use it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.events.layout import EventKind
from tests.agent.tls.building import tool
from tests.agent.tls.conftest import Certificate
from tests.agent.tls.test_libraries import mapped
from tests.agent.tls.watching import TlsWatch
from tests.waiting import until

pytestmark = pytest.mark.kernel

READ, WRITE = EventKind.READ, EventKind.WRITE
WORKLOADS = Path(__file__).with_name("workloads")
REQUEST = "GET /client/0/0 HTTP/1.1\r\nHost: here\r\n\r\n"
ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
PORT = 5556
"""Of a server in a network namespace of its own."""


@pytest.fixture(autouse=True)
def attached(tls_watch: TlsWatch) -> Iterator[None]:
    """A program that stays has the library, so that it has its probes before the next one comes."""
    library = mapped("libgnutls.so.30")
    staying = f"import ctypes; ctypes.CDLL({str(library)!r}); import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", staying], stdin=subprocess.PIPE) as child:
        tls_watch.until_attached(library)
        yield
        child.kill()


def test_a_client(tls: TlsWatch, certificate: Certificate) -> None:
    client = tool("gnutls-cli")
    with subprocess.Popen(
        [sys.executable, "-I", WORKLOADS / "server.py", *certificate], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        with tls.started(client, "--insecure", "-p", port, "localhost") as child:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(REQUEST)
            child.stdin.flush()
            said = ""
            while "hello" not in said:
                said += child.stdout.read(1)
            child.kill()
        server.terminate()
    run = tls.ended(child.pid)
    assert run.bytes(WRITE) == len(REQUEST)
    assert run.count(WRITE, b"GET /client/0/0") == 1
    assert run.bytes(READ) == len(ANSWER)
    assert len({(call.inode, call.session) for call in run.calls}) == 1


def test_a_server(tls: TlsWatch, certificate: Certificate) -> None:
    server, client = tool("gnutls-serv"), tool("curl")
    options = f"--http --port {PORT} --x509certfile {certificate.path} --x509keyfile {certificate.key}"
    inside = f"ip link set lo up && exec {server} {options}"
    with tls.started("unshare", "-n", "sh", "-c", inside, stderr=subprocess.DEVNULL) as child:
        until(lambda: f":{PORT:04X} 00000000:0000 0A" in Path(f"/proc/{child.pid}/net/tcp").read_text())
        asking = ["nsenter", "-t", str(child.pid), "-n", client, "-sf", "--cacert", str(certificate.path)]
        addresses = [f"https://localhost:{PORT}/client/0/{number}" for number in range(3)]
        bodies = [subprocess.run([*asking, one], check=True, capture_output=True).stdout for one in addresses]
        child.kill()
    run = tls.ended(child.pid)
    assert run.count(READ, b"GET /client/0/") == 3
    assert run.count(WRITE, b"HTTP/1.0 200 OK") == 3
    heads = [call.begins.partition(b"\r\n\r\n")[0] for call in run.calls if call.kind is WRITE]
    assert run.bytes(WRITE) == sum(len(head) + 4 + len(body) for head, body in zip(heads, bodies, strict=True))
    assert len({call.inode for call in run.calls}) == 3
