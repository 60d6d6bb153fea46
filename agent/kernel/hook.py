"""What a hook is: a thing of the kernel that is watched, and the ways in which programs can be attached to it.

A handler is written once, in C, as a `static __always_inline` function with the arguments that it needs. For each way
of attaching it `agent.kernel.wrappers` writes the program that finds those arguments where that way has them.
"""

import platform
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

RESULT: Final = -1
"""Position of what a function or system call returns."""

STACK: Final = -2
"""Position of the stack pointer that a function of a program was entered with, told at its entry and at its return."""

GOROUTINE: Final = -3
"""Position of the goroutine that is in a function of a Go program."""

COOKIE: Final = -4
"""Position of the number that an attachment to a function of a program was given."""

CALL_MARK: Final = "*_sys_"
"""Begins the place of a function that serves a system call, whatever prefix the machine gives it."""

_CALL_PREFIX: Final = {"x86_64": "__x64_sys_", "aarch64": "__arm64_sys_"}


class Stage(Enum):
    """What a hook feeds."""

    CONNECT = "connect"
    LISTEN = "listen"
    ACCEPT = "accept"
    READ = "read"
    WRITE = "write"
    CLOSE = "close"
    PROCESS = "process"
    MAPPING = "mapping"
    TRANSMIT = "transmit"
    RECEIVE = "receive"
    SOCKET = "socket"
    TLS = "tls"


class SourceKind(Enum):
    """How a program is attached."""

    FENTRY = "fentry"
    KPROBE = "kprobe"
    TRACEPOINT = "tracepoint"
    RAW_TRACEPOINT = "raw_tracepoint"
    UPROBE = "uprobe"


FUNCTION_KINDS: Final = frozenset((SourceKind.FENTRY, SourceKind.KPROBE))
"""Those whose places are kernel functions."""


class Cost(Enum):
    """How often a hook runs, which is what it costs."""

    CALL = "every such call, on any descriptor"
    CONNECTION = "a few times per connection"
    PROCESS = "a few times per thread or process"
    TRANSFER = "every send on a TCP or UDP socket"
    PACKAGE_SENT = "every package that the node sends"
    PACKAGE_RECEIVED = "every package that the node receives for itself"
    PACKAGE = "every package that the node sends, receives or forwards"
    TROUBLE = "every package that is dropped or sent again"
    PLAINTEXT = "every such call of a program"


class Convention(StrEnum):
    """Where a function of a program has its arguments and its result."""

    C = "c"
    """As the machine's C compilers have them (psABI)."""
    GO = "go"
    """As Go's compiler has them since 1.17 (ABIInternal)."""


@dataclass(frozen=True)
class Argument:
    """One argument of a handler."""

    c_type: str
    """As in "struct sock *" or "int"."""
    position: int
    """Which argument of the function, raw tracepoint or system call it is, from 0; or `RESULT`."""


@dataclass(frozen=True)
class Attachment:
    """One handler at one place of the kernel."""

    handler: str
    """A `static __always_inline` function in bpf/."""
    to: str
    """A system call's tracepoint ("syscalls:sys_enter_read"), a raw tracepoint, a kernel function, the function of a
    system call ("*_sys_read", see `CALL_MARK`), or a function of programs and libraries ("SSL_read")."""
    arguments: tuple[Argument, ...] = ()
    """What the handler is called with."""
    at_return: bool = False
    """Of a function: whether the handler runs when it returns."""
    sleeps: bool = False
    """Of a function at whose return the handler runs: whether it may sleep, so that many threads are inside at once."""
    again: bool = False
    """A second program with the same handler at the same place, which sees what the first one misses when the kernel
    leaves it out."""
    convention: Convention = Convention.C
    """Of a function of programs and libraries."""
    cookie: int = 0
    """What the handler is told of the function, where it asks for it: one program serves several."""

    @property
    def function(self) -> str:
        """The kernel function, as this machine names it."""
        if not self.to.startswith(CALL_MARK):
            return self.to
        return _CALL_PREFIX.get(platform.machine(), "sys_") + self.to.removeprefix(CALL_MARK)


@dataclass(frozen=True)
class Source:
    """One way to serve a hook: all of its attachments, or none."""

    kind: SourceKind
    attachments: tuple[Attachment, ...]

    @property
    def places(self) -> tuple[str, ...]:
        """What it is attached to, as this machine names it, each place once."""
        if self.kind in FUNCTION_KINDS:
            return tuple(dict.fromkeys(attachment.function for attachment in self.attachments))
        return tuple(dict.fromkeys(attachment.to for attachment in self.attachments))


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
