"""What this process takes, as the kernel counts it.

Source: proc_pid_stat(5), under the names that Prometheus has for any process.
"""

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.telemetry import families
from agent.telemetry.exposition import Reading

_FIRST: Final = 3  # number of the first field after the command's closing parenthesis
_USER, _SYSTEM, _THREADS, _START, _VIRTUAL, _RESIDENT = (number - _FIRST for number in (14, 15, 20, 22, 23, 24))


def read_usage() -> Iterator[Reading]:
    """Figures of this process."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    yield families.CPU_SECONDS, [((), (int(fields[_USER]) + int(fields[_SYSTEM])) / ticks)]
    yield families.RESIDENT, [((), int(fields[_RESIDENT]) * page)]
    yield families.VIRTUAL, [((), int(fields[_VIRTUAL]))]
    yield families.START_TIME, [((), _boot_seconds() + int(fields[_START]) / ticks)]
    yield families.OPEN_FILES, [((), len(os.listdir("/proc/self/fd")) - 1)]  # noqa: PTH208 - counts, one of them its own
    yield families.MOST_FILES, [((), resource.getrlimit(resource.RLIMIT_NOFILE)[0])]
    yield families.THREADS, [((), int(fields[_THREADS]))]


def _boot_seconds() -> int:
    """When this machine was started, since the epoch."""
    lines = Path("/proc/stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("btime "))
