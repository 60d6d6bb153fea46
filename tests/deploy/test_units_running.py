"""The units as a systemd runs them: both programs do all of their work under every restriction."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.systemd import NAMES, Systemd, running
from tests.e2e.programs import ATTACH, ROOT
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.kernel

ORDERS = """
import socket
with socket.create_server(("127.0.0.1", 0)) as listening:
    for _ in range(10):
        with socket.create_connection(listening.getsockname()) as client, listening.accept()[0] as server:
            client.sendall(b"order")
            server.recv(5, socket.MSG_WAITALL)
"""
ORDER = ["/usr/bin/python3", "/run/orders.py"]


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    units = tmp_path / "units"
    units.mkdir()
    with running(units) as started:
        yield started


def services(systemd: Systemd) -> set[str]:
    """Those that the backend has seen."""
    done = systemd.inside(["/opt/pyrover/.venv/bin/pyrover-backend", "query", "services", "--json"])
    return {each["name"] for each in json.loads(done.stdout)["services"]} if done.returncode == 0 else set()


def test_both_units_run_reload_and_end(systemd: Systemd) -> None:
    """As docs/install-host.md starts them; another user's calls are told under the name of the program."""
    systemd.control("start", *NAMES)
    hooks = re.search(r"(\d+) of \d+ hooks", systemd.until_said(" hooks; backend "))
    assert hooks is not None
    assert int(hooks[1]) == _attached_outside()

    assert systemd.inside(["tee", "/run/orders.py"], ORDERS).returncode == 0

    def ordered() -> bool:
        done = systemd.inside(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *ORDER])
        assert done.returncode == 0, done.stderr
        return "orders" in services(systemd)

    until(ordered, systemd.said)

    for name in NAMES:
        systemd.control("reload", name)
    systemd.until_said("core.backend: the certificates and the token are as they were")
    systemd.until_said("reload: metrics replaced")
    for name in NAMES:  # the agent first, which delivers what it has to the backend
        assert systemd.shows(name)["ActiveState"] == "active"
        systemd.control("stop", name)
        assert systemd.shows(name) == {
            "ActiveState": "inactive",
            "Result": "success",
            "NRestarts": "0",
            "ExecMainStatus": "0",
        }
    assert " logs captured, " in systemd.said()


def _attached_outside() -> int:
    """How many hooks an agent without any restriction attaches to this kernel."""
    command = [sys.executable, "-m", "agent.cli", "doctor", "--json", "--attach", ATTACH]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=PATIENCE)
    return sum(hook["source"] is not None for hook in json.loads(done.stdout)["hooks"])
