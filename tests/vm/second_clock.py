"""The kernel's own tracer beside the programs under test: when functions began and ended, by its clock.

Durations that a program measured lie between two that the tracer knows: one that it contains, and one that contains it.
"""

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.kernel.btf import VMLINUX, Btf

TRACING: Final = Path("/sys/kernel/tracing")
GROUP: Final = "second_clock"
BUFFER_KIB: Final = 16 << 10
"""Per processor."""
_ARGUMENTS: Final = ("%di", "%si", "%dx")
"""Registers of the first arguments on x86-64."""
_LINE: Final = re.compile(
    r"-(?P<task>\d+) +\[\d+\].* (?P<seconds>\d+)\.(?P<microseconds>\d{6}): "
    r"(?P<kind>enter_|leave_|sys_)(?P<function>\w+)(?P<rest>.*)"
)
"""Of probes `enter_ip_rcv: (ip_rcv+0x0/0x90) length=1052`; of calls `sys_read(fd: 3)`, and later `sys_read -> 0x1`."""
_LENGTH: Final = re.compile(r"length=(\d+)")


@dataclass(frozen=True)
class Passage:
    """One run of a function, in microseconds of the tracer's clock. `length` is of its package; -1 if it has none."""

    function: str
    task: int
    began: int
    ended: int
    length: int


@dataclass
class Clock:
    """What the tracer saw; complete after the block that `tracing` is for."""

    passages: list[Passage] = field(default_factory=list)


@contextmanager
def tracing(functions: Mapping[str, int | None], calls: Iterable[str]) -> Iterator[Clock]:
    """Trace functions and system calls while the block runs.

    Args:
        functions: by name, which of their arguments (from 0) is a package (struct sk_buff); None for none.
        calls: names of system calls.
    """
    instance, clock = TRACING / "instances" / GROUP, Clock()
    _forget()
    instance.mkdir()
    try:
        (instance / "trace_clock").write_text("mono")
        (instance / "buffer_size_kb").write_text(str(BUFFER_KIB))
        for line in _probes(functions):
            _define(line)
        events = [
            f"{GROUP}/enable",
            *(f"syscalls/sys_{end}_{call}/enable" for call in calls for end in ("enter", "exit")),
        ]
        for event in events:
            (instance / "events" / event).write_text("1")
        yield clock
        (instance / "tracing_on").write_text("0")
        text = (instance / "trace").read_text()
        kept, written = map(int, re.findall(r"entries-in-buffer/entries-written: (\d+)/(\d+)", text)[0])
        assert kept == written, f"the tracer forgot {written - kept} of {written} events"
        clock.passages = list(_passages(text.splitlines()))
    finally:
        _forget()


def _probes(functions: Mapping[str, int | None]) -> Iterator[str]:
    length = Btf.read(VMLINUX).member("sk_buff", "len").byte_offset
    for function, package in functions.items():
        argument = "" if package is None else f" length=+{length}({_ARGUMENTS[package]}):u32"
        yield f"p:{GROUP}/enter_{function} {function}{argument}"
        yield f"r:{GROUP}/leave_{function} {function}"


def _forget() -> None:
    instance = TRACING / "instances" / GROUP
    with suppress(FileNotFoundError):
        (instance / "events" / "enable").write_text("0")
        instance.rmdir()
    defined = [line.split()[0].partition(":")[2] for line in (TRACING / "kprobe_events").read_text().splitlines()]
    for name in defined:
        if name.startswith(f"{GROUP}/"):
            _define(f"-:{name}")


def _define(line: str) -> None:
    # Opened for appending, the file keeps what others defined; it cannot be sought in, as open() would.
    probes = os.open(TRACING / "kprobe_events", os.O_WRONLY | os.O_APPEND)
    try:
        os.write(probes, f"{line}\n".encode())
    finally:
        os.close(probes)


def _passages(lines: Iterable[str]) -> Iterator[Passage]:
    """Pair beginnings with ends: what began last in a task ends first, and interrupts nest the same way."""
    running: dict[tuple[int, str], list[tuple[int, int]]] = {}
    for line in lines:
        found = _LINE.search(line)
        if not found:
            continue
        task, function = int(found["task"]), found["function"]
        now = int(found["seconds"]) * 1_000_000 + int(found["microseconds"])
        began = running.setdefault((task, function), [])
        if found["kind"] == "enter_" or (found["kind"] == "sys_" and "->" not in found["rest"]):
            length = _LENGTH.search(found["rest"])
            began.append((now, int(length[1]) if length else -1))
        elif began:
            start, size = began.pop()
            yield Passage(function, task, start, now, size)


def mounted() -> bool:
    """Whether the tracer is to be had, with probes; mounts it if need be."""
    if not (TRACING / "kprobe_events").exists():
        subprocess.run(["mount", "-t", "tracefs", "tracefs", str(TRACING)], capture_output=True, check=False)
    return (TRACING / "kprobe_events").exists()
