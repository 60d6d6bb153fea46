"""Go's net/http as server and client, with its own TLS; programs with their symbols, and without."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.http.calls import calls, many_calls
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.client import Client, curl, own
from tests.e2e.http.conftest import Check
from tests.e2e.http.server import started

pytestmark = pytest.mark.kernel

CLIENTS: dict[str, Callable[[Path, Path], Client]] = {
    "go-1": lambda program, _: own([program, "client", "http1"]),
    "go-2": lambda program, _: own([program, "client", "http2"]),
    "curl": lambda _, files: curl("http1.1", files=files),
    "curl-h2": lambda _, files: curl("http2", files=files),
}


@pytest.mark.parametrize(
    "pair",
    [
        ("http", "go-1"),
        ("h2c", "go-2"),
        ("https", "go-1"),
        ("https", "curl"),
        ("h2", "go-2"),
        ("h2", "curl-h2"),
    ],
    ids="-".join,
)
def test_every_kind_of_exchange(
    pair: tuple[str, str], go_program: Path, tmp_path: Path, certificates: Certificates, compare: Check
) -> None:
    kind, client = pair
    secrets = None if kind in {"http", "h2c"} else certificates
    with started([go_program, "server", kind], tmp_path / "log", secrets) as server:
        compare(server, CLIENTS[client](go_program, tmp_path), calls())


@pytest.mark.parametrize("go_program", [False], ids=["symbols"], indirect=True)
@pytest.mark.parametrize("pair", [("http", "go-1"), ("h2c", "go-2"), ("https", "go-1"), ("h2", "go-2")], ids="-".join)
def test_ten_thousand_exchanges(
    pair: tuple[str, str], go_program: Path, tmp_path: Path, certificates: Certificates, compare: Check
) -> None:
    kind, client = pair
    secrets = None if kind in {"http", "h2c"} else certificates
    with started([go_program, "server", kind], tmp_path / "log", secrets) as server:
        compare(server, CLIENTS[client](go_program, tmp_path), many_calls())
