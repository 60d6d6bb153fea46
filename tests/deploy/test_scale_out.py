"""The deployment to try, as a user starts it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from backend.entities.ids import service_id
from tests import patient
from tests.backend.server.processes import ROOT
from tests.backend.server.senders import Ledger, Sender, minute_now, stream_of
from tests.backend.storage.clickhouse_servers import PROGRAM
from tests.ports import free_ports
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="clickhouse-server is not installed")]


@contextmanager
def deployment(state: Path) -> Iterator[tuple[subprocess.Popen[str], list[int], str, str]]:
    """A ready deployment: itself, the processes of its backends, and its two addresses."""
    ports = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0", "--clickhouse-port", str(*free_ports(1)))
    command: list[str | Path] = [sys.executable, ROOT / "deploy" / "scale_out.py", *ports, "--state", state]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        backends: list[int] = []
        while not (line := process.stdout.readline()).startswith("ready: "):
            assert line, process.communicate()
            backends += map(int, re.findall(r"process (\d+)", line))
        found = re.fullmatch(r"ready: agents (\S+), console (\S+)/ +\(Ctrl-C stops\)\n", line)
        assert found is not None
        yield process, backends, found[1], found[2]
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=300)


def alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_interrupt_while_it_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    arguments = ("--clickhouse-port", str(*free_ports(1)), "--state", str(tmp_path))
    command: list[str | Path] = [sys.executable, ROOT / "deploy" / "scale_out.py", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        log = tmp_path / "clickhouse.log"
        until(lambda: log.exists() and log.stat().st_size, "ClickHouse is started")
        started = psutil.Process(process.pid).children()
        assert started
        process.send_signal(signal.SIGINT)
        assert process.wait(300) == 0, process.communicate()
        assert not any(each.is_running() for each in started)


def test_two_backends_share_the_ports_and_all_is_stopped_together(tmp_path: Path) -> None:
    ledger = Ledger()
    minute = minute_now()
    with deployment(tmp_path) as (process, backends, agents, console):
        assert len(backends) == 2
        sender = Sender(agents, "shop", stream_of("shop", [minute], 3), ledger, most=20)
        sender.start()
        sender.join()
        assert ledger.acknowledged["shop"] == 20
        query = {"name": "kubernetes_service_read_package_size", "entity": service_id("shop"), "start": "-15m"}
        # Each question is a connection of its own, so that both backends are asked.
        for _ in range(20):
            (series,) = patient.get(f"{console}/api/metrics", params={**query, "step": "minute"}).json()["series"]
            assert [point["value"] for point in series["points"] if point["value"] is not None] == [20 * 3 * 10]
        process.send_signal(signal.SIGINT)
        assert process.wait(300) == 0
        assert not any(map(alive, backends))


def test_when_one_ends_by_itself_the_others_are_stopped(tmp_path: Path) -> None:
    with deployment(tmp_path) as (process, backends, _, _):
        os.kill(backends[0], signal.SIGKILL)
        assert process.wait(300) == 1
        assert process.stderr is not None
        assert "ended by itself" in process.stderr.read()
        assert not any(map(alive, backends))
