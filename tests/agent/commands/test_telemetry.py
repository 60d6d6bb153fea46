"""The agent as a program that tells of itself."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.kernel.hooks import HOOKS
from agent.telemetry import families
from agent.telemetry.families import FAMILIES
from tests.agent.export.collector import Collector
from tests.e2e.programs import ATTACH, program, read_line
from tests.ports import free_ports
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.kernel

SELDOM = {families.TLS_FILES, families.NAMESPACES, families.BACKEND_FAILURES, families.TROUBLES}
"""Figures without a series where the kernel lacks something, or nothing has gone wrong."""


def ask(base: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(base + path, timeout=PATIENCE) as response:  # noqa: S310 - always http
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def hold_loading(folder: Path, options: list[str]) -> tuple[Path, str]:
    """Let the next agent with these options wait for its compiled programs, which it keeps in this folder.

    They are a pipe then, into which their text is to be written.
    """
    command = [sys.executable, "-m", "agent.cli", "run", *options, "--for", "1ms"]
    environment = {**os.environ, "PYROVER_OBJECTS": str(folder)}
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=PATIENCE)
    (compiled,) = folder.iterdir()
    text = compiled.read_text()
    compiled.unlink()
    os.mkfifo(compiled)
    return compiled, text


def test_from_its_start_to_its_end(tmp_path: Path) -> None:
    """In JSON, with programs measured, while the backend comes late."""
    figures = tmp_path / "figures.json"
    collector = Collector()
    (port,) = free_ports(1)
    options = ["--attach", ATTACH, "--backend", f"127.0.0.1:{port}"]
    command = [sys.executable, "-m", "agent.cli", "run", *options]
    command += ["--flush-period", "100ms", "--figures", str(figures), "--log-format", "json"]
    variables = {
        "ROVER_SPOOL_FOLDER": str(tmp_path / "spool"),
        "ROVER_TELEMETRY_ADDRESS": "127.0.0.1:0",
        "ROVER_TELEMETRY_PROGRAM_STATISTICS": "true",
        "PYROVER_OBJECTS": str(tmp_path / "objects"),
    }
    compiled, text_of_programs = hold_loading(tmp_path / "objects", options)
    with program(command, stderr=subprocess.PIPE, env={**os.environ, **variables}) as agent:
        assert agent.stderr is not None
        begun = json.loads(read_line(agent.stderr.fileno(), "the agent"))
        assert begun["level"] == "info"
        base = begun["message"].removeprefix("figures at ").removesuffix("/metrics")
        assert ask(base, "/healthz") == (503, "not ready\n[-] hooks: not attached yet: the programs are being loaded\n")
        assert ask(base, "/livez") == (200, "alive\n")
        compiled.write_text(text_of_programs)
        assert "hooks" in json.loads(read_line(agent.stderr.fileno(), "the agent"))["message"]
        with socket.create_server(("127.0.0.1", 0)) as listener:  # something to tell
            socket.create_connection(listener.getsockname()).close()
        until(lambda: "[-] delivery: " in ask(base, "/healthz")[1])
        with collector.serve(port):
            until(lambda: ask(base, "/healthz")[0] == 200)
            text = ask(base, "/metrics")[1]
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(PATIENCE) == 0
        lines = [json.loads(line) for line in agent.stderr.read().splitlines()]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    _check(text, json.loads(figures.read_text()))


def _check(text: str, final: dict[str, int]) -> None:
    """Every figure is there, in the form of Prometheus, and no counter is beyond the final one."""
    told = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert {family.name for family in FAMILIES} - set(told) <= {family.name for family in SELDOM}
    assert told == [family.name for family in FAMILIES if family.name in told]  # each once, in order
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    hooks = samples["pyrover_agent_hook_attached"]
    assert [labels["hook"] for labels, _ in hooks] == [hook.name for hook in HOOKS]
    assert all((labels["source"] == "none") is (value == 0) for labels, value in hooks)
    assert sum(value for _, value in samples["pyrover_agent_program_runs_total"]) > 0
    assert sum(value for _, value in samples["pyrover_agent_program_run_seconds_total"]) > 0
    for name, key in (("events", "events"), ("logs_captured", "captured"), ("logs_delivered", "delivered")):
        ((_, value),) = samples[f"pyrover_agent_{name}_total"]
        assert 0 < value <= final[key]
    if promtool := shutil.which("promtool"):
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_an_address_that_is_taken_is_said(log_format: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-m", "agent.cli", "run", "--log-format", log_format],
            env={**os.environ, "ROVER_TELEMETRY_ADDRESS": address},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
    assert done.returncode == 1
    said = json.loads(done.stderr)["message"] if log_format == "json" else done.stderr.strip()
    expected = f"telemetry.address: {address} cannot be listened on: Address already in use; give another port"
    assert said.removeprefix("pyrover-agent: ") == expected
