"""Reports over real gRPC, to a server that the gRPC library serves."""

import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc
import pytest

from agent.reporting import reporter
from agent.reporting.beats import KEEP_ALIVE, REPORT, Beats, Present
from agent.reporting.reporter import Reporter
from common.grpc.failover import FailoverClient
from protos.ebpf import process_pb2 as wire
from tests.agent.reporting.test_beats import one
from tests.waiting import PATIENCE

SECOND = 1_000_000_000


class Backend:
    """Keeps what it is told, and fails or dawdles as a test says."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[str]]] = []
        self.metadata: list[dict[str, str]] = []
        self.failure: grpc.StatusCode | None = None
        self.holds: threading.Event | None = None
        self._changed = threading.Condition()

    def until(self, calls: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.told) >= calls, PATIENCE), self.told

    @contextmanager
    def serving(self) -> Iterator[str]:
        server = grpc.server(futures.ThreadPoolExecutor(2))
        service, handlers = REPORT.split("/")[1], {}
        for path in (REPORT, KEEP_ALIVE):
            method = path.rpartition("/")[2]
            handlers[method] = grpc.unary_unary_rpc_method_handler(self._taking(method))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            if self.holds is not None:
                self.holds.set()
            server.stop(0).wait()

    def _taking(self, method: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - a handler of the library
        def take(message: bytes, context: grpc.ServicerContext) -> bytes:
            if method == "reportProcesses":
                names = [
                    each.k8sProcess.entity.serviceName
                    for each in wire.EBPFProcessReportList.FromString(message).processes
                ]
            else:
                names = [
                    each.entityMetadata.serviceName
                    for each in wire.EBPFProcessPingPkgList.FromString(message).processes
                ]
            with self._changed:
                self.told.append((method, names))
                self.metadata.append({key: str(value) for key, value in context.invocation_metadata()})
                self._changed.notify_all()
            if self.holds is not None:
                self.holds.wait(PATIENCE)
            if self.failure is not None:
                context.abort(self.failure, "as the test wants")
            return b""

        return take


@contextmanager
def reporting(address: str, period: float = 20.0) -> Iterator[Reporter]:
    made = Reporter(FailoverClient(address, "tests"), Beats("run", 10), period, (("authentication", "secret"),))
    with pytest.MonkeyPatch.context() as patient:
        patient.setattr(reporter, "CALL_SECONDS", PATIENCE)
        made.start()
        try:
            yield made
        finally:
            made.stop()


def told(*pids: int) -> list[Present]:
    return [one(pid, service=f"service-{pid}") for pid in pids]


def tick_until(reporter: Reporter, backend: Backend, now: int, processes: list[Present], calls: int) -> None:
    """Tick at one moment until the last beat is over and this one was made."""
    asked = threading.Event()

    def ask() -> list[Present]:
        asked.set()
        return processes

    while not asked.wait(0.001):
        reporter.tick(now, ask)
    backend.until(calls)


def test_reports_and_keep_alives_arrive_with_the_token() -> None:
    backend = Backend()
    with backend.serving() as address, reporting(address) as reporter:
        tick_until(reporter, backend, SECOND, told(1), 1)
        tick_until(reporter, backend, 21 * SECOND, told(1, 2), 3)
    assert backend.told == [
        ("reportProcesses", ["service-1"]),
        ("reportProcesses", ["service-2"]),
        ("keepAlive", ["service-1"]),
    ]
    assert {each["authentication"] for each in backend.metadata} == {"secret"}
    assert reporter.losses() == {"process reports not answered": 0}


def test_a_beat_comes_no_sooner_than_it_is_due() -> None:
    backend = Backend()
    with backend.serving() as address, reporting(address) as reporter:
        tick_until(reporter, backend, SECOND, told(1), 1)
        reporter.tick(21 * SECOND - 1, lambda: pytest.fail("asked too soon"))


def test_a_backend_that_refuses_is_told_again_and_it_is_counted() -> None:
    backend = Backend()
    backend.failure = grpc.StatusCode.UNAVAILABLE
    with backend.serving() as address, reporting(address) as reporter:
        tick_until(reporter, backend, SECOND, told(1), 1)
        tick_until(reporter, backend, 21 * SECOND, told(1), 2)
        # What the second call came to is noted after it arrived, so a third beat shows that it is.
        tick_until(reporter, backend, 41 * SECOND, told(1), 3)
        assert reporter.losses()["process reports not answered"] >= 2
    assert backend.told == [("reportProcesses", ["service-1"])] * 3


def test_a_backend_that_dawdles_holds_nobody_up_and_the_end_does_not_wait_for_it() -> None:
    backend = Backend()
    backend.holds = threading.Event()
    with backend.serving() as address, reporting(address) as reporter:
        tick_until(reporter, backend, SECOND, told(1), 1)
        reporter.tick(100 * SECOND, lambda: pytest.fail("the last beat is not over"))
    assert len(backend.told) == 1


def test_it_can_end_before_it_began() -> None:
    Reporter(FailoverClient("127.0.0.1:1", "tests"), Beats("run", 10), 20.0).stop()


def test_another_backend_is_told_at_once_what_the_first_does_not_take() -> None:
    first, second = Backend(), Backend()
    first.failure = grpc.StatusCode.UNAVAILABLE
    with first.serving() as one_address, second.serving() as other, reporting(f"{one_address},{other}") as reporter:
        tick_until(reporter, second, SECOND, told(1), 1)
        tick_until(reporter, second, 21 * SECOND, told(1), 2)
        first.failure = None  # it is back; nobody goes there for that
        tick_until(reporter, second, 41 * SECOND, told(1), 3)
        assert reporter.losses() == {"process reports not answered": 1}
    assert first.told == [("reportProcesses", ["service-1"])]
    assert second.told == [
        ("reportProcesses", ["service-1"]),
        ("keepAlive", ["service-1"]),
        ("keepAlive", ["service-1"]),
    ]


def test_each_backend_is_asked_once_a_beat() -> None:
    first, second = Backend(), Backend()
    first.failure = second.failure = grpc.StatusCode.UNAVAILABLE
    with first.serving() as one_address, second.serving() as other, reporting(f"{one_address},{other}") as reporter:
        tick_until(reporter, second, SECOND, told(1), 1)
        tick_until(reporter, second, 21 * SECOND, told(1), 2)
        # The third beat begins when the second is over.
        tick_until(reporter, first, 41 * SECOND, told(1), 3)
        assert reporter.losses()["process reports not answered"] >= 4
    assert first.told == [("reportProcesses", ["service-1"])] * 3
