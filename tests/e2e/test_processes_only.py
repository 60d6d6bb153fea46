"""The agent where access logs are switched off: processes are reported, and the kernel is left alone."""

import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from agent.kernel.privileges import CAPABILITIES
from tests.e2e.cluster_receiver import Receiver
from tests.e2e.programs import PROGRAMS, finish, program, read_line
from tests.waiting import PATIENCE

pytestmark = pytest.mark.kernel  # which has capabilities and shows processes

LISTENER = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as listening:
    print(listening.getsockname()[1], flush=True)
    sys.stdin.readline()
"""
KEPT = {"CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"}


def run(*variables: tuple[str, str]) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "ROVER_ACCESS_LOG_ACTIVE": "false", **dict(variables)}
    return subprocess.Popen(
        [PROGRAMS / "pyrover-agent", "run"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )


def open_files(pid: int) -> list[str]:
    """What is behind the descriptors of a process that goes on opening and closing files."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            found.append(str(link.readlink()))
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees the sockets of others")
def test_processes_are_reported_and_nothing_else_is_done(tmp_path: Path) -> None:
    receiver = Receiver()
    configuration = tmp_path / "agent.yaml"
    listener = [sys.executable, "-c", LISTENER]
    with (
        receiver.serving() as address,
        program(listener, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
    ):
        assert process.stdout is not None
        port = read_line(process.stdout.fileno(), "the listener").strip()
        configuration.write_text(
            f"core: {{backend: {{addr: '{address}'}}}}\n"
            "access_log: {active: false}\n"
            "process_discovery: {heartbeat_period: 200ms}\n"
            "telemetry: {address: '127.0.0.1:0'}\n"
            f"discovery: {{service_rules: [{{service: listening, port: {port}}}]}}\n"
        )
        command: list[str | Path] = [PROGRAMS / "pyrover-agent", "run", "--config", configuration]
        with program(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as agent:
            assert agent.stderr is not None
            figures = read_line(agent.stderr.fileno(), "the agent").removeprefix("figures at ").strip()
            said = read_line(agent.stderr.fileno(), "the agent").strip()
            assert said == f"access_log.active is false: no access logs are told, processes are reported to {address}"
            receiver.until(lambda: process.pid in receiver.processes())
            receiver.until(lambda: "listening" in receiver.kept_alive())
            status = dict(
                line.split(":\t")
                for line in Path(f"/proc/{agent.pid}/status").read_text().splitlines()
                if line.startswith("Cap")
            )
            kept = sum(1 << each.bit for each in CAPABILITIES if each.name in KEPT)
            assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {kept}
            links = open_files(agent.pid)
            assert links
            assert not [link for link in links if "bpf" in link or "perf" in link]
            with urllib.request.urlopen(figures.replace("/metrics", "/healthz"), timeout=PATIENCE) as response:  # noqa: S310 - always http
                assert response.read().decode() == (
                    "ready\n[+] access logs: switched off by access_log.active; processes are reported\n"
                )
            with urllib.request.urlopen(figures, timeout=PATIENCE) as response:  # noqa: S310 - always http
                assert "\npyrover_agent_ready 1\n" in response.read().decode()
            # A process that ends is not kept alive any more.
            process.kill()
            process.wait()
            reports = receiver.processes()[process.pid]
            assert reports.hostProcess.entity.serviceName == "listening"
            receiver.until(lambda: receiver.is_kept_without("listening"))
            finish(agent)
    assert receiver.violations == []
    assert receiver.streams() == []


def test_an_agent_without_anything_to_tell_does_not_run() -> None:
    with run(("ROVER_DISCOVERY_REPORTED", "false")) as agent:
        _, said = agent.communicate(timeout=PATIENCE)
    assert agent.returncode == 1
    assert said.decode().startswith(
        "pyrover-agent: access_log.active is false, and there are no processes to report: set"
    )


def test_it_ends_when_it_is_asked_to() -> None:
    with run(("ROVER_BACKEND_ADDR", "127.0.0.1:1")) as agent:
        assert agent.stderr is not None
        assert "no access logs are told" in read_line(agent.stderr.fileno(), "the agent")
        agent.send_signal(signal.SIGHUP)  # asks for other certificates and does not end it
        agent.send_signal(signal.SIGINT)
        assert agent.wait(PATIENCE) == 0
