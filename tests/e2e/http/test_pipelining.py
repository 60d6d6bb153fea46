"""Requests that are sent before earlier ones are answered, to servers that read them in one call or byte by byte."""

import time
from pathlib import Path

import pytest

from tests.e2e.http.account import check, merged
from tests.e2e.http.calls import LARGE, asked_calls, calls, many_calls
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.client import python_client, wrk
from tests.e2e.http.conftest import Check
from tests.e2e.http.nginx import nginx
from tests.e2e.http.server import python_command, started
from tests.e2e.http.watching import Watcher

pytestmark = pytest.mark.kernel

SMALL = [call for call in calls() if str(LARGE) not in call.target and call.body_bytes < LARGE]
DEPTH = 4
"""Requests at once: their responses are fewer bytes than what is captured of one side's turn."""
SERVERS = ["nginx", "nginx-tls", "streams", "streams-tls"]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("pieces", [(), ("7",)], ids=["whole", "in-pieces"])
def test_several_at_once(
    server: str, pieces: tuple[str, ...], tmp_path: Path, certificates: Certificates, compare: Check
) -> None:
    client = python_client("streams_client", str(DEPTH), *pieces)
    if server.startswith("nginx"):
        with nginx(tmp_path, certificates) as servers:
            compare(servers["tls" if server.endswith("tls") else "plain"], client, SMALL)
    else:
        secrets = certificates if server.endswith("tls") else None
        with started(python_command("servers.streams_server"), tmp_path / "log", secrets) as running:
            compare(running, client, SMALL)


def test_more_at_once_than_is_captured(tmp_path: Path, certificates: Certificates, watcher: Watcher) -> None:
    """What comes after the bytes of a turn that are captured cannot be told; what is told did happen."""
    made = many_calls(1000)
    with nginx(tmp_path, certificates) as servers:
        server = servers["plain"]
        since_ns = time.monotonic_ns()
        said = python_client("streams_client", str(len(made)))(server, made)
        expected = merged(server.account(len(made)), said, ("the server", "the client"))
        watcher.settle()
        told = watcher.observed(server.port, since_ns)
    happened = {one.path: one for one in expected}
    for role in ("server", "client"):
        by_role = [one for one in told if one.role == role]
        assert len({one.path for one in by_role}) == len(by_role)
        check([happened[one.path] for one in by_role], [one.account for one in by_role], ("the programs", "the agent"))
    # nginx reads and answers in portions.
    assert any(one.role == "server" for one in told)


@pytest.mark.parametrize("listener", ["plain", "tls"])
def test_ten_thousand_exchanges(listener: str, tmp_path: Path, certificates: Certificates, compare: Check) -> None:
    with nginx(tmp_path, certificates) as servers:
        compare(servers[listener], python_client("streams_client", "16"), many_calls())


@pytest.mark.parametrize("listener", ["plain", "tls"])
def test_every_size_by_wrk(listener: str, tmp_path: Path, certificates: Certificates, compare: Check) -> None:
    """One after the other: large responses leave no room for what is captured of others in the same turn."""
    with nginx(tmp_path, certificates) as servers:
        compare(servers[listener], wrk(depth=1), asked_calls())


@pytest.mark.parametrize("listener", ["plain", "tls"])
def test_ten_thousand_exchanges_of_wrk(
    listener: str, tmp_path: Path, certificates: Certificates, compare: Check
) -> None:
    with nginx(tmp_path, certificates) as servers:
        compare(servers[listener], wrk(depth=16), many_calls())
