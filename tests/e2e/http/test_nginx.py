"""nginx: sendfile and write, lengths and chunks, HTTP/1.0, HTTP/1.1 and HTTP/2, plain and over TLS."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.http.calls import FEW, Call, calls, many_calls
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.client import curl
from tests.e2e.http.conftest import Check, CheckLegs
from tests.e2e.http.nginx import TEXT, nginx
from tests.e2e.http.proxies import behind_nginx
from tests.e2e.http.server import Server

pytestmark = pytest.mark.kernel

Servers = dict[str, Server]


@pytest.fixture
def servers(tmp_path: Path, certificates: Certificates) -> Iterator[Servers]:
    with nginx(tmp_path, certificates) as running:
        yield running


@pytest.mark.parametrize(
    ("listener", "options"),
    [
        ("plain", ["http1.1"]),
        ("plain", ["http1.0"]),
        ("written", ["http1.1"]),
        ("tls", ["http1.1"]),
        ("tls", ["http2"]),
        ("tls", ["http2", "parallel"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_every_kind_of_exchange(
    listener: str, options: list[str], servers: Servers, tmp_path: Path, compare: Check
) -> None:
    compare(servers[listener], curl(*options, files=tmp_path), calls())


@pytest.mark.parametrize(
    ("listener", "options"),
    [
        ("plain", ["http1.1"]),
        ("written", ["http1.1"]),
        ("tls", ["http1.1"]),
        ("tls", ["http2", "parallel"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_ten_thousand_exchanges(
    listener: str, options: list[str], servers: Servers, tmp_path: Path, compare: Check
) -> None:
    compare(servers[listener], curl(*options, files=tmp_path), many_calls())


@pytest.mark.parametrize("made", [calls(), many_calls()], ids=["few", "many"])
def test_http2_by_prior_knowledge(made: list[Call], servers: Servers, tmp_path: Path, compare: Check) -> None:
    # This version of curl cannot use such a connection twice.
    compare(servers["h2c"], curl("http2-prior-knowledge", files=tmp_path, apart=True), made)


@pytest.mark.parametrize("listener", ["plain", "tls"])
def test_a_coding_that_takes_away_the_length(listener: str, servers: Servers, tmp_path: Path, compare: Check) -> None:
    made = [Call("GET", f"/text/{number}") for number in range(FEW)]
    expected = compare(servers[listener], curl('header = "Accept-Encoding: gzip"', "http1.1", files=tmp_path), made)
    assert all(0 < (one.response_body_bytes or 0) < len(TEXT) for one in expected)  # compressed, as on the wire


def test_a_proxy(check_legs: CheckLegs) -> None:
    """Both legs of each exchange, in the same process of nginx, as the programs at the two ends say."""
    check_legs(partial(behind_nginx, calls()))
