"""What the threads of a process have done so far, finer than the hundredths of a second of /proc/PID/stat.

Source: the kernel's Documentation/scheduler/sched-stats.rst (/proc/PID/schedstat) and proc_pid_status(5).
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Activity:
    """Sums over the threads that there are; those that have ended are not in them.

    Attributes:
        running_ns: time on a processor, user and system.
        waits: how often they gave the processor up to wait for something; each ends with a wake-up.
    """

    running_ns: int
    waits: int

    @classmethod
    def of(cls, process: int, proc: Path = Path("/proc")) -> Self:
        """Read it.

        Raises:
            OSError: there is no such process.
        """
        running_ns = waits = 0
        for thread in (proc / str(process) / "task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                schedule, status = (thread / "schedstat").read_text(), (thread / "status").read_text()
                running_ns += int(schedule.split()[0])
                waits += int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
        return cls(running_ns, waits)

    def __sub__(self, before: "Activity") -> "Activity":
        """What was done since."""
        return Activity(self.running_ns - before.running_ns, self.waits - before.waits)
