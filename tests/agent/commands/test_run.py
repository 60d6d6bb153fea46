"""The agent as a program, on the running kernel."""

import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from agent.cli import main
from agent.kernel.loader_options import Options
from agent.kernel.ring import LONGEST_RECORD
from tests.agent.commands.conftest import Workload
from tests.agent.export.collector import Collector
from tests.agent.wire_totals import totals_by_service
from tests.ports import free_ports
from tests.waiting import PATIENCE

pytestmark = pytest.mark.kernel

_RING_BYTES = 1 << 20


@contextmanager
def _agent(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A running agent that has attached and said so."""
    command = [sys.executable, "-m", "agent.cli", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith(f"kernel {os.uname().release}, attach auto: ")
        yield process
    finally:
        process.kill()
        process.communicate()


def _workload_totals(collector: Collector) -> dict[str, dict[str, int]]:
    messages = [message for batch in list(collector.accepted.values()) for message in batch]
    totals = totals_by_service(messages)
    return {name: dict(totals[name]) for name in ("client", "server") if name in totals}


def test_a_run_delivers_exactly_what_the_workload_did(workload: Workload, workload_configuration: Path) -> None:
    collector = Collector()
    with collector.serve() as port:
        arguments = ["run", "--config", str(workload_configuration), "--backend", f"127.0.0.1:{port}"]
        with _agent(*arguments) as agent:
            expected = workload.run(lambda: set(_workload_totals(collector)) == {"client", "server"})
            collector.wait(lambda: _workload_totals(collector) == expected)
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(PATIENCE) == 0
    assert _workload_totals(collector) == expected


def test_the_backend_may_be_away_at_the_start_and_in_between(workload: Workload, workload_configuration: Path) -> None:
    collector = Collector()
    (port,) = free_ports(1)
    with _agent("run", "--config", str(workload_configuration), "--backend", f"127.0.0.1:{port}") as agent:
        workload.begin()
        with collector.serve(port):
            collector.wait(lambda: set(_workload_totals(collector)) == {"client", "server"})
        expected = workload.run(lambda: True)  # ends while the backend is away
        assert _workload_totals(collector) != expected
        with collector.serve(port):
            collector.wait(lambda: _workload_totals(collector) == expected)
            agent.send_signal(signal.SIGINT)
            assert agent.wait(PATIENCE) == 0


def test_an_end_by_itself(workload_configuration: Path) -> None:
    with _agent("run", "--config", str(workload_configuration), "--backend", "127.0.0.1:1", "--for", "100ms") as agent:
        assert agent.wait(PATIENCE) == 0


def test_the_agent_stays_within_sixty_megabytes(workload: Workload, workload_configuration: Path) -> None:
    # Other programs of this machine are watched as well: however busy they are, little of theirs is kept. What is taken
    # at once is bounded by the rings, which are full when the agent has not had a processor for long: a fragment of
    # payload takes up to three times as much when it was taken as in its ring.
    with workload_configuration.open("a") as file:
        file.write("limits: {connections: 1000, queue_logs: 10000, queue_bytes: 1000000}\n")
        file.write(f"kernel: {{ring_bytes: {_RING_BYTES}, payload_bytes: {_RING_BYTES}}}\n")
    collector = Collector()
    with collector.serve() as port:
        arguments = ["run", "--config", str(workload_configuration), "--backend", f"127.0.0.1:{port}"]
        with _agent(*arguments) as agent:
            workload.run(lambda: bool(_workload_totals(collector)))
            # The rings are the kernel's memory, whose pages count for those who have mapped them.
            rings = sum(size for name, size in _resident(agent.pid) if "bpf-map" in name)
            beside = sum(size for name, size in _resident(agent.pid) if "bpf-map" not in name)
            assert 20 * 1024 < beside <= 60 * 1024
            sizes = _RING_BYTES, _RING_BYTES, Options().mapped_bytes
            assert sum(sizes) <= rings * 1024 <= sum(sizes) + len(sizes) * (LONGEST_RECORD + 2 * mmap.PAGESIZE)
            assert not any("libbcc" in name for name, _ in _resident(agent.pid))


def _resident(pid: int) -> list[tuple[str, int]]:
    """(name of the mapping, resident KiB) of a process."""
    found = []
    name = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):
            name = rest[4] if len(rest) > 4 else ""
        elif first == "Rss:":
            found.append((name, int(rest[0])))
    return found


def test_a_recording_of_a_run_gives_exactly_what_the_workload_did(
    workload: Workload, workload_configuration: Path, tmp_path: Path
) -> None:
    file = tmp_path / "run.events"
    with _agent("record", str(file), "--config", str(workload_configuration)) as agent:
        expected = workload.run(lambda: all(name in file.read_bytes() for name in (b'"client"', b'"server"')))
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(PATIENCE) == 0
    collector = Collector()
    with collector.serve() as port:
        arguments = ["replay", str(file), "--config", str(workload_configuration), "--backend", f"127.0.0.1:{port}"]
        assert main(arguments) == 0
    assert _workload_totals(collector) == expected


def test_the_end_says_why_logs_were_not_delivered(workload: Workload, workload_configuration: Path) -> None:
    collector = Collector()
    collector.failure = lambda _: grpc.StatusCode.UNAUTHENTICATED
    with collector.serve() as port:
        arguments = ["run", "--config", str(workload_configuration), "--backend", f"127.0.0.1:{port}"]
        with _agent(*arguments) as agent:
            workload.run(lambda: bool(collector.attempts))
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(PATIENCE) == 0
            assert agent.stderr is not None
            counts, why = agent.stderr.read().splitlines()[-2:]
    assert " logs captured, 0 delivered, lost: " in counts
    assert why.startswith(
        f"not delivered: the backend at 127.0.0.1:{port} does not take this agent's token or certificate"
        " (UNAUTHENTICATED: as the test wants): set "
    )


def test_a_recording_that_fills_the_disk_is_told(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", disk], check=True)
    try:
        # A process of its own: it gives away what its user may do.
        command = [sys.executable, "-m", "agent.cli", "record", str(disk / "events")]
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
    finally:
        subprocess.run(["umount", disk], check=True)
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last == f"pyrover-agent: {disk / 'events'} cannot be written: No space left on device"
