"""`make run`: both programs on this machine, started and stopped together."""

import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.e2e.programs import ROOT, program, read_line
from tests.ports import free_ports
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.kernel

RUN: list[str | Path] = [sys.executable, ROOT / "scripts" / "run.py"]


def ports() -> tuple[int, list[str]]:
    grpc, http = free_ports(2)
    return http, ["--grpc-port", str(grpc), "--http-port", str(http)]


def test_it_stops_by_itself(tmp_path: Path) -> None:
    http, arguments = ports()
    done = subprocess.run(
        [*RUN, "--for", "2s", "--state", tmp_path, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Console: http://127.0.0.1:{http}/ ")
    assert "events/s" in done.stdout
    assert "hooks" in done.stderr


def test_an_interrupt_stops_both_cleanly(tmp_path: Path) -> None:
    http, arguments = ports()
    command = [*RUN, "--state", tmp_path, *arguments]
    with program(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert "Console" in read_line(running.stdout.fileno(), "make run")
        assert "hooks" in read_line(running.stderr.fileno(), "make run")
        with urllib.request.urlopen(f"http://127.0.0.1:{http}/healthcheck", timeout=PATIENCE) as answer:
            assert answer.status == 200
        children = psutil.Process(running.pid).children(recursive=True)
        assert len(children) >= 2
        running.send_signal(signal.SIGINT)
        assert running.wait(PATIENCE) == 0
        assert "Stopping." in running.stdout.read().decode()
        assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_an_interrupt_while_the_backend_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    _, arguments = ports()
    with program([*RUN, "--state", tmp_path, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        until((tmp_path / "data").exists, "a backend is started")  # it makes that while it starts
        # The agent is one of them, too, where the backend was quicker than this.
        started = psutil.Process(running.pid).children(recursive=True)
        assert started
        running.send_signal(signal.SIGINT)
        assert running.wait(PATIENCE) == 0
        assert not [child for child in started if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_a_port_that_is_taken_is_an_error_with_the_reason(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        arguments = ["--grpc-port", str(taken.getsockname()[1]), "--http-port", str(*free_ports(1))]
        done = subprocess.run(
            [*RUN, "--state", tmp_path, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    assert done.returncode == 1
    assert "--grpc-port" in done.stderr
    assert str(tmp_path / "backend.log") in done.stderr
