"""Nothing listens beyond what docs/security.md lists."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.conftest import reason_to_skip
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (pyrover-\w+) \| ([0-9.]+) \| (\d+) \|", re.MULTILINE)


def documented(program: str) -> set[tuple[str, int]]:
    page = (ROOT / "docs" / "security.md").read_text()
    return {(address, int(port)) for named, address, port in ROW.findall(page) if named == program}


def listening(pid: int) -> set[tuple[str, int]]:
    """What a process and its children wait for connections or datagrams on, except of this machine's Unix sockets."""
    process = psutil.Process(pid)
    sockets = process.net_connections("inet")
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended since it was listed
            sockets += child.net_connections("inet")
    return {(one.laddr.ip, one.laddr.port) for one in sockets if one.laddr and not one.raddr}


@contextmanager
def running(*arguments: str, said: str) -> Iterator[int]:
    """A program that has said that it is ready."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("SW_", "ROVER_", "PYROVER_"))
    }
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        end = time.monotonic() + PATIENCE
        told: list[str] = []
        for line in process.stdout:
            told.append(line)
            if said in line:
                break
            assert time.monotonic() < end, f"never said {said!r}: {told}"
        else:
            pytest.fail(f"it ended and never said {said!r}: {told}")
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)


@pytest.fixture
def usual_ports_are_free() -> None:
    taken = {one.laddr.port for one in psutil.net_connections("inet") if one.laddr and not one.raddr}
    if busy := taken & {port for _, port in documented("pyrover-backend")}:
        pytest.skip(f"another program listens on {busy}, so that a backend with default settings cannot be started")


@pytest.mark.usefixtures("usual_ports_are_free")
def test_a_backend_with_default_settings(tmp_path: Path) -> None:
    with running("backend.cli", "serve", "--data", str(tmp_path), said="is ready") as pid:
        assert listening(pid) == documented("pyrover-backend")
    assert len(documented("pyrover-backend")) == 2


@pytest.mark.kernel
def test_an_agent_with_default_settings() -> None:
    assert not reason_to_skip()
    assert documented("pyrover-agent") == set()
    with running("agent.cli", "run", said="hooks") as pid:
        assert listening(pid) == set()
