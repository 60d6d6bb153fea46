"""What an event costs the agent from the ring to the wire, and when it begins to lose events.

    sudo .venv/bin/python -m bench.agent_load [--seconds 10]

The whole agent runs against a real kernel and a real backend on this machine, under UDP writes and reads of one byte at
an offered rate. CPU is that of the agent's process (user and system) by its own account in /proc; what the programs
cost inside the observed system calls is measured by bench/kernel_cost.py. Every process of the machine is watched, so
nothing else should run meanwhile. Load, agent and backend share the processors.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.report import Report
from tests.e2e.programs import PROGRAMS, Backend, backend, program, read_line

RATES = (2_000, 10_000, 50_000, 100_000, 200_000)  # events per second
LOAD = """
import socket, sys, time
rate, seconds = int(sys.argv[1]), float(sys.argv[2])
pairs = []
for _ in range(20):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); server.bind(("127.0.0.1", 0))
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); client.connect(server.getsockname())
    pairs.append((client, server))
began, done = time.monotonic(), 0
while (passed := time.monotonic() - began) < seconds:
    if done >= passed * rate:
        time.sleep(0.001)
        continue
    for client, server in pairs:
        client.send(b"x"); server.recv(1)
    done += 2 * len(pairs)
"""


@dataclass(frozen=True)
class Row:
    """One load."""

    offered: int
    events: int
    cpu_seconds: float
    lost: dict[str, int]
    resident_bytes: int

    def figures(self, seconds: float) -> dict[str, float]:
        """As columns of the table."""
        microseconds = self.cpu_seconds / self.events * 1e6
        return {
            "taken/s": self.events / seconds,
            "CPU us/event": microseconds,
            "events/s/core": 1e6 / microseconds,
            "MB": self.resident_bytes / 1e6,
        }


def measure(store: Backend, rate: int, seconds: float) -> Row:
    """Run the agent under one offered rate."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "figures.json"
        command = [PROGRAMS / "pyrover-agent", "run", "--backend", store.grpc, "--flush-period", "1s"]
        with program([*command, "--figures", report], stderr=subprocess.PIPE) as agent:
            if agent.stderr is None:
                raise AssertionError
            read_line(agent.stderr.fileno(), "the agent")
            watched = psutil.Process(agent.pid)
            before = watched.cpu_times()
            subprocess.run([sys.executable, "-c", LOAD, str(rate), str(seconds)], check=True)
            time.sleep(2)  # the last flush
            after, resident = watched.cpu_times(), watched.memory_info().rss
            agent.terminate()
            agent.wait(60)
        figures = json.loads(report.read_text())
    cpu = after.user + after.system - before.user - before.system
    lost = {cause: count for cause, count in figures["losses"].items() if count}
    return Row(rate, figures["events"], cpu, lost, resident)


def main() -> int:
    """Measure each rate and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="length of each load (default: %(default)s)")
    options = parser.parse_args()
    report = Report("agent_load", f"{options.seconds:g} s a rate")
    with tempfile.TemporaryDirectory() as folder, backend(Path(folder) / "data", Path(folder) / "log") as store:
        for rate in RATES:
            print(f"{rate:,} events/s offered", file=sys.stderr, flush=True)
            row = measure(store, rate, options.seconds)
            lost = ", ".join(f"{cause} {count:,}" for cause, count in row.lost.items()) or "nothing"
            report.row(f"{rate:,}/s offered", row.figures(options.seconds), f"lost: {lost}")
    print(report.finish())
    return 0


if __name__ == "__main__":
    sys.exit(main())
