"""What an event costs the agent from the ring to the wire, and when it begins to lose events.

    sudo .venv/bin/python -m bench.agent_load [--seconds 10] [--load small] [--without-http] [--rates 0,2000]

The whole agent runs against a real kernel and a real backend on this machine, under writes and reads at an offered
rate: of one byte over UDP, of 16,384 bytes over TCP, or of HTTP/1. Without HTTP neither bytes nor stages are captured,
only system calls. At a rate of 0 there is no load: what an agent costs where nothing happens. CPU is that of the
agent's threads (user and system), for each second, and for each event that it took meanwhile, of whatever process; what
the programs cost inside the observed system calls is measured by bench/kernel_cost.py. The load begins when the agent
has come to rest, as it looks at every program of the machine first (bench/agent_size.py and bench/tls_cost.py measure
that). Every process of the machine is watched, so nothing else should run meanwhile. Load, agent and backend share the
processors.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.nginx_overhead import WITHOUT_HTTP
from bench.report import Report
from bench.threads import Activity
from tests.e2e.programs import PROGRAMS, Backend, backend, program, read_line
from tests.waiting import PATIENCE

REST = 0.03
"""Of a core: an agent that takes less has come to rest."""
REST_SECONDS = 20.0
"""How long that is waited for: on a machine where others work there is no rest."""
RATES = "0,2000,10000,50000,100000,200000"
LOAD = """
import socket, sys, time
load, rate, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
request = b"GET /api/v1/items/7 HTTP/1.1\\r\\nHost: catalogue.shop:8080\\r\\nAccept: application/json\\r\\n\\r\\n"
response = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: 512\\r\\n\\r\\n" + b"x" * 512
there, back = {"small": (b"x", b""), "large": (b"x" * 16384, b""), "http": (request, response)}[load]
pairs = []
for _ in range(20):
    if load == "small":
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); server.bind(("127.0.0.1", 0))
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); client.connect(server.getsockname())
    else:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            client = socket.create_connection(listening.getsockname()); server = listening.accept()[0]
    pairs.append((client, server))
began, done, events = time.monotonic(), 0, 4 if back else 2
while (passed := time.monotonic() - began) < seconds:
    if done >= passed * rate:
        time.sleep(0.001)
        continue
    for client, server in pairs:
        client.sendall(there); server.recv(len(there), socket.MSG_WAITALL)
        if back:
            server.sendall(back); client.recv(len(back), socket.MSG_WAITALL)
    done += events * len(pairs)
"""
LOADS = {
    "small": "a byte over UDP",
    "large": "16,384 bytes over TCP",
    "http": "exchanges of HTTP/1, four events each, seen at both ends",
}


@dataclass(frozen=True)
class Row:
    """One load."""

    offered: int
    events: int
    seconds: float
    """Of the load."""
    measured_seconds: float
    """With the last flush."""
    activity: Activity
    lost: dict[str, int]
    resident_bytes: int

    def figures(self) -> dict[str, float]:
        """As columns of the table."""
        microseconds = self.activity.running_ns / 1000
        of_events = {
            "CPU us/event": microseconds / max(self.events, 1),
            "events/s/core": self.events * 1e6 / microseconds,
        }
        return {
            "taken/s": self.events / self.seconds,
            **(of_events if self.offered else {}),
            "CPU ms/s": microseconds / 1000 / self.measured_seconds,
            "wake-ups/s": self.activity.waits / self.measured_seconds,
            "MB": self.resident_bytes / 1e6,
        }


def await_rest(watched: psutil.Process) -> None:
    """Wait until a process has next to nothing to do, or for REST_SECONDS."""
    end = time.monotonic() + REST_SECONDS
    while time.monotonic() < end:
        before = watched.cpu_times()
        time.sleep(1)
        after = watched.cpu_times()
        if after.user + after.system - before.user - before.system < REST:
            return


def taken(figures: str) -> int:
    """Events that the agent has taken since its start."""
    with urllib.request.urlopen(figures, timeout=PATIENCE) as response:  # noqa: S310 - always http
        lines = response.read().decode().splitlines()
    return int(float(next(line.split()[1] for line in lines if line.startswith("pyrover_agent_events_total "))))


def measure(store: Backend, load: str, rate: int, seconds: float, settings: Mapping[str, Any]) -> Row:
    """Run the agent under one offered rate."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "figures.json"
        (Path(folder) / "agent.yaml").write_text(json.dumps({**settings, "telemetry": {"address": "127.0.0.1:0"}}))
        command: list[str | Path] = [PROGRAMS / "pyrover-agent", "run", "--config", Path(folder) / "agent.yaml"]
        command += ["--backend", store.grpc, "--flush-period", "1s", "--figures", report]
        with program(command, stderr=subprocess.PIPE) as agent:
            if agent.stderr is None:
                raise AssertionError
            address = read_line(agent.stderr.fileno(), "the agent").removeprefix("figures at ").strip()
            read_line(agent.stderr.fileno(), "the agent")
            watched = psutil.Process(agent.pid)
            await_rest(watched)
            events, before, began = taken(address), Activity.of(agent.pid), time.monotonic()
            if rate:
                subprocess.run([sys.executable, "-c", LOAD, load, str(rate), str(seconds)], check=True)
            else:
                time.sleep(seconds)
            passed = time.monotonic() - began
            time.sleep(2)  # the last flush
            activity, resident = Activity.of(agent.pid) - before, watched.memory_info().rss
            measured = time.monotonic() - began
            events = taken(address) - events
            agent.terminate()
            agent.wait(60)
        figures = json.loads(report.read_text())
    lost = {cause: count for cause, count in figures["losses"].items() if count}
    return Row(rate, events, passed, measured, activity, lost, resident)


def main() -> int:
    """Measure each rate and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="length of each load (default: %(default)s)")
    parser.add_argument("--load", choices=LOADS, default="small", help="(default: %(default)s)")
    parser.add_argument("--without-http", action="store_true", help="system calls alone")
    parser.add_argument("--rates", default=RATES, help="events a second; 0: none (default: %(default)s)")
    options = parser.parse_args()
    load = f"{LOADS[options.load]}{', without HTTP' if options.without_http else ''}"
    report = Report("agent_load", f"{load}, {options.seconds:g} s a rate, once at rest")
    with tempfile.TemporaryDirectory() as folder, backend(Path(folder) / "data", Path(folder) / "log") as store:
        for rate in map(int, options.rates.split(",")):
            print(f"{rate:,} events/s offered", file=sys.stderr, flush=True)
            row = measure(store, options.load, rate, options.seconds, WITHOUT_HTTP if options.without_http else {})
            lost = ", ".join(f"{cause} {count:,}" for cause, count in row.lost.items()) or "nothing"
            report.row(f"{rate:,}/s offered" if rate else "at rest", row.figures(), f"lost: {lost}")
    print(report.finish())
    return 0


if __name__ == "__main__":
    sys.exit(main())
