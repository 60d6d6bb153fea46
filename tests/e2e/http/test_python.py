"""Python's servers and clients: blocking sockets, asyncio, ASGI; OpenSSL over sockets and over memory, GnuTLS."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.http.calls import calls, many_calls
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.client import Client, curl, python_client
from tests.e2e.http.conftest import Check
from tests.e2e.http.server import python_command, started

pytestmark = pytest.mark.kernel

CLIENTS: dict[str, Callable[[Path], Client]] = {
    "http.client": lambda _: python_client("blocking_client", "keep"),
    "urllib": lambda _: python_client("blocking_client", "urllib"),
    "streams": lambda _: python_client("streams_client", "1"),
    "curl": lambda files: curl("http1.1", files=files),
    "curl-1.0": lambda files: curl("http1.0", files=files),
    "curl-h2": lambda files: curl("http2", files=files),
    "curl-h2-parallel": lambda files: curl("http2", "parallel", files=files),
    "curl-h2c": lambda files: curl("http2-prior-knowledge", files=files, apart=True),
}


@pytest.mark.parametrize("client", ["http.client", "urllib", "streams", "curl", "curl-1.0"])
@pytest.mark.parametrize("tls", [(), ("openssl",)], ids=["plain", "tls"])
def test_http_server(
    client: str, tls: tuple[str, ...], tmp_path: Path, certificates: Certificates, compare: Check
) -> None:
    command = python_command("servers.threading_server")
    with started(command, tmp_path / "log", certificates if tls else None, *tls) as server:
        compare(server, CLIENTS[client](tmp_path), calls())


@pytest.mark.parametrize("client", ["http.client", "urllib", "streams", "curl"])
@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "tls"])
def test_streams(client: str, is_secure: bool, tmp_path: Path, certificates: Certificates, compare: Check) -> None:  # noqa: FBT001 - a parameter of pytest
    command = python_command("servers.streams_server")
    with started(command, tmp_path / "log", certificates if is_secure else None) as server:
        compare(server, CLIENTS[client](tmp_path), calls())


@pytest.mark.parametrize(
    ("kind", "client"),
    [
        ("uvicorn-h11", "http.client"),
        ("uvicorn-httptools", "streams"),
        ("hypercorn", "curl"),
        ("hypercorn", "curl-h2c"),
    ],
)
def test_asgi(kind: str, client: str, tmp_path: Path, compare: Check) -> None:
    with started(python_command("servers.asgi_server", kind), tmp_path / "log", None) as server:
        compare(server, CLIENTS[client](tmp_path), calls())


@pytest.mark.parametrize(
    ("kind", "client"),
    [
        ("uvicorn-h11", "http.client"),
        ("uvicorn-httptools", "curl"),
        ("hypercorn", "curl-h2"),
        ("hypercorn", "curl-h2-parallel"),
    ],
)
def test_asgi_over_tls(kind: str, client: str, tmp_path: Path, certificates: Certificates, compare: Check) -> None:
    with started(python_command("servers.asgi_server", kind), tmp_path / "log", certificates) as server:
        compare(server, CLIENTS[client](tmp_path), calls())


def test_an_upgrade_to_http2(tmp_path: Path, compare: Check) -> None:
    """The first exchange of each connection begins as HTTP/1.1 and is answered as stream 1."""
    made = [call for call in calls() if call.method == "GET" and "5242880" not in call.target]  # curl takes no more
    with started(python_command("servers.asgi_server", "hypercorn"), tmp_path / "log", None) as server:
        compare(server, curl("http2", files=tmp_path, apart=True), made)


@pytest.mark.parametrize(
    ("server", "client"),
    [
        ("threading_server", "http.client"),
        ("threading_server", "urllib"),
        ("streams_server", "http.client"),
        ("asgi_server uvicorn-h11", "http.client"),
        ("asgi_server uvicorn-httptools", "streams"),
        ("asgi_server hypercorn", "curl"),
    ],
)
def test_ten_thousand_exchanges(server: str, client: str, tmp_path: Path, compare: Check) -> None:
    with started(python_command(*f"servers.{server}".split()), tmp_path / "log", None) as running:
        compare(running, CLIENTS[client](tmp_path), many_calls())


@pytest.mark.parametrize(
    ("server", "client"),
    [
        ("threading_server", "http.client"),
        ("streams_server", "streams"),
        ("asgi_server uvicorn-h11", "http.client"),
        ("asgi_server uvicorn-httptools", "streams"),
        ("asgi_server hypercorn", "curl-h2"),
    ],
)
def test_ten_thousand_exchanges_over_tls(
    server: str, client: str, tmp_path: Path, certificates: Certificates, compare: Check
) -> None:
    command = python_command(*f"servers.{server}".split())
    options = ("openssl",) if server == "threading_server" else ()
    with started(command, tmp_path / "log", certificates, *options) as running:
        compare(running, CLIENTS[client](tmp_path), many_calls())
