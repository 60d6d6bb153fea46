"""What the workloads share for one run."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import reason_to_skip
from tests.e2e.http.account import Expected, merged
from tests.e2e.http.calls import SIMPLE, Call
from tests.e2e.http.certificates import Certificates, make_certificates
from tests.e2e.http.client import Client
from tests.e2e.http.proxies import Workload
from tests.e2e.http.server import Server
from tests.e2e.http.tools import build_go, build_go_grpc
from tests.e2e.http.watching import ROLES, Watcher, watching

Check = Callable[[Server, Client, Sequence[Call]], list[Expected]]
CheckLegs = Callable[[Workload], None]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session", params=[False, True], ids=["symbols", "stripped"])
def go_program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_go(tmp_path_factory.mktemp("go"), stripped=request.param)


@pytest.fixture(scope="session")
def go_grpc_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_go_grpc(tmp_path_factory.mktemp("go-grpc"))


@pytest.fixture(scope="session")
def watcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watcher]:
    if reason := reason_to_skip():
        pytest.skip(reason)
    with watching(tmp_path_factory.mktemp("agent")) as one:
        yield one


@pytest.fixture
def compare(watcher: Watcher) -> Check:
    """Makes calls, compares the accounts of both programs with each other, then with what the agent tells."""

    def check(server: Server, client: Client, made: Sequence[Call]) -> list[Expected]:
        if server.authority:
            watcher.wait_for_tls(server.port, lambda: client(server, [SIMPLE]))
        before = server.said()
        since_ns = time.monotonic_ns()
        said = client(server, made)
        expected = merged(server.account(len(made), before), said, ("the server", "the client"))
        assert len(expected) == len(made)
        watcher.check(server.port, since_ns, expected)
        return expected

    return check


@pytest.fixture
def check_legs(tmp_path: Path, certificates: Certificates, watcher: Watcher) -> CheckLegs:
    """Makes calls through a proxy, and compares what all programs say of them with what the agent tells of each end."""

    def wait(server: Server, exchange: Callable[[], object]) -> None:
        watcher.wait_for_tls(server.port, exchange)

    def check(workload: Workload) -> None:
        with workload(tmp_path, certificates, wait) as legs:
            for leg in legs:
                for role in ROLES:
                    watcher.check(leg.port, leg.since_ns, leg.at(role), roles=[role])

    return check
