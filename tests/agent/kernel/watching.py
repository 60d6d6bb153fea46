"""Real workloads under the real kernel programs: start one, and have every event that it caused."""

import contextlib
import ipaddress
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.events.layout import EVENT, EventKind, Events
from agent.kernel.plan import AttachMode
from agent.kernel.source import KernelSource
from agent.kernel.stage_hooks import STAGE_HOOKS
from tests.waiting import PATIENCE

WORKLOADS = Path(__file__).with_name("workloads") / "run.py"

ATTACH = AttachMode(os.environ.get("PYROVER_ATTACH", "auto"))
"""The kind of source that tests attach by."""

NO_STAGES = frozenset(hook.name for hook in STAGE_HOOKS)
"""Without these only system calls and the outcome of connects make events, so that each can be counted."""

Argument = str | int | bool | list[int] | list[list[Any]]
"""What a workload is told."""


def open_source(**arguments: Any) -> KernelSource:  # noqa: ANN401 # passed on as they are
    """The programs at the system calls, attached in the way that the tests are run for."""
    return KernelSource.open(**{"attach": ATTACH, "unavailable": NO_STAGES, **arguments})


def address(raw: Iterable[int]) -> str:
    """As Python's sockets print it: IPv4 for a mapped address."""
    ip = ipaddress.IPv6Address(bytes(raw))
    return str(ip.ipv4_mapped or ip)


@dataclass
class Run:
    """A workload that has ended: what it said, and what the kernel said about it."""

    process: int
    result: dict[str, Any]
    events: Events

    def of(self, *kinds: EventKind) -> Events:
        return self.events[np.isin(self.events["kind"], kinds)]

    def of_socket(self, inode: int, *kinds: EventKind) -> Events:
        events = self.of(*kinds) if kinds else self.events
        found: Events = events[events["inode"] == inode]
        return found


class Watch:
    """A source that sees nothing but the workloads started here."""

    def __init__(self, source: KernelSource) -> None:
        self.source = source

    @contextlib.contextmanager
    def started(
        self, name: str, *, begin: Callable[[int], None] | None = None, **arguments: Argument
    ) -> Iterator["subprocess.Popen[str]"]:
        """The workload's process, chosen (or whatever `begin` does with its id) and told to go."""
        with subprocess.Popen(
            [sys.executable, "-I", str(WORKLOADS), name, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            assert child.stdin is not None
            assert child.stdout.readline() == "ready\n"
            (begin or self.source.choose)(child.pid)
            child.stdin.write("go\n")
            child.stdin.flush()
            yield child

    def run(self, name: str, **arguments: Argument) -> Run:
        with self.started(name, begin=None, **arguments) as child:
            assert child.stdout is not None
            answer = child.stdout.read()
            child.wait(PATIENCE)
        return Run(child.pid, json.loads(answer), self.until_exit(child.pid))

    def until_exit(self, process: int) -> Events:
        """Every event of `process` up to the event of its exit, which is the last one a process causes."""
        events = self.until_end(process)
        found: Events = events[events["process"] == process]
        return found

    def until_end(self, process: int) -> Events:
        """Every event, of whichever process, until `process` has ended."""
        parts = [np.empty(0, EVENT)]
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.source.wait(0.1)
            events = self.source.take()
            parts.append(events)
            if np.any((events["process"] == process) & (events["kind"] == EventKind.PROCESS_EXIT)):
                return np.concatenate(parts)
        lost = dict(self.source.losses())
        raise AssertionError(f"no exit of process {process} after {PATIENCE} s; lost: {lost}")
