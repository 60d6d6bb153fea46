"""TLS libraries that the machine's own programs do not have: OpenSSL 1.1.1 in Node.js 16, BoringSSL in curl_cffi."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.tls.libraries import examine
from tests.e2e.http.account import Expected, read_account
from tests.e2e.http.calls import Call, as_json, calls, many_calls
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.client import Client, curl, own
from tests.e2e.http.conftest import Check
from tests.e2e.http.downloads import boring_curl, old_node
from tests.e2e.http.server import HERE, Server, python_command, started
from tests.e2e.programs import PATIENCE, ROOT

pytestmark = pytest.mark.kernel

CLIENT, SERVER = HERE / "clients" / "client.mjs", HERE / "servers" / "server.mjs"


def boring_client(kind: str) -> Client:
    """clients/boring_client.py."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(boring_curl())))}

    def client(server: Server, made: Sequence[Call]) -> list[Expected]:
        done = subprocess.run(
            python_command("clients.boring_client", kind),
            input=as_json(server.base, made, server.authority),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env=environment,
            cwd=ROOT,
        )
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        return read_account(done.stdout.decode())

    return client


def test_node_16_has_openssl_1_1_1() -> None:
    node = old_node()
    said = subprocess.run([node, "-p", "process.versions.openssl"], check=True, capture_output=True, text=True).stdout
    assert said.startswith("1.1.1")
    assert examine(str(node)).names == ("OpenSSL",)


@pytest.mark.parametrize(
    ("kind", "client"), [("https", "http1"), ("h2", "http2"), ("https", "curl"), ("h2", "curl-h2")]
)
def test_openssl_1_1_1(kind: str, client: str, tmp_path: Path, certificates: Certificates, compare: Check) -> None:
    node = old_node()
    clients = {
        "http1": own([node, CLIENT, "http1"]),
        "http2": own([node, CLIENT, "http2"]),
        "curl": curl("http1.1", files=tmp_path),
        "curl-h2": curl("http2", files=tmp_path),
    }
    with started([node, SERVER, kind], tmp_path / "log", certificates) as server:
        compare(server, clients[client], calls())


@pytest.mark.parametrize(("kind", "client"), [("uvicorn-h11", "http1"), ("hypercorn", "http2")])
def test_boringssl(kind: str, client: str, tmp_path: Path, certificates: Certificates, compare: Check) -> None:
    with started(python_command("servers.asgi_server", kind), tmp_path / "log", certificates) as server:
        compare(server, boring_client(client), calls())


@pytest.mark.parametrize(("kind", "client"), [("https", "http1"), ("h2", "http2")])
def test_ten_thousand_exchanges_of_openssl_1_1_1(
    kind: str, client: str, tmp_path: Path, certificates: Certificates, compare: Check
) -> None:
    node = old_node()
    with started([node, SERVER, kind], tmp_path / "log", certificates) as server:
        compare(server, own([node, CLIENT, client]), many_calls())


@pytest.mark.parametrize(("kind", "client"), [("uvicorn-h11", "http1"), ("hypercorn", "http2")])
def test_ten_thousand_exchanges_of_boringssl(
    kind: str, client: str, tmp_path: Path, certificates: Certificates, compare: Check
) -> None:
    with started(python_command("servers.asgi_server", kind), tmp_path / "log", certificates) as server:
        compare(server, boring_client(client), many_calls())
