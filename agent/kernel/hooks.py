"""Every hook, declared once: what it feeds, where it can come from, what it costs, what is lost without it.

The attach planner (`agent.kernel.plan`) chooses one source for each hook; docs/hooks.md is made from this file.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Stage(Enum):
    """What a hook feeds."""

    CONNECT = "connect"
    LISTEN = "listen"
    ACCEPT = "accept"
    READ = "read"
    WRITE = "write"
    CLOSE = "close"
    PROCESS = "process"


class SourceKind(Enum):
    """How a program is attached."""

    FENTRY = "fentry"
    KPROBE = "kprobe"
    TRACEPOINT = "tracepoint"
    RAW_TRACEPOINT = "raw_tracepoint"


class Cost(Enum):
    """How often a hook runs, which is what it costs."""

    CALL = "every such call, on any descriptor"
    CONNECTION = "a few times per connection"
    PROCESS = "a few times per thread or process"


@dataclass(frozen=True)
class Attachment:
    """One program at one place of the kernel."""

    program: str
    """The C function in bpf/."""
    to: str
    """A tracepoint ("category:name"), a raw tracepoint, or a kernel function."""


@dataclass(frozen=True)
class Source:
    """One way to serve a hook: all of its attachments, or none."""

    kind: SourceKind
    attachments: tuple[Attachment, ...] = ()
    """Empty while the source is planned but not built; the planner never picks such a source."""

    @property
    def is_built(self) -> bool:
        """Whether there are programs for this source."""
        return bool(self.attachments)


@dataclass(frozen=True)
class Hook:
    """One thing of the kernel that is watched."""

    name: str
    stage: Stage
    cost: Cost
    sources: tuple[Source, ...]
    """In order of preference."""
    lost: tuple[str, ...]
    """What the access logs lack without it."""
    required: bool = False
    """Whether a stage is blind without it; the agent still runs and says so."""


def _system_call(
    name: str,
    stage: Stage,
    cost: Cost,
    lost: str,
    *,
    call: str | None = None,
    leaves: str = "exit_transfer",
    required: bool = False,
) -> Hook:
    """A hook on entry and exit of one system call, by tracepoint now, by function probes when they are built."""
    entry = Attachment(f"enter_{name}", f"syscalls:sys_enter_{call or name}")
    leave = Attachment(leaves, f"syscalls:sys_exit_{call or name}")
    sources = (
        Source(SourceKind.FENTRY),
        Source(SourceKind.KPROBE),
        Source(SourceKind.TRACEPOINT, (entry, leave)),
    )
    return Hook(name, stage, cost, sources, (lost,), required)


def _transfer(name: str, stage: Stage, *, call: str | None = None, leaves: str = "exit_transfer") -> Hook:
    return _system_call(
        name,
        stage,
        Cost.CALL,
        f"kernelLogs.{stage.value} of {name}",
        call=call,
        leaves=leaves,
        required=name == stage.value,
    )


HOOKS: Final = (
    _system_call(
        "connect",
        Stage.CONNECT,
        Cost.CONNECTION,
        "kernelLogs.connect; connection.role and both addresses come from the first transfer instead",
        leaves="exit_connect",
        required=True,
    ),
    Hook(
        "connect_outcome",
        Stage.CONNECT,
        Cost.CONNECTION,
        (
            Source(
                SourceKind.RAW_TRACEPOINT,
                (
                    Attachment("change_state", "inet_sock_set_state"),
                    Attachment("change_state_again", "inet_sock_set_state"),
                ),
            ),
        ),
        (
            "kernelLogs.connect of connects that return before their outcome (non-blocking sockets)",
            "connection.local of connects that fail",
        ),
    ),
    _system_call(
        "listen",
        Stage.LISTEN,
        Cost.PROCESS,
        "the names of new listeners of this host as the far end of connections, until one is accepted",
        leaves="exit_listen",
    ),
    _system_call(
        "accept", Stage.ACCEPT, Cost.CONNECTION, "kernelLogs.accept of accept", leaves="exit_accept", required=True
    ),
    _system_call(
        "accept4", Stage.ACCEPT, Cost.CONNECTION, "kernelLogs.accept of accept4", leaves="exit_accept", required=True
    ),
    _system_call("close", Stage.CLOSE, Cost.CALL, "kernelLogs.close", leaves="exit_close", required=True),
    _system_call(
        "close_range",
        Stage.CLOSE,
        Cost.PROCESS,
        "the close of sockets closed by close_range, until they are found gone",
        leaves="exit_close_range",
    ),
    _system_call("dup2", Stage.CLOSE, Cost.CALL, "kernelLogs.close of sockets that dup2 replaces", leaves="exit_dup"),
    _system_call("dup3", Stage.CLOSE, Cost.CALL, "kernelLogs.close of sockets that dup3 replaces", leaves="exit_dup"),
    Hook(
        "process_exit",
        Stage.PROCESS,
        Cost.PROCESS,
        (Source(SourceKind.RAW_TRACEPOINT, (Attachment("exit_process", "sched_process_exit"),)),),
        ("the close of sockets that a process leaves open when it ends, until it is found gone",),
    ),
    _transfer("read", Stage.READ),
    _transfer("readv", Stage.READ),
    _transfer("preadv2", Stage.READ),
    _transfer("recvfrom", Stage.READ),
    _transfer("recvmsg", Stage.READ),
    _transfer("recvmmsg", Stage.READ, leaves="exit_messages"),
    _transfer("write", Stage.WRITE),
    _transfer("writev", Stage.WRITE),
    _transfer("pwritev2", Stage.WRITE),
    _transfer("sendto", Stage.WRITE),
    _transfer("sendmsg", Stage.WRITE),
    _transfer("sendmmsg", Stage.WRITE, leaves="exit_messages"),
    _transfer("sendfile", Stage.WRITE, call="sendfile64"),
    Hook(
        "splice",
        Stage.WRITE,
        Cost.CALL,
        (
            Source(SourceKind.FENTRY),
            Source(SourceKind.KPROBE),
            Source(
                SourceKind.TRACEPOINT,
                (
                    Attachment("enter_splice", "syscalls:sys_enter_splice"),
                    Attachment("exit_transfer", "syscalls:sys_exit_splice"),
                ),
            ),
        ),
        ("kernelLogs.read and kernelLogs.write of splice",),
    ),
)
