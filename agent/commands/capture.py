"""The loop that `run` and `record` share: events of this machine's kernel, step by step, until it is time to end."""

import math
import os
import platform
import signal
import socket
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from agent.commands.missing import grouped, listed
from agent.config import Configuration
from agent.conntrack.watcher import ConntrackWatcher
from agent.discovery.container_names import ContainerNames
from agent.events.source import EventSource
from agent.kernel.loader_options import Options
from agent.kernel.pacing import LOOK_NS
from agent.kernel.source import KernelSource
from agent.pipeline import Pipeline
from agent.tls.abandoned_calls import AbandonedCalls
from agent.tls.mapped_files import MAPPING_HOOKS
from agent.tls.watcher import TlsWatcher

STEP_SECONDS = 0.2
"""The pause between two steps of an agent that captures nothing."""


class Stop:
    """Becomes true when the program is asked to end (SIGINT, SIGTERM) or its time is over."""

    def __init__(self, after: float | None) -> None:
        """`after` is a number of seconds, or None for no end."""
        self._at = None if after is None else time.monotonic() + after
        self._asked = False
        self._interrupt: Callable[[], None] = lambda: None

    def __bool__(self) -> bool:
        return self._asked or (self._at is not None and time.monotonic() >= self._at)

    def ask(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """End soon; a handler of signals."""
        self._asked = True
        self._interrupt()

    @property
    def seconds_left(self) -> float:
        """Until the time is over; without end there may be."""
        return math.inf if self._at is None else max(self._at - time.monotonic(), 0.0)

    @contextmanager
    def interrupting(self, wait: Callable[[], None]) -> Iterator[None]:
        """Let a wait end, too, when the program is asked to end meanwhile."""
        self._interrupt = wait
        try:
            yield
        finally:
            self._interrupt = lambda: None

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listen to SIGINT and SIGTERM meanwhile."""
        before = {number: signal.signal(number, self.ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def hangups(handler: Callable[..., None]) -> Iterator[None]:
    """Call a handler at each SIGHUP meanwhile, which would end the program otherwise."""
    before = signal.signal(signal.SIGHUP, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def open_kernel(configuration: Configuration) -> KernelSource:
    """Attach to the kernel; the agent itself is not watched."""
    return KernelSource.open(
        ring_bytes=configuration.kernel.ring_bytes,
        options=Options(payload_bytes=configuration.kernel.payload_bytes),
        attach=configuration.kernel.attach,
        excluded_processes={os.getpid()},
        unavailable=configuration.kernel.unavailable_hooks,
    )


@contextmanager
def open_conntrack(configuration: Configuration) -> Iterator[ConntrackWatcher | None]:
    """Connection tracking of this machine meanwhile; None when the configuration has it off."""
    if not configuration.conntrack.enabled:
        yield None
        return
    watcher = ConntrackWatcher(configuration.discovery.proc, configuration.limits.network_namespaces)
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.close()


@contextmanager
def open_tls(source: KernelSource, configuration: Configuration) -> Iterator[TlsWatcher | None]:
    """Probes in the TLS libraries of this machine meanwhile; None when the configuration or the kernel has none."""
    watcher = None
    if configuration.tls.enabled:
        with suppress(OSError):  # the kernel has no uprobes: the plan says so
            proc = configuration.discovery.proc
            abandoned = AbandonedCalls(source.loaded.maps["go_calls"], proc)
            tells = all(source.coverage.has(hook) for hook in MAPPING_HOOKS)
            maps = source.loaded.maps if tells else None
            watcher = TlsWatcher(source.loaded.programs, proc, maps=maps, abandoned_calls=abandoned)
    if watcher is None:
        yield None
        return
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.close()


def open_containers(configuration: Configuration) -> ContainerNames:
    """What the containers of this machine are called."""
    return ContainerNames(Path(configuration.discovery.proc) / "1" / "root")


def node_name(configuration: Configuration) -> str:
    """The configured name of this node, or its host name."""
    return configuration.node.name or socket.gethostname()


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC, the clock of the kernel's events."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def describe_start(
    source: KernelSource, configuration: Configuration, destination: str, width: int | None = None
) -> str:
    """A line on what is watched, how, and where the logs go; then what is missing, if anything is.

    That is the names of hooks, and what the logs lack without them.

    Args:
        source: The kernel.
        configuration: How it was attached to.
        destination: Where the logs go.
        width: Characters of a line, for people; None for one line for each part, for programs.
    """
    hooks = source.coverage.hooks
    missing = [planned.hook.name for planned in hooks if not planned.is_attached]
    attached = f"{len(hooks) - len(missing)} of {len(hooks)} hooks"
    first = f"kernel {platform.release()}, attach {configuration.kernel.attach}: {attached}; {destination}"
    if not missing:
        return first
    without, lost = f"without {', '.join(missing)}", source.coverage.lost
    if width is None:
        return "\n".join([first, without, f"missing from the access logs: {'; '.join(grouped(lost))}"])
    names = textwrap.wrap(without, width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join([first, *names, "  missing from the access logs (docs/hooks.md):", *listed(lost, width)])


def follow(source: EventSource, step: Callable[[int], None], stop: Stop, pipeline: Pipeline) -> None:
    """Call `step` with CLOCK_MONOTONIC until `stop`: when a flush is due, and when the source has events to be taken.

    Those of a process that is new to the pipeline are taken soon.
    """
    with stop.interrupting(source.interrupt):
        while not stop:
            seconds = min(pause(pipeline.flush_due_ns - monotonic_ns()), stop.seconds_left)
            if not source.wait(seconds, pipeline.processes.is_new):
                break
            step(monotonic_ns())
    step(monotonic_ns())


def pause(left_ns: int) -> float:
    """Seconds until the next step, when the next flush is so far away: it is the end of one of equal pauses."""
    parts = max(math.ceil(left_ns / LOOK_NS), 1)
    return max(left_ns, 0) / parts / 1e9


def fail(message: str) -> int:
    """Say why a command ends; returns its exit status."""
    print(f"pyrover-agent: {message}", file=sys.stderr)  # noqa: T201 - a command's words to its user
    return 1
