"""docs/hooks.md, made from the declarations: `python -m agent.kernel.hooks_page`.

A test compares the file with what this makes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.kernel.hook import Cost, Hook, SourceKind, Stage
from agent.kernel.hooks import HOOKS
from agent.kernel.losses import INCOMPLETE, LOST, PROGRAM_SKIPPED, RETURN_MISSED
from agent.kernel.stage_fields import STAGE_FIELDS, Point

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "hooks.md"

_COUNTERS: Final = {
    "ring_full": "events that found no room in the ring, because they were not taken fast enough",
    "in_flight_full": "calls on sockets while too many threads were inside one; at most one event each",
    "connecting_full": "connects without an outcome yet, while too many others had none either",
    "messages_beyond_bound": "messages of one `recvmmsg` or `sendmmsg` on an unconnected socket, beyond the 64th",
    "accepted_not_found": "accepts whose new descriptor was closed by another thread before the call returned",
    "outcome_missed": "connects that ended in a state change which no program saw",
    RETURN_MISSED: "returns that kprobes did not follow, because too many threads were inside; at most one event each",
    PROGRAM_SKIPPED: "runs that the kernel left out because a program was running on that CPU; at most one event each",
    "peer_unreadable": "events sent without the peer that user memory should have named",
    "bytes_unreadable": "events sent without the bytes of a message whose header could not be read",
    "stages_full": "sockets and listeners whose packages are not watched, because too many others are",
    "payload_full": "fragments of payload that found no room in their ring, because they were not taken fast enough",
    "payload_cut": "calls of which less was captured than parsers need",
    "payload_unreadable": "fragments of payload, or lengths of it, that user memory should have given",
    "tls_socket_unknown": "calls of TLS libraries whose plain text is of a connection that is not known (yet)",
    "tls_sessions_full": "calls of TLS sessions that found no room, because too many others were open",
    "tls_calls_full": "calls of TLS libraries that found no room, because too many threads had called one",
    "sending_full": "packages of which only count and size are known, because too many were on their way at once",
}

_HEAD: Final = """\
# Hooks

<!-- Made by `make hooks`. Do not edit: change what it is made from and make it again. -->

Everything the agent watches in the kernel is declared once, in `agent/kernel/hooks.py` and `stage_hooks.py`. A hook
names the stage that it feeds, the ways in which it can be attached in order of preference, what it costs and what the
access logs lack without it. At start the agent looks at what the kernel offers and takes the first way that is offered.
A hook without any never stops the agent: `pyrover-agent doctor` lists it with the reasons and with what is lost.

`--attach fentry`, `--attach kprobe` and `--attach tracepoint` restrict the choice to one kind. Raw tracepoints and
uprobes are part of every choice: nothing else tells what they tell. `kernel.unavailable_hooks` of the configuration
names hooks that are not to be used.

The handler is the same C function whichever way is taken (`agent/kernel/wrappers.py`).

## System calls

A function `*_sys_read` is named `__x64_sys_read` or `__arm64_sys_read`, as the machine has it.

The kernel follows a bounded number of calls to their return when a kprobe waits there. The agent asks for 4096 of
functions that may sleep, which is the most that can be had, and counts the returns that are missed beyond. A fentry
program has no such bound.
"""

_TAIL: Final = """\
## What is not seen

* `io_uring` and asynchronous I/O (`io_submit`): they move data without a system call of their own.
* 32-bit programs on a 64-bit kernel: the kernel does not trace their system calls.
* Descriptors that `execve` closes because of `FD_CLOEXEC`.
* Sockets other than TCP and UDP over IPv4 and IPv6.
* A TCP Fast Open connect is reported when the call returns, before the handshake.
* Reads with `MSG_PEEK` and of the error queue (`MSG_ERRQUEUE`): they take nothing from the stream.
* The side of multipath TCP connections that were open before the agent started: they count as clients.
* On a kernel without BTF every UDP socket counts as a client.
* With kprobes: what a probe would show that is hit in an interrupt while another one's handler is running on that
  processor. The kernel leaves it out; returns that are lost so are in `return_missed`. A fentry program is only left
  out where it is running itself, which is in `program_skipped`.
* On hardened kernels that run no program while certain tasks of theirs are current: what happens in softirq on top of
  those, such as packages that a timer sends, sends again, or has the peer receive. That is so for raw tracepoints and
  others alike, and the kernel does not count it. Nothing does but `outcome_missed`.
"""


_KERNEL_TABLE: Final = (
    "| Hook | Order | fentry | kprobe | tracepoint | Lost without it |",
    "|---|---|---|---|---|---|",
)
_PROGRAM_TABLE: Final = (
    "Functions of programs and libraries, where plain text goes in and comes out (uprobes). [tls.md](tls.md) says",
    "which programs are found, and what is not seen of them.\n",
    "| Hook | Functions | Lost without it |",
    "|---|---|---|",
)


def render() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n" + _TAIL


def _lines() -> Iterator[str]:
    yield _HEAD
    for stage in Stage:
        hooks = [hook for hook in HOOKS if hook.stage is stage]
        yield f"## Stage: {stage.value}\n"
        yield from _PROGRAM_TABLE if stage is Stage.TLS else _KERNEL_TABLE
        yield from map(_program_row if stage is Stage.TLS else _row, hooks)
        yield ""
    yield from _fields()
    yield "## Cost\n"
    yield "| Runs | Hooks |"
    yield "|---|---|"
    for cost in Cost:
        yield f"| {cost.value} | {', '.join(f'`{hook.name}`' for hook in HOOKS if hook.cost is cost)} |"
    yield "\n`.venv/bin/python bench/kernel_cost.py` measures what they cost on the machine at hand.\n"
    yield "## What is counted\n"
    yield "Lost events, by the cause that `pyrover_agent_events_lost_total` and the live line have:\n"
    for name in (*LOST, PROGRAM_SKIPPED, RETURN_MISSED):
        yield f"* `{name}`: {_COUNTERS[name]}."
    yield "\nEvents that were sent, but lack something (`pyrover_agent_incomplete_total`, part `kernel`):\n"
    for name in INCOMPLETE:
        yield f"* `{name}`: {_COUNTERS[name]}."
    yield ""


def _fields() -> Iterator[str]:
    yield "## Fields\n"
    yield "Below `kernelLogs`. A time runs from the first point to the second; a count is made at the first."
    yield "[stages.md](stages.md) says whose packages are meant.\n"
    yield "| Field | From | To | |"
    yield "|---|---|---|---|"
    for field in STAGE_FIELDS:
        end = _point(field.end) if field.end else "counted"
        yield f"| `{field.path}` | {_point(field.begin)} | {end} | {field.note} |"
    yield ""


def _point(point: Point) -> str:
    return f"{'return' if point.at_return else 'entry'} of `{point.hook}`"


def _row(hook: Hook) -> str:
    order = ", ".join(dict.fromkeys(source.kind.value.replace("_", " ") for source in hook.sources))
    columns = (
        _places(hook, SourceKind.FENTRY),
        _places(hook, SourceKind.KPROBE),
        _places(hook, SourceKind.TRACEPOINT, SourceKind.RAW_TRACEPOINT),
    )
    return f"| `{hook.name}` | {order} | {' | '.join(columns)} | {'<br>'.join(hook.lost)} |"


def _program_row(hook: Hook) -> str:
    return f"| `{hook.name}` | {_places(hook, SourceKind.UPROBE)} | {'<br>'.join(hook.lost)} |"


def _places(hook: Hook, *kinds: SourceKind) -> str:
    """The places of each source of these kinds, a line each; functions by the name that no machine's prefix is in."""
    places = (
        ", ".join(dict.fromkeys(f"`{attachment.to.rpartition(':')[2]}`" for attachment in source.attachments))
        for source in hook.sources
        if source.kind in kinds
    )
    return "<br>or ".join(dict.fromkeys(places))  # some sources differ only in what they take from one place


def main() -> None:
    """Write the page."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render())


if __name__ == "__main__":
    main()
