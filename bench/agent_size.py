"""How long the agent takes to start and how much memory it holds, as a program on this machine's kernel.

    sudo .venv/bin/python -m bench.agent_size

Needs what `pyrover-agent run` needs. There is no backend: captured logs wait in the queue.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.report import Report

START_SECONDS = 60
SETTLE_SECONDS = 15
PROGRAM = Path(sys.executable).parent / "pyrover-agent"


def resident(pid: int) -> tuple[int, int]:
    """(KiB resident apart from the ring, KiB of the ring) of a process."""
    apart = ring = 0
    name = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):
            name = " ".join(rest[4:])
        elif first == "Rss:" and "bpf-map" in name:
            ring += int(rest[0])
        elif first == "Rss:":
            apart += int(rest[0])
    return apart, ring


def processor_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure and print."""
    report = Report("agent_size", f"idle for {SETTLE_SECONDS} s")
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder) / "agent.log", report)
    print(report.finish())


def measure(log: Path, report: Report) -> None:
    """Start an agent, watch it, and end it."""
    began = time.monotonic()
    with log.open("wb") as output:
        agent = subprocess.Popen([PROGRAM, "run", "--backend", "127.0.0.1:1"], stderr=output)
    try:
        loader = await_start(agent, log)
        report.row("attached", {"s": time.monotonic() - began}, log.read_text().splitlines()[0])
        report.row("loader, most at once", {"MB": loader / 1024}, "in a process that has ended by now")
        for seconds in (1, SETTLE_SECONDS - 1):
            time.sleep(seconds)
            apart, ring = resident(agent.pid)
            label = f"resident {seconds} s later, beside the kernel's rings"
            report.row(label, {"MB": apart / 1024}, f"the rings: {ring / 1024:.1f} MB")
        before = processor_seconds(agent.pid)
        time.sleep(SETTLE_SECONDS)
        used = processor_seconds(agent.pid) - before
        report.row("processor", {"% of a core": 100 * used / SETTLE_SECONDS}, "every process of the machine is watched")
    finally:
        agent.terminate()
        agent.wait()


def await_start(agent: "subprocess.Popen[bytes]", log: Path) -> int:
    """Wait until the programs are attached; the most KiB resident that a child of the agent had meanwhile."""
    most, end = 0, time.monotonic() + START_SECONDS
    while b"hooks" not in log.read_bytes():
        if agent.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"the agent does not start; it said:\n{log.read_text()}")
        children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
        most = max([most, *map(peak, children)])
        time.sleep(0.005)
    return most


def peak(pid: str) -> int:
    """KiB that a process had resident at most; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+)", status, re.MULTILINE)
    return int(found[1]) if found else 0


if __name__ == "__main__":
    main()
