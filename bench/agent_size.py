"""How long the agent takes to start and how much memory it holds, as a program on this machine's kernel.

    sudo .venv/bin/python bench/agent_size.py

Needs what `pyrover-agent run` needs. There is no backend: captured logs wait in the queue.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

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
    began = time.monotonic()
    agent = subprocess.Popen([PROGRAM, "run", "--backend", "127.0.0.1:1"], stderr=subprocess.PIPE, text=True)
    if agent.stderr is None:
        raise SystemExit("no pipe to the agent")
    try:
        line = agent.stderr.readline().strip()
        print(line)
        print(f"attached after {time.monotonic() - began:.2f} s")
        for seconds in (1, SETTLE_SECONDS - 1):
            time.sleep(seconds)
            apart, ring = resident(agent.pid)
            print(
                f"resident {apart / 1024:.1f} MB beside the kernel's ring, which is mapped twice: {ring / 1024:.1f} MB"
            )
        before = processor_seconds(agent.pid)
        time.sleep(SETTLE_SECONDS)
        used = processor_seconds(agent.pid) - before
        print(f"processor time: {used / SETTLE_SECONDS:.2%} of one core")
    finally:
        agent.terminate()
        print(agent.communicate()[1].strip())


if __name__ == "__main__":
    main()
