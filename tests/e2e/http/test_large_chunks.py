"""Chunked bodies that are larger than what is captured of them: their sizes are the sums of their chunks."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.e2e.http.calls import large_chunked_calls
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.client import curl
from tests.e2e.http.conftest import Check
from tests.e2e.http.nginx import nginx
from tests.e2e.http.server import Server, node_command, python_command, started

pytestmark = pytest.mark.kernel

Start = Callable[[Path, Certificates], AbstractContextManager[Server]]


@contextmanager
def nginx_listener(name: str, folder: Path, certificates: Certificates) -> Iterator[Server]:
    with nginx(folder, certificates) as servers:
        yield servers[name]


SERVERS: dict[str, Start] = {
    "nginx": lambda folder, certificates: nginx_listener("plain", folder, certificates),
    "nginx-tls": lambda folder, certificates: nginx_listener("tls", folder, certificates),
    "threading": lambda folder, _: started(python_command("servers.threading_server"), folder / "log", None),
    "streams": lambda folder, _: started(python_command("servers.streams_server"), folder / "log", None),
    "streams-tls": lambda folder, certificates: started(
        python_command("servers.streams_server"), folder / "log", certificates
    ),
    "node": lambda folder, _: started(node_command("servers/server.mjs", "http"), folder / "log", None),
}


@pytest.mark.parametrize("server", SERVERS)
def test_their_sizes(server: str, tmp_path: Path, certificates: Certificates, compare: Check) -> None:
    with SERVERS[server](tmp_path, certificates) as running:
        compare(running, curl("http1.1", files=tmp_path), large_chunked_calls())
