"""Requests that are sent before earlier ones are answered, to servers that read them in one call or byte by byte."""

import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.http.account import check, merged
from tests.e2e.http.calls import LARGE, Call, asked_calls, calls, many_calls
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.client import python_client, run, wrk
from tests.e2e.http.conftest import Check
from tests.e2e.http.nginx import nginx
from tests.e2e.http.server import Server, python_command, started
from tests.e2e.http.tools import tool
from tests.e2e.http.watching import Watcher

pytestmark = pytest.mark.kernel

SMALL = [call for call in calls() if str(LARGE) not in call.target and call.body_bytes < LARGE]
DEPTH = 4
"""Requests at once, of which some have bodies: their responses are fewer bytes than what is captured of any turn."""
THOUSANDS = 2_000
"""Requests at once: they and their responses are fewer bytes than what is captured of a turn of a pipeline."""
IN_ONE_WRITE = 500
"""Requests that a new connection's buffer has room for."""
LARGEST = 20_480
MOST_OF_TURN = 1 << 20
"""PIPELINE_BYTES of bpf/payload_plan.c."""


@pytest.fixture(params=["nginx", "nginx-tls", "streams", "streams-tls"])
def server(request: pytest.FixtureRequest, tmp_path: Path, certificates: Certificates) -> Iterator[Server]:
    """Servers that read many requests in one call, and one that reads byte by byte."""
    name, _, secure = request.param.partition("-")
    if name == "nginx":
        with nginx(tmp_path, certificates) as servers:
            yield servers["tls" if secure else "plain"]
    else:
        command = python_command("servers.streams_server")
        with started(command, tmp_path / "log", certificates if secure else None) as running:
            yield running


@pytest.mark.parametrize("pieces", [(), ("7",)], ids=["whole", "in-pieces"])
def test_several_at_once(pieces: tuple[str, ...], server: Server, compare: Check) -> None:
    compare(server, python_client("streams_client", str(DEPTH), *pieces), SMALL)


def calls_of(count: int, sizes: Sequence[int], first: int = 0) -> list[Call]:
    """Requests without bodies, whose responses have bodies of these sizes."""
    turns = itertools.cycle(sizes)
    return [
        Call("HEAD" if number % 7 == 0 else "GET", f"/bytes/{next(turns)}/{number}")
        for number in range(first, first + count)
    ]


def test_thousands_at_once(server: Server, compare: Check) -> None:
    """All of them are told, as they are written at once and read in a few calls."""
    compare(server, python_client("streams_client", str(THOUSANDS)), calls_of(2 * THOUSANDS, (0, 1)))


def test_more_at_once_than_is_captured(tmp_path: Path, certificates: Certificates, watcher: Watcher) -> None:
    """What comes after the bytes of a turn that are captured cannot be told; the next turn is told whole."""
    turns = [
        calls_of(IN_ONE_WRITE, sizes, number * IN_ONE_WRITE)
        for number, sizes in enumerate([(0, 1), (LARGEST,), (1, 0), (0, 1)])
    ]
    made = [call for turn in turns for call in turn]
    with nginx(tmp_path, certificates) as servers:
        server = servers["plain"]
        since_ns = time.monotonic_ns()
        said = python_client("streams_client", str(IN_ONE_WRITE))(server, made)
        expected = merged(server.account(len(made)), said, ("the server", "the client"))

        def at_server() -> int:
            return sum(one.role == "server" for one in watcher.observed(server.port, since_ns))

        watcher.settle_until(lambda: at_server() >= len(made))
        told = watcher.observed(server.port, since_ns)
    # nginx reads and answers in portions.
    check(expected, [one.account for one in told if one.role == "server"], ("the programs", "the agent, at the server"))
    by_client = [one for one in told if one.role == "client"]
    happened = {one.path: one for one in expected}
    check([happened[one.path] for one in by_client], [one.account for one in by_client], ("the programs", "the agent"))
    numbers = sorted(int(one.path.rpartition("/")[2]) for one in by_client)
    assert len(set(numbers)) == len(numbers)
    begin, end = IN_ONE_WRITE, 2 * IN_ONE_WRITE
    beyond = [number for number in numbers if begin <= number < end]
    assert beyond == list(range(begin, begin + len(beyond)))
    assert MOST_OF_TURN // LARGEST // 2 < len(beyond) < IN_ONE_WRITE
    assert [number for number in numbers if not begin <= number < end] == [*range(begin), *range(end, len(made))]


@pytest.mark.parametrize("listener", ["plain", "tls"])
def test_ten_thousand_exchanges(listener: str, tmp_path: Path, certificates: Certificates, compare: Check) -> None:
    with nginx(tmp_path, certificates) as servers:
        compare(servers[listener], python_client("streams_client", "16"), many_calls())


@pytest.mark.parametrize("listener", ["plain", "tls"])
def test_every_size_by_wrk(listener: str, tmp_path: Path, certificates: Certificates, compare: Check) -> None:
    """One after the other: large responses leave no room for what is captured of others in the same turn."""
    with nginx(tmp_path, certificates) as servers:
        compare(servers[listener], wrk(depth=1), asked_calls())


@pytest.mark.parametrize("depth", [16, 500])
@pytest.mark.parametrize("listener", ["plain", "tls"])
def test_ten_thousand_exchanges_of_wrk(
    listener: str, depth: int, tmp_path: Path, certificates: Certificates, compare: Check
) -> None:
    with nginx(tmp_path, certificates) as servers:
        compare(servers[listener], wrk(depth), many_calls())


@pytest.mark.parametrize("depth", [10, 100])
def test_ten_thousand_exchanges_of_h2load(
    depth: int, tmp_path: Path, certificates: Certificates, watcher: Watcher
) -> None:
    """It sends more as soon as some are answered, so that there are always as many under way."""
    made = many_calls()
    targets = tmp_path / "targets"
    targets.write_text("".join(f"{call.target}\n" for call in made))
    with nginx(tmp_path / "nginx", certificates) as servers:
        server = servers["plain"]
        since_ns = time.monotonic_ns()
        counts = ["-n", str(len(made)), "-c", "1", "-m", str(depth)]
        said = run([tool("h2load"), "--h1", *counts, "-i", targets, "-B", server.base])
        account = server.account(len(made))
        assert f"{len(made)} succeeded, 0 failed, 0 errored, 0 timeout" in said
        assert {one.path for one in account} == {call.target for call in made}
        watcher.check(server.port, since_ns, account)
