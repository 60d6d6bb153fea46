"""Requests that are sent before earlier ones are answered, to servers that read them in one call or byte by byte."""

from pathlib import Path

import pytest

from tests.e2e.http.calls import calls, many_calls
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.client import python_client, wrk
from tests.e2e.http.conftest import Check
from tests.e2e.http.nginx import nginx
from tests.e2e.http.server import python_command, started

pytestmark = pytest.mark.kernel

SMALL = [call for call in calls() if "5242880" not in call.target and call.body_bytes < 100_000]
SERVERS = ["nginx", "nginx-tls", "streams", "streams-tls"]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("pieces", [(), ("7",)], ids=["whole", "in-pieces"])
def test_all_at_once(
    server: str, pieces: tuple[str, ...], tmp_path: Path, certificates: Certificates, compare: Check
) -> None:
    client = python_client("streams_client", str(len(SMALL)), *pieces)
    if server.startswith("nginx"):
        with nginx(tmp_path, certificates) as servers:
            compare(servers["tls" if server.endswith("tls") else "plain"], client, SMALL)
    else:
        secrets = certificates if server.endswith("tls") else None
        with started(python_command("servers.streams_server"), tmp_path / "log", secrets) as running:
            compare(running, client, SMALL)


def test_ten_thousand_exchanges(tmp_path: Path, certificates: Certificates, compare: Check) -> None:
    with nginx(tmp_path, certificates) as servers:
        compare(servers["plain"], python_client("streams_client", "16"), many_calls())


def test_ten_thousand_exchanges_of_wrk(tmp_path: Path, certificates: Certificates, compare: Check) -> None:
    with nginx(tmp_path, certificates) as servers:
        compare(servers["plain"], wrk(depth=16), many_calls())
