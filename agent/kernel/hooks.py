"""Every hook, declared once: what it feeds, where it can come from, what it costs, what is lost without it.

The attach planner (`agent.kernel.plan`) chooses one source for each hook; docs/hooks.md is made from this.
"""

from typing import Final

from agent.kernel.hook import CALL_MARK, RESULT, Argument, Attachment, Cost, Hook, Source, SourceKind, Stage
from agent.kernel.stage_hooks import STAGE_HOOKS
from agent.kernel.tls_hooks import TLS_HOOKS

_RESULT: Final = (Argument("long", RESULT),)


def _descriptor(position: int = 0) -> Argument:
    return Argument("int", position)


def _user_pointer(position: int) -> Argument:
    return Argument("const void *", position)


def _number(position: int) -> Argument:
    return Argument("u32", position)


def _system_call(
    name: str,
    stage: Stage,
    cost: Cost,
    lost: str,
    *,
    leaves: str,
    enters: str | None = None,
    call: str | None = None,
    arguments: tuple[Argument, ...] = (_descriptor(),),
    required: bool = False,
) -> Hook:
    """A hook on entry and exit of one system call: by its tracepoints, or by the function that serves it."""
    enters, call = enters or f"enter_{name}", call or name
    function = f"{CALL_MARK}{call}"
    by_function = (
        Attachment(enters, function, arguments),
        Attachment(leaves, function, _RESULT, at_return=True, sleeps=True),
    )
    by_tracepoint = (
        Attachment(enters, f"syscalls:sys_enter_{call}", arguments),
        Attachment(leaves, f"syscalls:sys_exit_{call}", _RESULT),
    )
    sources = (
        Source(SourceKind.FENTRY, by_function),
        Source(SourceKind.TRACEPOINT, by_tracepoint),
        Source(SourceKind.KPROBE, by_function),
    )
    return Hook(name, stage, cost, sources, (lost,), required)


def _transfer(
    name: str,
    stage: Stage,
    *,
    call: str | None = None,
    leaves: str = "exit_transfer",
    arguments: tuple[Argument, ...] = (_descriptor(), _user_pointer(1)),
    lost: str = "",
) -> Hook:
    return _system_call(
        name,
        stage,
        Cost.CALL,
        lost or f"kernelLogs.{stage.value} of {name}",
        leaves=leaves,
        call=call,
        arguments=arguments,
        required=name == stage.value,
    )


def _message_transfer(name: str, stage: Stage, *, leaves: str = "exit_transfer", flags: int | None = None) -> Hook:
    """A transfer whose second argument points to headers; `flags` is the position of the argument with the flags."""
    more = () if flags is None else (_number(flags),)
    return _transfer(name, stage, leaves=leaves, arguments=(_descriptor(), _user_pointer(1), *more))


_UNTIL_LOOKED_AT: Final = "that come into use, until all processes are looked at again"

_SOCKET_STATE_CHANGE: Final = (
    Argument("struct sock *", 0),
    Argument("int", 1),
    Argument("int", 2),
)

_VECTORS: Final = (_descriptor(), _user_pointer(1), _number(2))
_BUFFER_AND_ADDRESS: Final = (_descriptor(), _user_pointer(1), _number(3), _user_pointer(4))

SYSTEM_CALL_HOOKS: Final = (
    _system_call(
        "connect",
        Stage.CONNECT,
        Cost.CONNECTION,
        "kernelLogs.connect; connection.role and both addresses come from the first transfer instead",
        leaves="exit_connect",
        arguments=(_descriptor(), _user_pointer(1)),
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
                    Attachment("change_state", "inet_sock_set_state", _SOCKET_STATE_CHANGE),
                    Attachment("change_state", "inet_sock_set_state", _SOCKET_STATE_CHANGE, again=True),
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
        "accept4",
        Stage.ACCEPT,
        Cost.CONNECTION,
        "kernelLogs.accept of accept4",
        enters="enter_accept",
        leaves="exit_accept",
        required=True,
    ),
    _system_call("close", Stage.CLOSE, Cost.CALL, "kernelLogs.close", leaves="exit_close", required=True),
    _system_call(
        "close_range",
        Stage.CLOSE,
        Cost.PROCESS,
        "the close of sockets closed by close_range, until they are found gone",
        leaves="exit_close_range",
        arguments=(_number(0), _number(1), _number(2)),
    ),
    _system_call(
        "dup2",
        Stage.CLOSE,
        Cost.CALL,
        "kernelLogs.close of sockets that dup2 replaces",
        leaves="exit_dup",
        arguments=(_descriptor(0), _descriptor(1)),
    ),
    _system_call(
        "dup3",
        Stage.CLOSE,
        Cost.CALL,
        "kernelLogs.close of sockets that dup3 replaces",
        leaves="exit_dup",
        arguments=(_descriptor(1),),
    ),
    Hook(
        "process_exit",
        Stage.PROCESS,
        Cost.PROCESS,
        (
            Source(
                SourceKind.RAW_TRACEPOINT,
                (Attachment("exit_process", "sched_process_exit", (Argument("struct task_struct *", 0),)),),
            ),
        ),
        ("the close of sockets that a process leaves open when it ends, until it is found gone",),
    ),
    Hook(
        "program_start",
        Stage.MAPPING,
        Cost.PROCESS,
        (
            Source(
                SourceKind.RAW_TRACEPOINT,
                (Attachment("start_program", "sched_process_exec", (Argument("struct task_struct *", 0),)),),
            ),
        ),
        (f"protocolLog of encrypted connections of programs {_UNTIL_LOOKED_AT}",),
    ),
    _system_call(
        "mmap",
        Stage.MAPPING,
        Cost.CALL,
        f"protocolLog of encrypted connections by libraries {_UNTIL_LOOKED_AT}",
        leaves="exit_mmap",
        arguments=(_number(2), _number(3), _descriptor(4)),
    ),
    _transfer("read", Stage.READ),
    _transfer("readv", Stage.READ, arguments=_VECTORS),
    _transfer("preadv2", Stage.READ, arguments=_VECTORS),
    _transfer("recvfrom", Stage.READ, arguments=_BUFFER_AND_ADDRESS),
    _message_transfer("recvmsg", Stage.READ, flags=2),
    _message_transfer("recvmmsg", Stage.READ, leaves="exit_messages", flags=3),
    _transfer("write", Stage.WRITE),
    _transfer("writev", Stage.WRITE, arguments=_VECTORS),
    _transfer("pwritev2", Stage.WRITE, arguments=_VECTORS),
    _transfer("sendto", Stage.WRITE, arguments=_BUFFER_AND_ADDRESS),
    _message_transfer("sendmsg", Stage.WRITE),
    _message_transfer("sendmmsg", Stage.WRITE, leaves="exit_messages"),
    _transfer("sendfile", Stage.WRITE, call="sendfile64", arguments=(_descriptor(),)),
    _transfer(
        "splice",
        Stage.WRITE,
        arguments=(_descriptor(0), _descriptor(2)),
        lost="kernelLogs.read and kernelLogs.write of splice",
    ),
)

HOOKS: Final = SYSTEM_CALL_HOOKS + STAGE_HOOKS + TLS_HOOKS
