"""Nothing disappears: what a known flood did = what was delivered + what was lost, by cause, on the real path.

Everything is real: the kernel, a ring that is too small, the agent's pipeline and sender, gRPC, the backend and its
store. Only the loop is the test's, so that it decides when to look at the ring.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.config import AccessLog, Configuration, Flush, Limits
from agent.config_durations import Duration
from agent.discovery.procfs import ProcHost
from agent.export.accounting import Ledger, Loss
from agent.export.sender import Sender, SenderLimits
from agent.export.transport import GrpcTransport
from agent.kernel.source import KernelSource
from agent.pipeline import Pipeline
from tests.agent.kernel.watching import Watch, open_source
from tests.e2e.programs import Backend, agent, backend
from tests.ports import free_ports
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.kernel

FLOOD = 20_011
FLOOD_EVENTS = FLOOD + 4  # and one connect, two closes, one end of a process
FLOOD_LOGS = FLOOD + 2  # and one connect, one close: the other socket had no connection
PAGE = os.sysconf("SC_PAGE_SIZE")


class Capture:
    """The agent from the ring on, step by step."""

    def __init__(self, source: KernelSource, address: str, limits: Limits) -> None:
        self.source = source
        self.ledger = Ledger()
        configuration = Configuration(
            access_log=AccessLog(flush=Flush(period=Duration(3600.0), max_count=1000)), limits=limits
        )
        self.transport = GrpcTransport(address, None, "")
        self.sender = Sender(self.transport, self.ledger, SenderLimits(logs=limits.queue_logs, size=limits.queue_bytes))
        self.pipeline = Pipeline(
            configuration, "node", os.getpid(), host=ProcHost("/proc"), ledger=self.ledger, deliver=self.sender.submit
        )
        self.sender.start()
        self.pipeline.start(time.monotonic_ns())

    def step(self) -> None:
        self.pipeline.step(self.source.take(), time.monotonic_ns())

    def finish(self) -> None:
        self.pipeline.flush(time.monotonic_ns())
        self.sender.stop(PATIENCE)
        self.transport.close()


@contextmanager
def capture(address: str, limits: Limits, ring_bytes: int) -> Iterator[tuple[Watch, Capture]]:
    with open_source(only_processes=(), ring_bytes=ring_bytes) as source:
        yield Watch(source), Capture(source, address, limits)


def received(store: Backend) -> int:
    """Logs, once all of them are stored."""
    store.until("all logs are stored", lambda: (now := logs_of(store))["received"] == now["stored"])
    status = logs_of(store)
    assert status["dropped"] == {}
    assert status["refused"] == {}
    return int(status["received"])


def logs_of(store: Backend) -> dict[str, Any]:
    logs: dict[str, Any] = store.get("/api/status")["logs"]
    return logs


def until_stored(store: Backend, logs: int) -> None:
    """Wait for logs: an agent that is stopped has five seconds for what is left, which are little on a busy machine."""
    store.until(f"{logs} logs are stored", lambda: logs_of(store)["stored"] >= logs)


def test_a_ring_that_overruns(store: Backend) -> None:
    with capture(store.grpc, Limits(), ring_bytes=PAGE) as (watch, path):
        with watch.started("flood", count=FLOOD) as flood:
            # Or the ring might be emptied in time, every time.
            store.until("the ring was full", lambda: watch.source.losses()["ring_full"] > 0)
            while flood.poll() is None:
                path.step()
        path.step()
        path.finish()
        losses = dict(watch.source.losses())
        ring_full = losses.pop("ring_full")
        assert set(losses.values()) == {0}
    balance = path.ledger.balance()
    assert ring_full > 0  # or the test shows nothing
    # What happened = what was taken + what the ring had no room for.
    assert path.pipeline.events + ring_full == FLOOD_EVENTS
    # Every event that was taken is a log, except for one close and the end of the process.
    assert 0 <= path.pipeline.events - balance.captured <= FLOOD_EVENTS - FLOOD_LOGS
    # What was captured was delivered, and has arrived.
    assert (balance.lost, path.pipeline.pending, path.sender.waiting) == ({}, 0, 0)
    assert received(store) == balance.delivered == balance.captured


def test_a_backend_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    """Nothing is lost while what waits has room, and the agent is not restarted."""
    data, log = tmp_path / "data", tmp_path / "backend.log"
    (port,) = free_ports(1)
    with backend(data, log, port) as first, capture(first.grpc, Limits(), ring_bytes=8 << 20) as (watch, path):
        with watch.started("flood", count=1009) as flood:
            flood.wait(PATIENCE)
        path.step()
        path.pipeline.flush(time.monotonic_ns())
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(PATIENCE) == 0
        with watch.started("flood", count=2003) as flood:
            flood.wait(PATIENCE)
        path.step()
        path.pipeline.flush(time.monotonic_ns())
        with backend(data, log, grpc_port=port) as second:
            path.finish()
            balance = path.ledger.balance()
            assert (balance.lost, path.pipeline.pending, path.sender.waiting) == ({}, 0, 0)
            services = second.get("/api/services", start="-15m")["services"]
    assert balance.delivered == balance.captured == 1009 + 2003 + 2 * (FLOOD_LOGS - FLOOD)
    assert sum(service["traffic"]["totals"]["writes"] for service in services) == 1009 + 2003
    assert sum(service["traffic"]["totals"]["connects"] for service in services) == 2


def test_a_queue_that_is_full() -> None:
    """With no backend at all, the oldest batches make room, and each lost log is counted."""
    with capture("127.0.0.1:1", Limits(queue_logs=5000), ring_bytes=8 << 20) as (watch, path):
        with watch.started("flood", count=FLOOD) as flood:
            while flood.poll() is None:
                path.step()
        path.step()
        path.pipeline.flush(time.monotonic_ns())
        balance = path.ledger.balance()
        assert balance.captured == FLOOD_LOGS
        assert balance.delivered == 0
        assert balance.lost["queue_full"] >= balance.captured - 5000
        waiting = path.pipeline.pending + path.sender.waiting
        assert balance.captured == balance.delivered + sum(balance.lost.values()) + waiting
        assert waiting <= 5000
        path.sender.stop(0)
        path.transport.close()
    balance = path.ledger.balance()
    assert sum(balance.lost.values()) == balance.captured
    assert set(balance.lost) == {"queue_full", "shutdown"}


def test_the_agent_says_what_it_lost(store: Backend, tmp_path: Path) -> None:
    """The same sum from the program's own final figures, on a machine where everything is watched."""
    report = tmp_path / "figures.json"
    with (
        open_source(only_processes=()) as source,
        agent(
            "--backend", store.grpc, "--ring-bytes", str(PAGE), "--flush-period", "200ms", "--figures", report
        ) as watching,
    ):
        # The ring is full at least while the agent stands still, however quick it is.
        watching.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, watching.pid, os.WSTOPPED | os.WNOWAIT)
        with Watch(source).started("flood", count=1009) as flood:
            flood.wait(PATIENCE)
        watching.send_signal(signal.SIGCONT)
        with Watch(source).started("flood", count=FLOOD) as flood:
            flood.wait(PATIENCE)
        until_stored(store, 1)
        watching.send_signal(signal.SIGTERM)
        assert watching.wait(PATIENCE) == 0
    figures = json.loads(report.read_text())
    lost = figures["losses"]
    assert figures["events"] + lost["ring_full"] >= FLOOD_EVENTS + 1009
    assert lost["ring_full"] > 0
    # What else the kernel's side lost is of other processes of this machine. What it has to tell of them at its end may
    # be more than a busy machine delivers in five seconds.
    given_up = {cause: count for cause, count in lost.items() if count and cause in set(Loss)}
    assert set(given_up) <= {"shutdown"}
    assert figures["captured"] == figures["delivered"] + sum(given_up.values())
    assert figures["delivered"] <= received(store) <= figures["captured"]
    assert figures["waiting"] == 0


def test_what_a_killed_agent_left_is_delivered_by_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a spool the sum holds over both of them: what the first had not put into it is lost, and counted."""
    spool, report = tmp_path / "spool", tmp_path / "figures.json"
    monkeypatch.setenv("ROVER_SPOOL_FOLDER", str(spool))
    with open_source(only_processes=()) as source:
        with agent("--backend", "127.0.0.1:1", "--flush-period", "1s") as first:
            with Watch(source).started("flood", count=1009) as flood:
                flood.wait(PATIENCE)
            until(lambda: spooled(spool) >= 1009, lambda: f"1,009 logs in the spool, where {spooled(spool)} are")
            first.kill()
            first.wait(PATIENCE)
        with backend(tmp_path / "data", tmp_path / "backend.log") as store:
            with agent("--backend", store.grpc, "--figures", report) as second:
                until_stored(store, 1009)
                second.send_signal(signal.SIGTERM)
                assert second.wait(PATIENCE) == 0
            figures = json.loads(report.read_text())
            assert figures["delivered"] + figures["waiting"] >= 1009
            lost = {cause: count for cause, count in figures["losses"].items() if cause in set(Loss)}
            assert set(lost) <= {"killed"}
            assert figures["captured"] == figures["delivered"] + figures["waiting"] + sum(lost.values())
            # What a busy machine does not deliver in the five seconds of its end waits in the spool.
            assert spooled(spool) == figures["waiting"]
            assert figures["delivered"] <= received(store) <= figures["delivered"] + figures["waiting"]


def spooled(folder: Path) -> int:
    """Logs in a spool, as the names of its files say."""
    return sum(int(path.name.split("-")[1]) for path in folder.glob("*.batch"))
