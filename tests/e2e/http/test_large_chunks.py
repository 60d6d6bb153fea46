"""Chunked bodies that are larger than what is captured of them: all are told, their sizes about right."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.e2e.http.account import merged
from tests.e2e.http.calls import SIMPLE, large_chunked_calls
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.client import curl
from tests.e2e.http.nginx import nginx
from tests.e2e.http.server import Server, node_command, python_command, started
from tests.e2e.http.watching import Watcher

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


def bounded(told: int, exact: int | None) -> bool:
    """What is estimated counts the framing of chunks that were not seen, which is less than a hundredth."""
    return exact is not None and exact <= told <= exact + exact // 100 + 100


@pytest.mark.parametrize("server", SERVERS)
def test_their_sizes(server: str, tmp_path: Path, certificates: Certificates, watcher: Watcher) -> None:
    made = large_chunked_calls()
    client = curl("http1.1", files=tmp_path)
    with SERVERS[server](tmp_path, certificates) as running:
        if running.authority:
            watcher.wait_for_tls(running.port, lambda: client(running, [SIMPLE]))
        before, since_ns = running.said(), time.monotonic_ns()
        said = client(running, made)
        expected = {one.path: one for one in merged(running.account(len(made), before), said, ("server", "client"))}
        watcher.settle_until(lambda: len(watcher.observed(running.port, since_ns)) >= 2 * len(made))
        told = watcher.observed(running.port, since_ns)
    assert Counter((one.role, one.path) for one in told) == {
        (role, path): 1 for role in ("server", "client") for path in expected
    }
    for one in told:
        exact = expected[one.path]
        assert (one.method, one.status, one.tls) == (exact.method, exact.status, exact.tls)
        assert bounded(one.response_body_bytes, exact.response_body_bytes)
        assert bounded(one.request_body_bytes, exact.request_body_bytes)
