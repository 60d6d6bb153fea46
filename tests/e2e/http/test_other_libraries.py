"""TLS libraries that the machine's own programs do not have: OpenSSL 1.1.1 in Node.js 16, BoringSSL in curl_cffi."""

import subprocess
from pathlib import Path

import pytest

from agent.tls.libraries import examine
from tests.e2e.http.calls import calls, many_calls
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.client import boring_client, curl, own
from tests.e2e.http.conftest import Check
from tests.e2e.http.downloads import old_node
from tests.e2e.http.server import HERE, python_command, started

pytestmark = pytest.mark.kernel

CLIENT, SERVER = HERE / "clients" / "client.mjs", HERE / "servers" / "server.mjs"


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
