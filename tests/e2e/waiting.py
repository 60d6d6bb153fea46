"""Where a program that should have ended waits: what a test's failure says of a process that hangs."""

import os
import subprocess
from pathlib import Path

import psutil


def where_it_waits(pid: int) -> str:
    """State, processor time, system call and kernel stack of a process and of those it began, and their sockets."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return f"process {pid} is gone"
    sockets = subprocess.run(["ss", "-Htanp"], capture_output=True, text=True, check=False).stdout
    of_family = [line for line in sockets.splitlines() if any(f"pid={one.pid}," in line for one in family)]
    unaccepted = [line for line in sockets.splitlines() if "users:" not in line and not line.startswith("TIME-WAIT")]
    return "\n".join(
        [*(_describe(one) for one in family), "sockets:", *of_family, "sockets without a process:", *unaccepted]
    )


def where_they_wait() -> str:
    """The same of every program that the tests have started: one that hangs may wait for another."""
    return where_it_waits(os.getpid())


def _describe(process: psutil.Process) -> str:
    try:
        times = process.cpu_times()
        switches = process.num_ctx_switches()
        said = (
            f"{process.pid} {process.name()}: {process.status()}, {times.user:.2f} s of its own, {times.system:.2f} s"
        )
        said += f" in the kernel, {switches.voluntary} waits, {switches.involuntary} interruptions"
    except psutil.NoSuchProcess:
        return f"{process.pid} is gone"
    return "\n".join([said, *(f"  {what}: {_read(process.pid, what)}" for what in ("syscall", "stack"))])


def _read(pid: int, what: str) -> str:
    try:
        return Path(f"/proc/{pid}/{what}").read_text().strip().replace("\n", "\n    ")
    except OSError as error:
        return str(error)
