"""The real programs: agents and backends killed at random moments, full disks and cut networks, by a known workload.

`PYROVER_DELIVERY_ROUNDS=100 pytest tests/delivery/test_kills.py` kills for longer.
"""

import json
import os
import random
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from agent.export.assembler import Batch
from agent.export.transport import GrpcTransport, Outcome
from tests.backend.storage.clickhouse_servers import PROGRAM, running_servers
from tests.delivery.streams import batch_of
from tests.e2e.programs import Backend, backend, program, read_line
from tests.ports import free_ports
from tests.waiting import PATIENCE

ROUNDS = int(os.environ.get("PYROVER_DELIVERY_ROUNDS", "3"))
"""Deaths of the backend in the test with random ones; of agents there are twice as many."""
SEED = int(os.environ.get("PYROVER_DELIVERY_SEED", "1"))
LOGS = 40
"""Of a batch."""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount and to make networks")


class Agent:
    """A running sending_agent.py."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process

    def line(self) -> str:
        assert self.process.stdout is not None
        return read_line(self.process.stdout.fileno(), "the agent")

    def kill_after(self, batches: int) -> int:
        """Kill it when it has begun so many batches, or all that it is to make; how many it has begun by then."""
        begun = 0
        while begun < batches and self.line().startswith("made"):
            begun += 1
        self.process.kill()
        assert self.process.stdout is not None
        rest = self.process.stdout.read().decode()
        return begun + rest.count("made") - rest.count("all made")

    def all_made(self) -> int:
        """Wait until it has made all; how many."""
        made = 0
        while self.line().startswith("made"):
            made += 1
        return made

    def finish(self) -> dict[str, Any]:
        """Let it deliver what is left; its ledger."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        assert self.process.stdout is not None
        # Its own patience is the longer one: what it says then is better than that it said nothing.
        while not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            assert self.process.poll() is None
        found: dict[str, Any] = json.loads(self.line())
        assert self.process.wait(PATIENCE) == 0
        return found


@contextmanager
def agent(
    address: str, spool: Path, name: str, batches: int, *more: int, prefix: Sequence[str] = ()
) -> Iterator[Agent]:
    arguments = [address, str(spool), name, str(batches), str(LOGS), *map(str, more)]
    command = [*prefix, sys.executable, "-m", "tests.delivery.sending_agent", *arguments]
    with program(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Agent(process)


def stored(store: Backend) -> dict[str, int]:
    """Writes by service."""
    services = store.get("/api/services", start="-60m")["services"]
    return {service["name"]: service["traffic"]["totals"]["writes"] for service in services}


def port_of(store: Backend) -> int:
    return int(store.grpc.rpartition(":")[2])


class Forgetful:
    """Takes a connection to a backend, and keeps to itself what that answers: frames of HEADERS and DATA (RFC 9113)."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.forgotten = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            near, _ = self._listener.accept()
            with near, socket.create_connection(("127.0.0.1", self._port)) as far:
                threading.Thread(target=self._answer, args=(far, near), daemon=True).start()
                while data := near.recv(1 << 16):
                    far.sendall(data)

    def _answer(self, far: socket.socket, near: socket.socket) -> None:
        with suppress(OSError), far.makefile("rb") as frames:
            while len(head := frames.read(9)) == 9:
                body = frames.read(int.from_bytes(head[:3], "big"))
                if head[3] in {0x0, 0x1}:
                    self.forgotten.set()
                else:
                    near.sendall(head + body)


@pytest.fixture(params=["duckdb", "journal", "clickhouse"])
def store_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Which store backends have, as their environment says."""
    kind: str = request.param
    with ExitStack() as stack:
        if kind == "journal":
            monkeypatch.setenv("PYROVER_BACKEND_LIMITS_JOURNAL_BYTES", str(1 << 26))
            monkeypatch.setenv("PYROVER_BACKEND_TIMES_JOURNAL_AFTER_SECONDS", "0.000001")
        if kind == "clickhouse":
            if PROGRAM is None:
                pytest.skip("clickhouse-server is not installed")
            (server,) = stack.enter_context(running_servers(1))
            monkeypatch.setenv("SW_STORAGE", "clickhouse")
            monkeypatch.setenv("PYROVER_BACKEND_STORE_CLICKHOUSE_PORT", str(server.port))
            monkeypatch.setenv("PYROVER_BACKEND_STORE_CLICKHOUSE_DATABASE", "kills")
        yield kind


def lose_answer(port: int, batch: Batch) -> None:
    """Send a batch, and end when it has been answered and nobody has heard it."""
    forgetful = Forgetful(port)
    transport = GrpcTransport(forgetful.address)
    outcomes: list[Outcome] = []
    sending = threading.Thread(target=lambda: outcomes.append(transport.send(batch, PATIENCE).outcome))
    sending.start()
    assert forgetful.forgotten.wait(PATIENCE)
    transport.cancel()
    sending.join(PATIENCE)
    assert outcomes == [Outcome.RETRY]
    transport.close()
    forgetful.close()


def test_a_batch_whose_answer_was_lost_with_the_backend_counts_once(store_of: str, tmp_path: Path) -> None:
    batches = [batch_of(f"{store_of}-{number}", 7 + number) for number in range(3)]
    with backend(tmp_path / "data", tmp_path / "log") as first:
        for batch in batches:
            lose_answer(port_of(first), batch)
        first.process.kill()
        first.process.wait(PATIENCE)
    with backend(tmp_path / "data", tmp_path / "log") as second:
        transport = GrpcTransport(second.grpc)
        for batch in batches * 2:
            assert transport.send(batch, PATIENCE).outcome is Outcome.DELIVERED
        transport.close()
        wanted = {f"{store_of}-{number}": 7 + number for number in range(3)}
        assert {name: count for name, count in stored(second).items() if name in wanted} == wanted


def test_whoever_is_killed_whenever_nothing_is_missing_and_nothing_counts_twice(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    spool, data, log = tmp_path / "spool", tmp_path / "data", tmp_path / "log"
    begun: dict[str, int] = {}
    (port,) = free_ports(1)
    for death in range(ROUNDS):
        with backend(data, log, port) as store:
            for turn in range(2):
                name = f"killed-{death}-{turn}"
                with agent(store.grpc, spool, name, 40) as sending:
                    if turn:
                        # The backend dies in the middle of what this agent sends, which goes on without it.
                        begun[name] = 0
                        for _ in range(chance.randint(1, 20)):
                            begun[name] += sending.line().startswith("made")
                        store.process.kill()
                        begun[name] += sending.kill_after(chance.randint(1, 20))
                    else:
                        begun[name] = sending.kill_after(chance.randint(1, 40))
    with backend(data, log, port) as store, agent(store.grpc, spool, "last", 10) as sending:
        begun["last"] = sending.all_made()
        ledger = sending.finish()
        found = stored(store)
    captured, delivered, lost = ledger["captured"], ledger["delivered"], ledger["lost"]
    assert isinstance(captured, int)
    assert isinstance(delivered, int)
    assert isinstance(lost, dict)
    assert ledger["waiting"] == 0
    assert set(lost) <= {"killed"}, f"seed {SEED}"
    assert captured == delivered + sum(lost.values()), f"seed {SEED}"
    # Each agent had begun at most one batch that was not captured yet when it was killed.
    assert 0 <= sum(begun.values()) * LOGS - captured <= len(begun) * LOGS
    assert {count for name, count in found.items() if name.startswith(("killed-", "last-"))} == {LOGS}, f"seed {SEED}"
    assert sum(found.values()) == delivered, f"seed {SEED}"


@as_root
def test_a_disk_that_is_full_and_a_backend_that_is_long_away(tmp_path: Path) -> None:
    """What the spool does not take waits in memory; what memory does not take is lost, and all is counted."""
    spool = tmp_path / "spool"
    spool.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", spool], check=True)
    try:
        with agent("127.0.0.1:1", spool, "full", 60) as sending:
            assert sending.all_made() == 60
            sending.kill_after(0)
        with backend(tmp_path / "data", tmp_path / "log") as store, agent(store.grpc, spool, "after", 5) as sending:
            sending.all_made()
            ledger = sending.finish()
            found = stored(store)
    finally:
        subprocess.run(["umount", spool], check=True)
    lost = ledger["lost"]
    assert isinstance(lost, dict)
    assert set(lost) == {"queue_full", "killed"}
    assert lost["killed"] == 200  # what may wait in memory
    assert lost["queue_full"] > 0
    assert ledger["captured"] == 65 * LOGS
    assert ledger["captured"] == ledger["delivered"] + sum(lost.values())
    assert set(found.values()) == {LOGS}
    assert sum(found.values()) == ledger["delivered"]


def test_a_backend_that_is_away_for_longer_than_the_spool_lasts(tmp_path: Path) -> None:
    size = 40 * len(b"".join(batch_of("away-00", LOGS).messages))
    with agent("127.0.0.1:1", tmp_path / "spool", "away", 90, size) as sending:
        assert sending.all_made() == 90
        sending.kill_after(0)
    with (
        backend(tmp_path / "data", tmp_path / "log") as store,
        agent(store.grpc, tmp_path / "spool", "after", 1, size) as sending,
    ):
        sending.all_made()
        ledger = sending.finish()
        found = stored(store)
    lost = ledger["lost"]
    assert isinstance(lost, dict)
    assert set(lost) == {"spool_full"}
    assert ledger["captured"] == 91 * LOGS == ledger["delivered"] + lost["spool_full"]
    assert found.pop("after-0") == LOGS
    assert set(found.values()) == {LOGS}
    kept = 90 - lost["spool_full"] // LOGS
    assert len(found) == kept
    # The oldest went first, but for one under way in each of the agents.
    assert {f"away-{number}" for number in range(90 - kept + 2, 90)} <= set(found)


@as_root
def test_a_network_that_is_cut_in_the_middle(tmp_path: Path) -> None:
    """The agent is in a network of its own, whose packages the kernel drops for a while, in either direction."""
    name = f"delivery-{os.getpid()}"
    inside = ["ip", "netns", "exec", name]
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for command in ("link set lo up", "addr add 127.0.0.2/8 dev lo"):
            subprocess.run([*inside, "ip", *command.split()], check=True)
        with (
            backend_in(inside, tmp_path) as store,
            agent(store.grpc, tmp_path / "spool", "cut", 80, prefix=inside) as sending,
        ):
            for _ in range(20):
                assert sending.line().startswith("made")
            rules = "add table inet cut; add chain inet cut output { type filter hook output priority 0; }"
            for direction in ("dport", "sport"):
                cut = f"{rules}; add rule inet cut output tcp {direction} {port_of(store)} drop"
                subprocess.run([*inside, "nft", cut], check=True)
                for _ in range(20):
                    assert sending.line().startswith("made")
                subprocess.run([*inside, "nft", "delete table inet cut"], check=True)
            sending.all_made()
            ledger = sending.finish()
            asking = [*inside, sys.executable, "-c", ASK, f"{store.http}/api/services?start=-60m"]
            answer = json.loads(subprocess.run(asking, check=True, capture_output=True).stdout)
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
    found = {service["name"]: service["traffic"]["totals"]["writes"] for service in answer["services"]}
    assert ledger["captured"] == ledger["delivered"] == 80 * LOGS
    assert ledger["lost"] == {}
    assert found == {f"cut-{number}": LOGS for number in range(80)}


ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=60).read().decode())"


@contextmanager
def backend_in(prefix: Sequence[str], folder: Path) -> Iterator[Backend]:
    """A backend in another network."""
    ready, announce = os.pipe()
    command = [*prefix, sys.executable, "-m", "backend.cli", "serve", "--host", "127.0.0.1", "--http-port", "0"]
    command += ["--grpc-port", "0", "--data", str(folder / "data"), "--ready-fd", str(announce)]
    with ExitStack() as stack:
        output = stack.enter_context((folder / "log").open("wb"))
        process = stack.enter_context(program(command, stdout=output, stderr=output, pass_fds=(announce,)))
        os.close(announce)
        stack.callback(os.close, ready)
        addresses = json.loads(read_line(ready, f"the backend (its log: {folder / 'log'})"))
        yield Backend(process, addresses["grpc"], addresses["http"])
