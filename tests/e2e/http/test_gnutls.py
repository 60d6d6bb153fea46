"""GnuTLS on either side."""

from pathlib import Path

import pytest

from tests.e2e.http import gnutls
from tests.e2e.http.calls import calls, many_calls
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.client import Client, curl, gnutls_cli, python_client
from tests.e2e.http.conftest import Check
from tests.e2e.http.nginx import nginx
from tests.e2e.http.server import python_command, started

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not gnutls.is_there(), reason=f"this machine has no {gnutls.SONAME}"),
]


@pytest.mark.parametrize("client", ["gnutls", "openssl", "curl"])
def test_a_server(client: str, tmp_path: Path, certificates: Certificates, compare: Check) -> None:
    clients: dict[str, Client] = {
        "gnutls": python_client("blocking_client", "gnutls"),
        "openssl": python_client("blocking_client", "keep"),
        "curl": curl("http1.1", files=tmp_path),
    }
    with started(python_command("servers.threading_server"), tmp_path / "log", certificates, "gnutls") as server:
        compare(server, clients[client], calls())


def test_ten_thousand_exchanges(tmp_path: Path, certificates: Certificates, compare: Check) -> None:
    with started(python_command("servers.threading_server"), tmp_path / "log", certificates, "gnutls") as server:
        compare(server, python_client("blocking_client", "gnutls"), many_calls())


def test_its_own_client(tmp_path: Path, certificates: Certificates, compare: Check) -> None:
    """Requests that are written line by line, each line a record of its own, and pipelined."""
    with nginx(tmp_path, certificates) as servers:
        compare(servers["tls"], gnutls_cli(), calls())
